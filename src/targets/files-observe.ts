import type { ObservedObject } from '../model/target.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import type { FileFacts } from '../runtime/file-facts.ts'
import type { Glance } from '../runtime/glance.ts'
import { rollOf } from '../runtime/roll.ts'
import type { Entry, FileOwner, Roll } from '../runtime/roll.ts'
import type { RenderedFile } from './file-set.ts'
import { isCredentialKey } from './binding.ts'
import { DIRECTORY_MODE, FILE_MODE, PRIVATE_MODE } from './files-layout.ts'
import { configDirectories } from './files-manifest.ts'
import type { Manifest, ManifestFile, ManifestObject } from './files-manifest.ts'

export type ObserveInput = {
  disk: BulkFiles
  /** Path of the generation. */
  directory: string
  manifest: Manifest
  /** Who owns all files and directories. */
  access: FileOwner
  /** Read every file instead of trusting size, time and inode. */
  deep: boolean
  /** What readers see is not what the manifest tells of: every object has drifted. */
  bent: boolean
  digest: (files: readonly RenderedFile[]) => string
  signal: AbortSignal
}

/** Digest of an object that is no longer as it was written. No rendered object has it. */
const DRIFTED = 'drifted'

const BASES = ['', '/bindings', '/applications']
/** Objects between two pauses. */
const BATCH = 200

/**
 * The objects of a generation as they are now. Each file is compared with the manifest by `lstat`; where only size,
 * time or inode differ (a restored backup), its object is read and, if it is as it was, remembered as such.
 */
export async function observeGeneration(input: ObserveInput): Promise<Map<string, ObservedObject>> {
  const glance = await input.disk.glance(input.directory)
  try {
    return await observeAll({ ...input, glance, roll: rollFor(input.manifest) })
  } finally {
    glance.close()
  }
}

type Looking = ObserveInput & { glance: Glance; roll: Roll }

/** The files of a manifest, in its order. */
const rolls = new WeakMap<Manifest, Roll>()

function rollFor(manifest: Manifest): Roll {
  const known = rolls.get(manifest)
  if (known !== undefined) return known
  const made = rollOf(manifest.objects.flatMap(({ files }) => files.map(entryOf)))
  rolls.set(manifest, made)
  return made
}

function entryOf(file: ManifestFile): Entry {
  const { size, mtimeMs, inode } = file
  return { path: pathOf(file), kind: kindOf(file), mode: modeOf(file), size, mtimeMs, inode }
}

async function observeAll(input: Looking): Promise<Map<string, ObservedObject>> {
  const { disk, manifest, signal } = input
  const bases = [...BASES, ...configDirectories(manifest.objects).map((path) => `/${path}`)]
  const bent = input.bent || bases.some((base) => !isBase(disk.look(input.directory + base), input))
  const objects = new Map<string, ObservedObject>()
  let first = 0
  for (const [index, object] of manifest.objects.entries()) {
    if (index % BATCH === BATCH - 1) await disk.pause()
    signal.throwIfAborted()
    const there = observedOf(object)
    const intact = !bent && isAsWritten(object, first, input)
    objects.set(object.key, intact ? there : { ...there, digest: DRIFTED })
    first += object.files.length
  }
  return objects
}

/** By what was written: one and the same in each pass, so that whoever compares can tell by `===`. */
const written = new WeakMap<ManifestObject, ObservedObject>()

function observedOf(object: ManifestObject): ObservedObject {
  const known = written.get(object)
  if (known !== undefined) return known
  const { key, owner, name, digest } = object
  const made = { key, owner, name, digest, credentialed: isCredentialed(object) }
  written.set(object, made)
  return made
}

/** By the names of its files: nothing that holds a secret is read for it. */
function isCredentialed({ files }: ManifestObject): boolean {
  return files.some(({ path }) => isCredentialKey(path.slice(path.lastIndexOf('/') + 1)))
}

function isBase(facts: FileFacts | undefined, { access }: ObserveInput): boolean {
  return (
    facts?.kind === 'directory' &&
    facts.mode === DIRECTORY_MODE &&
    facts.uid === access.uid &&
    facts.gid === access.gid
  )
}

/** `first`: where the files of the object begin in the roll. */
function isAsWritten(object: ManifestObject, first: number, input: Looking): boolean {
  const { glance, roll, access } = input
  const last = first + object.files.length
  if (!input.deep && glance.isAsLeft(roll, access, first, last)) return true
  let touched = false
  for (const file of object.files) {
    const facts = glance.look(pathOf(file))
    if (facts === undefined || !isAllowed(facts, file, access)) return false
    touched ||= !isSame(facts, file)
  }
  if (!touched && !input.deep) return true
  if (!isContentAsWritten(object, input)) return false
  if (touched) refresh(object, input)
  return true
}

/** Without the slash of a directory: with it, lstat would follow a symlink. */
function pathOf({ path }: ManifestFile): string {
  return isDirectory(path) ? path.slice(0, -1) : path
}

function isDirectory(path: string): boolean {
  return path.endsWith('/')
}

function kindOf({ path }: ManifestFile): 'directory' | 'file' {
  return isDirectory(path) ? 'directory' : 'file'
}

function modeOf({ path, private: isPrivate }: ManifestFile): number {
  return isDirectory(path) ? DIRECTORY_MODE : isPrivate ? PRIVATE_MODE : FILE_MODE
}

/** Kind, mode and owner: nothing but writing it again puts these right. */
export function isAllowed(facts: FileFacts, file: ManifestFile, access: FileOwner): boolean {
  return (
    facts.mode === modeOf(file) &&
    facts.uid === access.uid &&
    facts.gid === access.gid &&
    facts.kind === kindOf(file)
  )
}

function isSame(facts: FileFacts, file: ManifestFile): boolean {
  return facts.mtimeMs === file.mtimeMs && facts.inode === file.inode && facts.size === file.size
}

function isContentAsWritten(object: ManifestObject, input: ObserveInput): boolean {
  const { disk, directory, digest } = input
  const files: RenderedFile[] = []
  for (const { path, private: isPrivate } of object.files) {
    if (isDirectory(path)) {
      if (!holdsExactly(disk.list(directory + '/' + path), path, object.files)) return false
      continue
    }
    const data = disk.read(`${directory}/${path}`)
    if (data === undefined) return false
    if (isRevision(path)) {
      if (data !== String(object.revision)) return false
    } else files.push({ path, private: isPrivate, data })
  }
  return digest(files) === object.digest
}

function holdsExactly(
  names: string[] | undefined,
  path: string,
  files: readonly ManifestFile[],
): boolean {
  const expected = files.filter((file) => file.path.startsWith(path) && file.path !== path)
  const wanted = new Set(expected.map((file) => file.path.slice(path.length)))
  return names?.length === wanted.size && names.every((name) => wanted.has(name))
}

/** Written by apply, which alone knows the generation; not part of the digest. */
function isRevision(path: string): boolean {
  return path.endsWith('/ucl-revision')
}

/** As it is written nowhere: a restart reads all contents anyway. */
function refresh(object: ManifestObject, { glance, manifest }: Looking): void {
  rolls.delete(manifest)
  for (const file of object.files) {
    const facts = glance.look(pathOf(file))
    if (facts) Object.assign(file, sizeTimeInode(facts))
  }
}

/** What a manifest remembers of a file beside path and mode. */
export function sizeTimeInode({ size, mtimeMs, inode }: FileFacts) {
  return { size, mtimeMs, inode }
}
