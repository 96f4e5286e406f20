import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate } from 'node:timers'
import { diskError, errorCode } from './disk-error.ts'
import { factsOf, isAbsent, lookAt } from './file-facts.ts'
import type { FileFacts } from './file-facts.ts'
import { replaceSymlink, writeAtomic } from './files.ts'
import { openGlance } from './glance.ts'
import type { Glance } from './glance.ts'
import { syncFileSystem } from './sync.ts'

/**
 * Many small files in a row, without a promise for each (a generation has ten thousand; async calls cost three times
 * the CPU). Nothing is synced but by `replace`, `sync` and `swap`. Errors are AgentError `disk_full` or `disk_failed`, naming the
 * path; nothing follows a symlink at the last part of a path, except `list` and `read`.
 *
 * An interface, so that tests can let any single operation fail.
 */
export interface BulkFiles {
  /** Undefined: nothing is there. */
  look(path: string): FileFacts | undefined
  /** As `look`, for many files below one directory. */
  glance(directory: string): Promise<Glance>
  /** Names in a directory, sorted; undefined: nothing is there. */
  list(path: string): string[] | undefined
  /** UTF-8; undefined: nothing is there. Throws for a pipe or device: opening a pipe would stop the whole process. */
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
  /** A single file, whole or not at all and synced, as writeAtomic. */
  replace(path: string, data: string, as: Access & { staging?: string }): Promise<void>
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
  glance: openGlance,
  list: (path) => ifThere('list', path, () => fs.readdirSync(path).sort()),
  read: (path) => ifThere('read', path, () => readFile(path)),
  readLink: (path) => on('read', path, () => fs.readlinkSync(path)),
  write: (path, data, as) => on('write', path, () => writeNew(path, data, as)),
  makeDirectory: (path, as) =>
    on('make the directory', path, () => {
      fs.mkdirSync(path, isHandedOn(dirname(path), as) ? as.mode & 0o777 : 0o700)
      mend(path, as)
    }),
  mend: (path, as) => on('change mode and group of', path, () => mend(path, as)),
  link: (existing, name) => on('link', name, () => tryLink(existing, name)),
  rename: (from, to) => on('rename', from, () => fs.renameSync(from, to)),
  remove: (path) => on('remove', path, () => fs.rmSync(path, { recursive: true, force: true })),
  replace: (path, data, { gid, ...options }) =>
    writeAtomic(path, data, gid === undefined ? options : { ...options, gid }),
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

function readFile(path: string): string {
  const stat = fs.statSync(path)
  if (!stat.isFile() && !stat.isDirectory()) throw new Error('it is no file')
  return fs.readFileSync(path, 'utf8')
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
      checkMode(stat.mode, mode)
    }
    return factsOf(stat)
  } finally {
    fs.closeSync(file)
  }
}

/** Whether a new directory gets the set-group-ID bit and its group from the one above: a sandbox may let nobody set that bit. */
function isHandedOn(parent: string, { mode, gid }: Access): boolean {
  const above = fs.statSync(parent)
  return (mode & above.mode & 0o2000) !== 0 && (gid === undefined || gid === above.gid)
}

function mend(path: string, { mode, gid }: Access): void {
  const stat = fs.lstatSync(path)
  const foreign = gid !== undefined && stat.gid !== gid
  if (foreign) fs.chownSync(path, stat.uid, gid)
  if (!foreign && (stat.mode & 0o7777) === mode) return
  fs.chmodSync(path, mode)
  checkMode(fs.lstatSync(path).mode, mode)
}

/** vfat ignores modes, and a kernel drops the set-group-ID bit for a group that we are not in: both without an error. */
function checkMode(found: number, wanted: number): void {
  if ((found & 0o7777) === wanted) return
  throw new Error(
    `the file system made mode ${octal(found & 0o7777)} of ${octal(wanted)}, which readers cannot rely on`,
  )
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0')
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
