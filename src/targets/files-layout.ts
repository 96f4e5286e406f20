import { Malformed } from '../model/decode.ts'
import { AgentError } from '../model/problem.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import { groupId, isWritableByOthers, realPath } from '../runtime/files.ts'
import { isAbsolute, join, relative } from '../runtime/path.ts'
import { decodeManifest, readMark } from './files-manifest.ts'
import type { Manifest, Mark } from './files-manifest.ts'

/*
 * What lies in the directory of the target:
 *
 *   .runtime-agent.json     whose directory this is
 *   current -> gen-000042   what readers follow; the only thing that ever changes
 *   gen-000042/             complete, never changed once `current` led to it
 *     MANIFEST.json  bindings/<name>/<key>  applications/<name>.json  env/<name>.env  json/<name>.json
 *   .new-000043, .old-000038   being built, being removed; left behind only by a process that was killed
 */

export const MARK = '.runtime-agent.json'
export const CURRENT = 'current'
export const MANIFEST = 'MANIFEST.json'

export const DIRECTORY_MODE = 0o2750
export const FILE_MODE = 0o640
export const PRIVATE_MODE = 0o600

const GENERATION = /^gen-(\d{6,15})$/
const LEFTOVER = /^\.((new|old)-\d{6,15}|.+\.[0-9a-f]{12}\.tmp)$/

export function generationName(generation: number, prefix = 'gen-'): string {
  return `${prefix}${String(generation).padStart(6, '0')}`
}

/** The number in the name of a generation; undefined for any other name. */
function generationOf(name: string): number | undefined {
  const digits = GENERATION.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** What only a killed process leaves: a generation half built or half removed, a temp file of runtime/files.ts. */
export function isLeftover(name: string): boolean {
  return LEFTOVER.test(name)
}

/** The directory is not there, or empty: nothing of ours, and free to be taken. */
type Unused = { used: false }

/** Ours. */
type Used = {
  used: true
  /** All that are there, latest first. */
  generations: number[]
  /** What readers see now, or what they should see again. */
  base: Base | undefined
  /** False: `current` is missing or leads elsewhere and must be put right. */
  intact: boolean
}

export type Located = Unused | Used

/** A manifest with what tells whether its file was changed since: it has 2 MB and is not read again in each pass. */
export type Base = { manifest: Manifest; mtimeMs: number; inode: number }

export type LocateInput = {
  disk: BulkFiles
  root: string
  mark: Mark
  /** What was found or made before. */
  known: Base | undefined
}

/**
 * Finds out what is in the directory, without changing it. Throws `output_foreign` for what is not ours and
 * `output_damaged` when the manifest of what readers see cannot be read: unread is not absent.
 */
export function locate(input: LocateInput): Located {
  const { disk, root, mark } = input
  const names = listRoot(disk, root)
  if (names === undefined) return { used: false }
  const marked = disk.read(join(root, MARK))
  if (marked === undefined) {
    // What a new file system brings, and a mark that was being written.
    const foreign = names.find((name) => name !== 'lost+found' && !name.startsWith(`.${MARK}.`))
    if (foreign === undefined) return { used: false }
    throw foreignOutput(root, `it holds ${foreign} and no ${MARK}`)
  }
  checkMark(root, readMark(marked), mark)
  const generations = names.flatMap((name) => generationOf(name) ?? []).sort((a, b) => b - a)
  const led = followCurrent(disk, root)
  const current = generations.find((generation) => generation === led)
  // Whoever removed or bent `current` left the generations: the newest tells what we own and how it is called.
  const generation = current ?? generations[0]
  const base = generation === undefined ? undefined : readBase(input, generation)
  return { used: true, generations, base, intact: current !== undefined }
}

function listRoot(disk: BulkFiles, root: string): string[] | undefined {
  // With a slash: the directory itself may be a symlink, as /var/lib often is.
  if (disk.look(`${root}/`)) return disk.list(root)
  const there = disk.look(root)
  if (there) throw foreignOutput(root, `it is a ${there.kind} and no directory`)
  return undefined
}

function checkMark(root: string, found: Mark | undefined, mark: Mark): void {
  if (found === undefined) throw foreignOutput(root, `its ${MARK} cannot be read`)
  if (found.runtimeId !== mark.runtimeId) {
    throw foreignOutput(root, `it belongs to the runtime ${found.runtimeId}`)
  }
  if (found.agent !== mark.agent) {
    throw foreignOutput(root, `it belongs to the agent named ${found.agent}`)
  }
}

function followCurrent(disk: BulkFiles, root: string): number | undefined {
  const path = join(root, CURRENT)
  const there = disk.look(path)
  if (there === undefined) return undefined
  if (there.kind !== 'symlink') throw foreignOutput(path, `it is a ${there.kind}, not our symlink`)
  return generationOf(disk.readLink(path))
}

function readBase({ disk, root, mark, known }: LocateInput, generation: number): Base {
  const path = join(root, generationName(generation), MANIFEST)
  const there = disk.look(path)
  if (there === undefined) throw damaged(path, 'it is missing')
  const { mtimeMs, inode } = there
  const same = known?.mtimeMs === mtimeMs && known.inode === inode
  if (same && known.manifest.generation === generation) return known
  const manifest = readManifest(disk, path)
  checkMark(join(root, generationName(generation)), manifest, mark)
  if (manifest.generation !== generation) throw damaged(path, 'it is of another generation')
  return { manifest, mtimeMs, inode }
}

function readManifest(disk: BulkFiles, path: string): Manifest {
  try {
    return decodeManifest(disk.read(path) ?? '')
  } catch (thrown) {
    throw thrown instanceof Malformed ? damaged(path, thrown.message) : thrown
  }
}

/** Whether a generation may be removed: only what a manifest says is ours. */
export function isOurs(disk: BulkFiles, path: string, { agent, runtimeId }: Mark): boolean {
  const found = readMark(disk.read(join(path, MANIFEST)) ?? '')
  return found?.agent === agent && found.runtimeId === runtimeId
}

function damaged(path: string, why: string): AgentError {
  return new AgentError('output_damaged', `Cannot read ${path}: ${why}`)
}

function foreignOutput(path: string, why: string): AgentError {
  return new AgentError('output_foreign', `Cannot write to ${path}: ${why}`)
}

/** Throws `output_unsafe` when somebody else could change what is published, or when it would lie with our secrets. */
export async function checkPlace(root: string, stateDirectory: string): Promise<void> {
  const nested = await nesting(root, stateDirectory)
  if (nested !== undefined) {
    throw new AgentError('output_unsafe', `Cannot publish in ${root}: ${nested}`, {
      hint: 'choose a directory beside the state directory',
    })
  }
  const open = await isWritableByOthers(root)
  if (open === undefined) return
  throw new AgentError('output_unsafe', `Cannot publish in ${root}: other users can change ${open}`)
}

/** Symlinks may lead where agent.yaml does not show it. */
async function nesting(root: string, state: string): Promise<string | undefined> {
  const [real, realState] = [await realPath(root), await realPath(state)]
  if (isBelow(root, state) || isBelow(real, realState))
    return `it lies in the state directory ${state}`
  return isBelow(realState, real) ? `the state directory ${state} lies in it` : undefined
}

function isBelow(path: string, directory: string): boolean {
  const from = relative(directory, path)
  return from === '' || (!from.startsWith('..') && !isAbsolute(from))
}

/** The number of the readers' group; undefined when none is configured. Throws `group_unknown`. */
export function readersGroup(group: string | undefined): number | undefined {
  if (group === undefined) return undefined
  const gid = groupId(group)
  if (gid !== undefined) return gid
  throw new AgentError('group_unknown', `Cannot publish for the group ${group}: there is none`)
}
