import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AgentError } from '../model/problem.ts'
import type { Instant } from '../model/time.ts'
import { errorCode, onDisk, onDiskIfThere } from './disk-error.ts'

/*
 * Files as the agent needs them. All functions throw AgentError `disk_full` (no space, quota) or `disk_failed` (anything
 * else), naming the path. Nothing follows a symlink at the last part of a path that it writes or removes.
 *
 * Tried and dropped: `mode` of open() alone. The umask takes bits away, and Deno adds some; so each file begins with
 * the owner's bits only and gets its group and then its exact mode before it has its final name.
 */

/** What `lstat` says of a path: enough to see whether a file is still the one that was written. */
export type FileStat = {
  kind: 'file' | 'directory' | 'symlink' | 'other'
  size: number
  /** Nanoseconds as decimal text: beyond what a number holds. */
  mtimeNs: string
  mtime: Instant
  inode: number
  /** Permission bits with set-id and sticky, `0o7777`. */
  mode: number
  uid: number
  gid: number
  links: number
}

export type WriteOptions = {
  /** Exact permission bits, whatever the umask is; never wider for a moment; 0600 when missing. */
  mode?: number
  gid?: number
  /** Where the temp file is made, on the same file system; beside the file when missing. For a directory that is watched. */
  staging?: string
}

const READ_LIMIT = 16 * 1024 * 1024
const CHUNK = 64 * 1024
const TEMPORARY = /^\..+\.[0-9a-f]{12}\.tmp$/

/**
 * The text of a file (UTF-8); `undefined` when it does not exist. Throws beyond `limit` bytes (16 MiB when missing), and
 * for a pipe or device: opening a pipe waits for its writer, for ever and beyond any signal.
 */
export async function readText(path: string, limit?: number): Promise<string | undefined> {
  return textOf(await readBytes(path, limit))
}

/**
 * As {@link readText}, also from what a shell gives as a file: `<(command)`, /dev/stdin. Waits for its end. Not from a
 * pipe that has a name: there may be no writer at the other end, and each reader gets another text.
 */
export async function readTextOrPipe(path: string, limit: number): Promise<string | undefined> {
  const read = async (): Promise<Uint8Array> => {
    if (await isNamedPipe(path)) throw new Error('it is a named pipe')
    return readOpened(path, limit)
  }
  return textOf(await onDiskIfThere('read', path, read))
}

/** One that a shell made has no place in the file system, though there is a path to it. */
async function isNamedPipe(path: string): Promise<boolean> {
  if (!(await fs.stat(path)).isFIFO()) return false
  const place = await fs.realpath(path).catch(() => '')
  return (await fs.lstat(place).catch(() => undefined))?.isFIFO() === true
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
}

/** As {@link readText}, undecoded. */
export function readBytes(path: string, limit = READ_LIMIT): Promise<Uint8Array | undefined> {
  return onDiskIfThere('read', path, async () => {
    const stat = await fs.stat(path)
    if (!stat.isFile() && !stat.isDirectory()) throw new Error('it is no file')
    return readOpened(path, limit)
  })
}

async function readOpened(path: string, limit: number): Promise<Uint8Array> {
  const file = await fs.open(path, 'r')
  try {
    return await readAll(file, limit, path)
  } finally {
    await file.close()
  }
}

async function readAll(file: FileHandle, limit: number, path: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  for (;;) {
    // A new buffer each time: what was read before still lies in the old ones.
    const chunk = new Uint8Array(CHUNK)
    const { bytesRead } = await file.read(chunk, 0, CHUNK, null)
    if (bytesRead === 0) break
    total += bytesRead
    if (total > limit) {
      throw new AgentError('disk_failed', `Cannot read ${path}: larger than ${limit} bytes`)
    }
    chunks.push(chunk.subarray(0, bytesRead))
  }
  return Buffer.concat(chunks, total)
}

/**
 * Replaces a file whole or not at all: temp file beside it, fsync, rename, fsync of the directory. Leaves no temp file
 * behind when it fails; what a killed process left is for {@link removeTemporary}. A large text comes in pieces.
 */
export async function writeAtomic(
  path: string,
  data: string | Uint8Array | Iterable<string>,
  options: WriteOptions = {},
): Promise<void> {
  const temporary = temporaryName(path, options.staging)
  await onDisk('write', path, async () => {
    try {
      await create(temporary, data, { ...options, sync: true })
      await fs.rename(temporary, path)
    } catch (thrown) {
      await fs.rm(temporary, { force: true }).catch(() => undefined)
      throw thrown
    }
  })
  await syncDirectory(dirname(path))
}

/** Makes a new file with exact mode; fails when the name exists. Not synced: see syncFileSystem in sync.ts. */
export function writeNew(
  path: string,
  data: string | Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  return onDisk('write', path, async () => {
    try {
      await create(path, data, options)
    } catch (thrown) {
      if (errorCode(thrown) !== 'EEXIST') await fs.rm(path, { force: true }).catch(() => undefined)
      throw thrown
    }
  })
}

async function create(
  path: string,
  data: string | Uint8Array | Iterable<string>,
  { mode = 0o600, gid, sync }: WriteOptions & { sync?: boolean },
): Promise<void> {
  const file = await fs.open(path, 'wx', mode & 0o600)
  try {
    const whole = typeof data === 'string' || data instanceof Uint8Array
    // Each goes on where the one before ended.
    for (const piece of whole ? [data] : data) await file.writeFile(piece)
    const { uid, gid: given } = await file.stat()
    // A sandbox may forbid even what changes nothing.
    if (gid !== undefined && gid !== given) await file.chown(uid, gid)
    await file.chmod(mode)
    if (sync) await file.sync()
  } finally {
    await file.close()
  }
}

function temporaryName(path: string, directory = dirname(path)): string {
  return join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
}

/** Removes the temp files that a killed process left in a directory. Only for the one owner of that directory. */
export async function removeTemporary(directory: string): Promise<void> {
  for (const name of (await list(directory)) ?? []) {
    if (TEMPORARY.test(name)) await removeFile(join(directory, name))
  }
}

/**
 * Makes a directory with exact mode and group; mends both of one that exists. Missing parents become 0711: readers of a
 * directory below them must get there, whatever the umask is.
 */
export function ensureDirectory(
  path: string,
  { mode, gid }: { mode: number; gid?: number },
): Promise<void> {
  return onDisk('make the directory', path, async () => {
    await makeParents(dirname(path))
    await fs.mkdir(path, { mode: 0o700 }).catch(exists)
    const stat = await fs.lstat(path)
    if (!stat.isDirectory()) throw new AgentError('disk_failed', `Cannot use ${path}: no directory`)
    const foreignGroup = gid !== undefined && stat.gid !== gid
    if (foreignGroup) await fs.chown(path, stat.uid, gid)
    if (foreignGroup || (stat.mode & 0o7777) !== mode) await fs.chmod(path, mode)
  })
}

async function makeParents(path: string): Promise<void> {
  const first = await fs.mkdir(path, { recursive: true, mode: 0o711 })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made))
    await fs.chmod(made, 0o711)
}

function exists(thrown: unknown): void {
  if (errorCode(thrown) !== 'EEXIST') throw thrown
}

/** fsync of a directory: names made, renamed and removed in it are on disk. */
export function syncDirectory(path: string): Promise<void> {
  return onDisk('sync', path, () => syncHandle(path))
}

/** fsync of one file or directory. */
export async function syncHandle(path: string): Promise<void> {
  const handle = await fs.open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Points a symlink to `target` in one step and syncs its directory. Throws `output_foreign` on what is no symlink. */
export async function replaceSymlink(link: string, target: string): Promise<void> {
  const there = await lstat(link)
  if (there && there.kind !== 'symlink') {
    throw new AgentError(
      'output_foreign',
      `Cannot point ${link} to ${target}: it is a ${there.kind}`,
    )
  }
  const temporary = temporaryName(link)
  await onDisk('replace', link, async () => {
    try {
      await fs.symlink(target, temporary)
      await fs.rename(temporary, link)
    } catch (thrown) {
      await fs.rm(temporary, { force: true }).catch(() => undefined)
      throw thrown
    }
  })
  await syncDirectory(dirname(link))
}

/** Where a symlink points; `undefined` when there is nothing or no symlink. */
export async function readSymlink(path: string): Promise<string | undefined> {
  if ((await lstat(path))?.kind !== 'symlink') return undefined
  return onDiskIfThere('read', path, () => fs.readlink(path))
}

/** Removes a file, symlink or directory with all that is in it, following no symlink; nothing there is fine. */
export function removeTree(path: string): Promise<void> {
  return onDisk('remove', path, () => fs.rm(path, { recursive: true, force: true }))
}

/** Removes one file or symlink; nothing there is fine. */
export async function removeFile(path: string): Promise<void> {
  await onDiskIfThere('remove', path, () => fs.unlink(path))
}

/** Sorted names in a directory; `undefined` when it does not exist. */
export function list(path: string): Promise<string[] | undefined> {
  return onDiskIfThere('list', path, async () => (await fs.readdir(path)).sort())
}

/** What is at a path, symlinks not followed; `undefined` when nothing. */
export function lstat(path: string): Promise<FileStat | undefined> {
  return onDiskIfThere('look at', path, async () => {
    const stat = await fs.lstat(path, { bigint: true })
    return {
      kind: kindOf(stat),
      size: Number(stat.size),
      mtimeNs: String(stat.mtimeNs),
      mtime: Number(stat.mtimeMs),
      inode: Number(stat.ino),
      mode: Number(stat.mode) & 0o7777,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      links: Number(stat.nlink),
    }
  })
}

type Kinds = { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean }

function kindOf(stat: Kinds): FileStat['kind'] {
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isDirectory()) return 'directory'
  return stat.isFile() ? 'file' : 'other'
}

/** A second name for the same file, on the same file system. */
export function hardLink(existing: string, name: string): Promise<void> {
  return onDisk('link', name, () => fs.link(existing, name))
}

/** Renames within one file system, replacing a file of the new name. Not synced. */
export function rename(from: string, to: string): Promise<void> {
  return onDisk('rename', from, () => fs.rename(from, to))
}

export { syncFileSystem } from './sync.ts'
export { actAsOwnerOf, groupId, isWritableByOthers, realPath, userId } from './owner.ts'
