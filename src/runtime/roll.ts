import type { FileFacts } from './file-facts.ts'

/** A file as it was left; `path` relative, without a slash at its end. */
export type Entry = Pick<FileFacts, 'kind' | 'mode' | 'size' | 'mtimeMs' | 'inode'> & {
  path: string
}

export type FileOwner = Pick<FileFacts, 'uid' | 'gid'>

/**
 * Many files as they were left, flat: ten thousand are compared in each pass, and objects, strings and calls for each of
 * them cost more than the kernel takes to look.
 */
export type Roll = {
  paths: readonly string[]
  /** The paths as C strings, one after the other, and where each begins. */
  text: Uint8Array
  starts: Uint32Array
  /** Of each file: kind and mode as the kernel has them, size, time, inode. */
  numbers: Float64Array
}

/** Numbers of one file in {@link Roll.numbers}. */
export const NUMBERS = 4

const KINDS = { file: 0o100000, directory: 0o040000, symlink: 0o120000, other: 0 }

export function rollOf(files: readonly Entry[]): Roll {
  const paths = files.map(({ path }) => path)
  const text = new TextEncoder().encode(`${paths.join('\0')}\0`)
  const starts = new Uint32Array(files.length)
  const numbers = new Float64Array(files.length * NUMBERS)
  let start = 0
  for (const [index, file] of files.entries()) {
    starts[index] = start
    start = text.indexOf(0, start) + 1
    numbers.set([bitsOf(file), file.size, file.mtimeMs, file.inode], index * NUMBERS)
  }
  return { paths, text, starts, numbers }
}

/** Whether a file is as it was left, and still belongs to its owner. */
export function isAsLeft(
  facts: FileFacts,
  { numbers }: Roll,
  index: number,
  { uid, gid }: FileOwner,
): boolean {
  const at = index * NUMBERS
  return (
    bitsOf(facts) === numbers[at] &&
    facts.size === numbers[at + 1] &&
    facts.mtimeMs === numbers[at + 2] &&
    facts.inode === numbers[at + 3] &&
    facts.uid === uid &&
    facts.gid === gid
  )
}

function bitsOf({ kind, mode }: Pick<FileFacts, 'kind' | 'mode'>): number {
  return KINDS[kind] | mode
}
