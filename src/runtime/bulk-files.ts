import * as fs from 'node:fs'
import { setImmediate } from 'node:timers'
import { diskError, errorCode } from './disk-error.ts'
import { replaceSymlink } from './files.ts'
import { syncFileSystem } from './sync.ts'

/** What `lstat` says, in numbers: compared ten thousand times a pass. */
export type FileFacts = {
  kind: 'file' | 'directory' | 'symlink' | 'other'
  size: number
  /** As exact as a number holds: some 200 ns. */
  mtimeMs: number
  inode: number
  /** Permission bits with set-id and sticky. */
  mode: number
  uid: number
  gid: number
}

/**
 * Many small files in a row, without a promise for each (a generation has ten thousand; async calls cost three times
 * the CPU). Nothing is synced but by `sync` and `swap`. Errors are AgentError `disk_full` or `disk_failed`, naming the
 * path; nothing follows a symlink at the last part of a path, except `list` and `read`.
 *
 * An interface, so that tests can let any single operation fail.
 */
export interface BulkFiles {
  /** Undefined: nothing is there. */
  look(path: string): FileFacts | undefined
  /** Names in a directory, sorted; undefined: nothing is there. */
  list(path: string): string[] | undefined
  /** UTF-8; undefined: nothing is there. */
  read(path: string): string | undefined
  /** Where a symlink points. */
  readLink(path: string): string
  /** A new file of exactly this mode and group, never wider for a moment. Fails when the name exists. */
  write(path: string, data: string, as: Access): FileFacts
  /** A new directory of exactly this mode and group. Fails when the name exists. */
  makeDirectory(path: string, as: Access): void
  /** Mends mode and group of a directory. */
  mend(path: string, as: Access): void
  /** A second name for a file. False: this file system has no such thing, or no more of it; copy instead. */
  link(existing: string, name: string): boolean
  rename(from: string, to: string): void
  /** A file, or a directory with all that is in it. Nothing there is fine. */
  remove(path: string): void
  /** Everything below `path` is on disk when this resolves. */
  sync(path: string): Promise<void>
  /** Points a symlink elsewhere in one step, and syncs its directory. */
  swap(link: string, target: string): Promise<void>
  /** Lets other work of this process run. */
  pause(): Promise<void>
}

/** `gid` undefined: whatever the parent directory gives. */
export type Access = { mode: number; gid: number | undefined }

const NO_LINKS = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

export const bulkFiles: BulkFiles = {
  look: (path) => on('look at', path, () => lookAt(path)),
  list: (path) => ifThere('list', path, () => fs.readdirSync(path).sort()),
  read: (path) => ifThere('read', path, () => fs.readFileSync(path, 'utf8')),
  readLink: (path) => on('read', path, () => fs.readlinkSync(path)),
  write: (path, data, as) => on('write', path, () => writeNew(path, data, as)),
  makeDirectory: (path, as) =>
    on('make the directory', path, () => {
      fs.mkdirSync(path, 0o700)
      mend(path, as)
    }),
  mend: (path, as) => on('change mode and group of', path, () => mend(path, as)),
  link: (existing, name) => on('link', name, () => tryLink(existing, name)),
  rename: (from, to) => on('rename', from, () => fs.renameSync(from, to)),
  remove: (path) => on('remove', path, () => fs.rmSync(path, { recursive: true, force: true })),
  sync: syncFileSystem,
  swap: replaceSymlink,
  pause: () => new Promise((resolve) => setImmediate(resolve)),
}

function on<T>(action: string, path: string, work: () => T): T {
  try {
    return work()
  } catch (thrown) {
    throw diskError(action, path, thrown)
  }
}

function ifThere<T>(action: string, path: string, work: () => T): T | undefined {
  return on(action, path, () => {
    try {
      return work()
    } catch (thrown) {
      if (isAbsent(thrown)) return undefined
      throw thrown
    }
  })
}

function isAbsent(thrown: unknown): boolean {
  const code = errorCode(thrown)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function lookAt(path: string): FileFacts | undefined {
  try {
    const stat = fs.lstatSync(path, { throwIfNoEntry: false })
    return stat && factsOf(stat)
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}

function writeNew(path: string, data: string, { mode, gid }: Access): FileFacts {
  const file = fs.openSync(path, 'wx', mode & 0o600)
  try {
    fs.writeFileSync(file, data)
    let stat = fs.fstatSync(file)
    const foreign = gid !== undefined && stat.gid !== gid
    if (foreign) fs.fchownSync(file, stat.uid, gid)
    if (foreign || (stat.mode & 0o7777) !== mode) {
      fs.fchmodSync(file, mode)
      stat = fs.fstatSync(file)
    }
    return factsOf(stat)
  } finally {
    fs.closeSync(file)
  }
}

function mend(path: string, { mode, gid }: Access): void {
  const stat = fs.lstatSync(path)
  const foreign = gid !== undefined && stat.gid !== gid
  if (foreign) fs.chownSync(path, stat.uid, gid)
  if (foreign || (stat.mode & 0o7777) !== mode) fs.chmodSync(path, mode)
}

function tryLink(existing: string, name: string): boolean {
  try {
    fs.linkSync(existing, name)
    return true
  } catch (thrown) {
    if (NO_LINKS.has(errorCode(thrown) ?? '')) return false
    throw thrown
  }
}

function factsOf(stat: fs.Stats): FileFacts {
  return {
    kind: kindOf(stat.mode),
    size: stat.size,
    mtimeMs: stat.mtimeMs,
    inode: stat.ino,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  }
}

/** From the bits themselves: four method calls less for each of ten thousand files. */
function kindOf(mode: number): FileFacts['kind'] {
  switch (mode & 0o170000) {
    case 0o100000:
      return 'file'
    case 0o040000:
      return 'directory'
    case 0o120000:
      return 'symlink'
    default:
      return 'other'
  }
}
