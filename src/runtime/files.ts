import type { Instant } from '../model/time.ts'

/** What `lstat` says of a path: enough to see whether a file is still the one that was written. */
export type FileStat = {
  kind: 'file' | 'directory' | 'symlink' | 'other'
  size: number
  /** Nanoseconds as decimal text: beyond what a number holds. */
  mtimeNs: string
  inode: number
  /** Permission bits with set-id and sticky, `0o7777`. */
  mode: number
  uid: number
  gid: number
  links: number
  mtime: Instant
}

/** The text of a file; `undefined` when it does not exist. Throws `disk_failed` beyond `limit` bytes (16 MiB). */
export function readText(path: string, limit?: number): Promise<string | undefined> {
  void path
  void limit
  return Promise.reject(new Error('not yet'))
}

/** As {@link readText}, undecoded. */
export function readBytes(path: string, limit?: number): Promise<Uint8Array | undefined> {
  void path
  void limit
  return Promise.reject(new Error('not yet'))
}

export type WriteOptions = {
  /** Exact permission bits from creation on, whatever the umask is; 0600 when missing. */
  mode?: number
  gid?: number
}

/** Replaces a file whole or not at all: temp file beside it, fsync, rename, fsync of the directory. */
export function writeAtomic(
  path: string,
  data: string | Uint8Array,
  options?: WriteOptions,
): Promise<void> {
  void path
  void data
  void options
  return Promise.reject(new Error('not yet'))
}

/** Makes a new file with exact mode; fails when the name exists. Not synced: see {@link syncFileSystem}. */
export function writeNew(
  path: string,
  data: string | Uint8Array,
  options?: WriteOptions,
): Promise<void> {
  void path
  void data
  void options
  return Promise.reject(new Error('not yet'))
}

/** Makes a directory (and missing parents, 0700 each unless they exist) with exact mode and group, or mends those of ours. */
export function ensureDirectory(
  path: string,
  options: { mode: number; gid?: number },
): Promise<void> {
  void path
  void options
  return Promise.reject(new Error('not yet'))
}

/** Everything written so far to the file system that holds `path` is on disk when this resolves. */
export function syncFileSystem(path: string): Promise<void> {
  void path
  return Promise.reject(new Error('not yet'))
}

/** fsync of a directory: names made, renamed and removed in it are on disk. */
export function syncDirectory(path: string): Promise<void> {
  void path
  return Promise.reject(new Error('not yet'))
}

/** Points a symlink to `target` in one step and syncs its directory. Something that is no symlink is not replaced. */
export function replaceSymlink(link: string, target: string): Promise<void> {
  void link
  void target
  return Promise.reject(new Error('not yet'))
}

/** Where a symlink points; `undefined` when there is nothing or no symlink. */
export function readSymlink(path: string): Promise<string | undefined> {
  void path
  return Promise.reject(new Error('not yet'))
}

/** Removes a file, symlink or directory with all that is in it, following no symlink; nothing there is fine. */
export function removeTree(path: string): Promise<void> {
  void path
  return Promise.reject(new Error('not yet'))
}

/** Removes one file or symlink; nothing there is fine. */
export function removeFile(path: string): Promise<void> {
  void path
  return Promise.reject(new Error('not yet'))
}

/** Sorted names in a directory; `undefined` when it does not exist. */
export function list(path: string): Promise<string[] | undefined> {
  void path
  return Promise.reject(new Error('not yet'))
}

/** What is at a path, symlinks not followed; `undefined` when nothing. */
export function lstat(path: string): Promise<FileStat | undefined> {
  void path
  return Promise.reject(new Error('not yet'))
}

/** A second name for the same file, on the same file system. */
export function hardLink(existing: string, name: string): Promise<void> {
  void existing
  void name
  return Promise.reject(new Error('not yet'))
}

/** Renames within one file system, replacing a file of the new name. Not synced. */
export function rename(from: string, to: string): Promise<void> {
  void from
  void to
  return Promise.reject(new Error('not yet'))
}

/**
 * The first of `path` and its parents that a user other than us and root can change (sticky directories are fine), or
 * `undefined`. Parts that do not exist are skipped.
 */
export function isWritableByOthers(path: string): Promise<string | undefined> {
  void path
  return Promise.reject(new Error('not yet'))
}

/** Number of a group by name or decimal text; `undefined` when there is none. */
export function groupId(name: string): number | undefined {
  void name
  return undefined
}

/** Our effective user id; -1 where the system has none. */
export function userId(): number {
  return -1
}
