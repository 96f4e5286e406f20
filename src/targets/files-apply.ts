import { AgentError } from '../model/problem.ts'
import type { Change, Plan } from '../model/target.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import type { FileFacts } from '../runtime/file-facts.ts'
import { join } from '../runtime/path.ts'
import { FileSet } from './file-set.ts'
import type { RenderedFile } from './file-set.ts'
import {
  DIRECTORY_MODE,
  FILE_MODE,
  generationName,
  MANIFEST,
  PRIVATE_MODE,
} from './files-layout.ts'
import { configDirectories, encodeManifest } from './files-manifest.ts'
import type { Manifest, ManifestFile, ManifestObject, Mark } from './files-manifest.ts'
import { isAllowed, sizeTimeInode } from './files-observe.ts'
import { writeVcap } from './files-vcap.ts'

export type BuildInput = {
  disk: BulkFiles
  root: string
  /** Where to build; does not exist yet. */
  directory: string
  mark: Mark
  generation: number
  /** What readers see now; unchanged objects are taken over from it. */
  base: Manifest | undefined
  access: { uid: number; gid: number }
  /** Which of `bindings`, `applications`, `env`, `json` there are, even when empty. */
  sections: readonly string[]
  /** Whether there is one file of all bindings. */
  vcap: boolean
  plan: Plan
  signal: AbortSignal
}

/** Objects between two pauses. */
const BATCH = 25

/**
 * Writes a whole new generation beside the one that readers see: what the plan changes from its content, everything else
 * by hard links. Nothing is synced and nothing seen by readers yet.
 */
export async function buildGeneration(input: BuildInput): Promise<Manifest> {
  const { disk, directory, access, mark, generation } = input
  const as = { mode: DIRECTORY_MODE, gid: access.gid }
  const all = nextObjects(input)
  for (const part of ['', ...sectionsOf(all, input), ...configDirectories(all.map(nameOf))])
    disk.makeDirectory(join(directory, part), as)
  const objects: ManifestObject[] = []
  for (const [index, next] of all.entries()) {
    if (index % BATCH === BATCH - 1) await disk.pause()
    input.signal.throwIfAborted()
    objects.push('change' in next ? write(next, input) : carry(next.object, input))
  }
  const vcap = input.vcap
    ? await writeVcap({ disk, directory, objects, gid: access.gid })
    : undefined
  const manifest: Manifest = { ...mark, generation, objects, ...(vcap && { vcap }) }
  const shared = { mode: FILE_MODE, gid: access.gid }
  disk.write(join(directory, MANIFEST), encodeManifest(manifest), shared)
  return manifest
}

type Written = Exclude<Change, { kind: 'delete' }>
type Changed = { change: Written; before: ManifestObject | undefined }
type Next = Changed | { object: ManifestObject }

/** All objects of the new generation in the order of their keys. */
function nextObjects({ base, plan }: BuildInput): Next[] {
  const before = new Map(base?.objects.map((object) => [object.key, object]))
  const next = new Map<string, Next>([...before].map(([key, object]) => [key, { object }]))
  for (const change of plan.changes) {
    if (change.kind === 'delete') next.delete(change.key)
    else next.set(change.key, { change, before: before.get(change.key) })
  }
  const sorted = [...next].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.map(([, one]) => one)
}

/** An object that is taken over may still have a form that is no longer asked for. */
function sectionsOf(all: readonly Next[], { sections }: BuildInput): Set<string> {
  const carried = all.flatMap((next) => ('object' in next ? next.object.files : []))
  const parts = carried.map(({ path }) => path.slice(0, path.indexOf('/')))
  return new Set([...sections, ...parts.filter((part) => part !== 'config')])
}

/** Key and name of one object of the new generation. */
function nameOf(next: Next): Pick<ManifestObject, 'key' | 'name'> {
  return 'object' in next ? next.object : next.change
}

function write({ change, before }: Changed, input: BuildInput): ManifestObject {
  const { content, key, owner, name, digest } = change.object
  if (!(content instanceof FileSet)) {
    throw new AgentError('internal', `Cannot write ${key}: the plan is of another target`)
  }
  // A repaired file says nothing new to its readers.
  const revision = before?.digest === digest ? before.revision : input.generation
  const wanted = content.files()
  const directory = bindingDirectory(wanted.map(({ path }) => path))
  const files: ManifestFile[] = []
  if (directory !== undefined) make(directory, input)
  for (const file of wanted) files.push(writeFile(file, input))
  if (directory !== undefined) {
    const path = `${directory}ucl-revision`
    files.push(writeFile({ path, private: false, data: String(revision) }, input))
    files.push(directoryEntry(directory, input))
  }
  return { key, owner, name, digest, revision, files }
}

/** `bindings/<name>/`, the only directory that belongs to one object. */
function bindingDirectory(paths: readonly string[]): string | undefined {
  const path = paths.find((one) => one.startsWith('bindings/'))
  return path?.slice(0, path.lastIndexOf('/') + 1)
}

function make(path: string, { disk, directory, access }: BuildInput): void {
  disk.makeDirectory(join(directory, path), { mode: DIRECTORY_MODE, gid: access.gid })
}

function writeFile(file: RenderedFile, { disk, directory, access }: BuildInput): ManifestFile {
  const mode = file.private ? PRIVATE_MODE : FILE_MODE
  const facts = disk.write(`${directory}/${file.path}`, file.data, { mode, gid: access.gid })
  return { path: file.path, private: file.private, ...sizeTimeInode(facts) }
}

function directoryEntry(path: string, { disk, directory }: BuildInput): ManifestFile {
  const facts = disk.look(`${directory}/${path.slice(0, -1)}`)
  return { path, private: false, ...sizeTimeInode(facts ?? NOTHING) }
}

const NOTHING: FileFacts = {
  kind: 'other',
  size: 0,
  mtimeMs: 0,
  inode: 0,
  mode: 0,
  uid: 0,
  gid: 0,
}

/** Takes an unchanged object over, as it is: what has drifted in it is put right when it is rendered again. */
function carry(object: ManifestObject, input: BuildInput): ManifestObject {
  const { disk, root, base } = input
  const from = join(root, generationName(base?.generation ?? 0))
  const directory = bindingDirectory(object.files.map(({ path }) => path))
  // Somebody removed its `type`: readers are better off without it than with a binding that stops them.
  if (directory !== undefined && !disk.look(`${from}/${directory}type`)) return object
  if (directory !== undefined) make(directory, input)
  const files = object.files.map((file) =>
    file.path === directory ? file : carryFile(file, from, input),
  )
  if (directory === undefined) return { ...object, files }
  const rest = files.filter(({ path }) => path !== directory)
  return { ...object, files: [...rest, directoryEntry(directory, input)] }
}

function carryFile(file: ManifestFile, from: string, input: BuildInput): ManifestFile {
  const { disk, directory, access } = input
  const [existing, name] = [`${from}/${file.path}`, `${directory}/${file.path}`]
  const facts = disk.look(existing)
  if (facts?.kind !== 'file') return file
  if (isAllowed(facts, file, access) && disk.link(existing, name)) return file
  const data = disk.read(existing)
  if (data === undefined) return file
  writeFile({ path: file.path, private: file.private, data }, input)
  // With what the manifest knew before, so that the next look reads and judges the copy.
  return file
}

/** Names of bindings that a plan changes, for hooks. */
export function changedBindings(plan: Plan): string[] {
  const names = plan.changes.flatMap(({ key, name }) => {
    if (key.startsWith('config/')) return `config/${name}`
    return key.startsWith('binding/') ? name : []
  })
  return [...new Set(names)].sort()
}
