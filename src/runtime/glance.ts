import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { diskError } from './disk-error.ts'
import type { FileFacts } from './file-facts.ts'
import { kindOf, lookAt } from './file-facts.ts'
import { platform, runtimeName } from './process.ts'

/**
 * Looks at many files below one directory. Under Bun on Linux over `statx` itself, relative to the open directory:
 * 11,000 files take 18 ms of CPU instead of 36, which is most of what an unchanged pass costs.
 */
export interface Glance {
  /** Symlinks are not followed; undefined: nothing is there. `path` is relative, without a slash at its end. */
  look(path: string): FileFacts | undefined
  close(): void
}

/** Opening never fails: where `statx` cannot be had (another runtime, a sandbox without bun:ffi), `lstat` is used. */
export async function openGlance(directory: string): Promise<Glance> {
  const plain: Glance = {
    look: (path) => lookPlainly(join(directory, path)),
    close: () => undefined,
  }
  const statx = await (loaded ??= loadStatx())
  if (statx === undefined) return plain
  let descriptor: number
  try {
    descriptor = openSync(directory, 'r')
  } catch {
    return plain
  }
  return {
    // Whatever statx refuses, lstat explains.
    look: (path) => statx(descriptor, path) ?? plain.look(path),
    close: () => closeSync(descriptor),
  }
}

function lookPlainly(path: string): FileFacts | undefined {
  try {
    return lookAt(path)
  } catch (thrown) {
    throw diskError('look at', path, thrown)
  }
}

type Statx = (descriptor: number, path: string) => FileFacts | undefined

let loaded: Promise<Statx | undefined> | undefined

const LIBRARIES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']
const AT_SYMLINK_NOFOLLOW = 0x100
const STATX_BASIC_STATS = 0x7ff
const LONGEST_PATH = 4096

async function loadStatx(): Promise<Statx | undefined> {
  if (runtimeName !== 'bun' || platform !== 'linux') return undefined
  const { dlopen, ptr } = await import('bun:ffi')
  for (const library of LIBRARIES) {
    try {
      const { symbols } = dlopen(library, {
        statx: { args: ['i32', 'ptr', 'i32', 'u32', 'ptr'], returns: 'i32' },
      })
      const text = new Uint8Array(LONGEST_PATH)
      const answer = new Uint32Array(64)
      const [textAt, answerAt] = [ptr(text), ptr(answer)]
      const statx: Statx = (descriptor, path) => {
        if (!encode(path, text)) return undefined
        const { statx: call } = symbols
        const code = call(descriptor, textAt, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, answerAt)
        return code === 0 ? factsOf(answer) : undefined
      }
      return isTrusted(statx) ? statx : undefined
    } catch {
      // Not this C library, none that knows statx, or the sandbox forbids it.
    }
  }
  return undefined
}

const encoder = new TextEncoder()

/** As a C string; false when it is too long for one. */
function encode(path: string, into: Uint8Array): boolean {
  const { read, written } = encoder.encodeInto(path, into)
  if (read < path.length || written >= into.length) return false
  into[written] = 0
  return true
}

/** `struct statx`, in 32-bit words (little-endian, as all machines are that Bun runs on). */
function factsOf(word: Uint32Array): FileFacts {
  const mode = word[7] ?? 0
  return {
    kind: kindOf(mode),
    size: long(word, 10),
    mtimeMs: long(word, 28) * 1000 + (word[30] ?? 0) / 1e6,
    inode: long(word, 8),
    mode: mode & 0o7777,
    uid: word[5] ?? -1,
    gid: word[6] ?? -1,
  }
}

function long(word: Uint32Array, at: number): number {
  return (word[at + 1] ?? 0) * 0x1_0000_0000 + (word[at] ?? 0)
}

/** Whether it says the same as lstat of a directory that always exists. */
function isTrusted(statx: Statx): boolean {
  const descriptor = openSync('/', 'r')
  try {
    return JSON.stringify(statx(descriptor, 'proc')) === JSON.stringify(lookAt('/proc'))
  } finally {
    closeSync(descriptor)
  }
}
