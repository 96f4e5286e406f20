import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { constants } from 'node:fs'
import { isAbsolute } from 'node:path'
import { diskError, errorCode } from './disk-error.ts'
import { userId } from './owner.ts'

/*
 * A directory of another user, who may be hostile and change everything in it and on the way to it while root looks.
 *
 * It is opened part by part, and from then on named by its descriptor (`/proc/self/fd/N/name`, as openat(2) would), so that
 * it cannot be exchanged. Symlinks are followed only where none but us and root could have put them; in the directory
 * nothing is followed, nothing is opened that could make us wait, and nothing is written.
 */
export interface HeldDirectory {
  /** Names of what is there, hidden ones left out. */
  names(): string[]
  /** Throws what it says of it: no file, of another user, too large. Undefined: it is gone. */
  read(name: string, limit: number): HeldFile | undefined
  /** Takes away what has the name; given a file, only when it is still that one. False: it is still there. */
  remove(name: string, file?: HeldFile): boolean
  close(): void
}

export type HeldFile = { text: string; inode: number }

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants
const MOST_SYMLINKS = 40

/** Undefined: it does not exist. Throws when a part of the way is none that can be trusted. */
export function holdDirectory(path: string): HeldDirectory | undefined {
  let descriptor: number
  try {
    descriptor = openParts(path)
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return undefined
    throw diskError('open', path, thrown)
  }
  const { uid } = fs.fstatSync(descriptor)
  const at = (name: string): string => `${place(descriptor)}/${name}`
  return {
    names: () => fs.readdirSync(place(descriptor)).filter((name) => !name.startsWith('.')),
    read: (name, limit) => readFile(at(name), { uid, limit }),
    remove(name, file) {
      try {
        const there = fs.lstatSync(at(name), { throwIfNoEntry: false })
        if (there === undefined || (file !== undefined && there.ino !== file.inode)) return true
        // A directory may be full: it only gets out of the way. Nothing is asked of what is in it.
        if (there.isDirectory())
          fs.renameSync(at(name), at(`.refused-${randomBytes(6).toString('hex')}`))
        else fs.unlinkSync(at(name))
        return true
      } catch (thrown) {
        return errorCode(thrown) === 'ENOENT'
      }
    },
    close: () => fs.closeSync(descriptor),
  }
}

function place(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`
}

function openParts(path: string): number {
  if (!isAbsolute(path)) throw new Error('the path is relative')
  const parts = path.split('/').filter((part) => part !== '')
  let held = openDirectory('/')
  try {
    for (let links = 0; ;) {
      const part = parts.shift()
      if (part === undefined) return held
      const target = linkIn(held, part)
      if (target !== undefined && ++links > MOST_SYMLINKS) throw new Error('too many symlinks')
      parts.unshift(...(target ?? '').split('/').filter((one) => one !== ''))
      if (target !== undefined && !isAbsolute(target)) continue
      const next = openDirectory(target === undefined ? `${place(held)}/${part}` : '/')
      fs.closeSync(held)
      held = next
    }
  } catch (thrown) {
    fs.closeSync(held)
    throw thrown
  }
}

function openDirectory(path: string): number {
  return fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
}

/** Where a symlink leads that none but us and root could have made; undefined: it is none. */
function linkIn(held: number, part: string): string | undefined {
  const path = `${place(held)}/${part}`
  if (!fs.lstatSync(path).isSymbolicLink()) return undefined
  const { uid, mode } = fs.fstatSync(held)
  const ours = (uid === 0 || uid === userId()) && (mode & 0o022) === 0
  if (!ours) throw new Error(`${part} is a symlink in a directory that other users can change`)
  return fs.readlinkSync(path)
}

function readFile(
  path: string,
  { uid, limit }: { uid: number; limit: number },
): HeldFile | undefined {
  let descriptor: number
  try {
    // A pipe is opened at once, and a lease that somebody holds does not make us wait.
    descriptor = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return undefined
    throw errorCode(thrown) === 'ELOOP' ? new Error('it is a symlink') : thrown
  }
  try {
    const stat = fs.fstatSync(descriptor)
    if (!stat.isFile()) throw new Error('it is no file')
    if (stat.uid !== uid) throw new Error('it is of another user than its directory')
    if (stat.nlink !== 1) throw new Error('it has a second name')
    if (stat.size > limit) throw new Error(`it is larger than ${limit} bytes`)
    return { text: readText(descriptor, limit), inode: stat.ino }
  } finally {
    fs.closeSync(descriptor)
  }
}

/** At most `limit` bytes, however much is added meanwhile. */
function readText(descriptor: number, limit: number): string {
  const bytes = Buffer.alloc(limit)
  let length = 0
  for (;;) {
    const read = fs.readSync(descriptor, bytes, length, limit - length, null)
    length += read
    if (read === 0 || length === limit) return bytes.toString('utf8', 0, length)
  }
}
