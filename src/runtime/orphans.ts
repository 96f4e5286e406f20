import { readFileSync, readdirSync } from 'node:fs'
import { pid, platform, runtimeName } from './process.ts'

/*
 * What commands leave behind becomes a child of the first process, and stays as a zombie until that one asks for it. In a
 * container without `--init` the agent is the first process, and no runtime asks for children that it has not started.
 */

type Wait = (pid: number, status: null, options: number) => number

const WNOHANG = 1

let wait: Promise<Wait | undefined> | undefined

/**
 * As the first process: takes leave of children that have ended and that we have not started. `own` are those that we
 * have: the runtime asks for them. Elsewhere, and where the system call cannot be made, does nothing.
 */
export async function reapOrphans(own: ReadonlySet<number>): Promise<void> {
  if (pid !== 1 || runtimeName !== 'bun' || platform !== 'linux') return
  const call = await (wait ??= loadWait())
  if (call === undefined) return
  for (const orphan of zombies()) if (!own.has(orphan)) call(orphan, null, WNOHANG)
}

/** Children of the first process that have ended. */
function zombies(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isZombie(name))
    .map(Number)
}

/** proc(5): `pid (name) state ppid …`, where the name may hold anything. */
function isZombie(name: string): boolean {
  try {
    const text = readFileSync(`/proc/${name}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).startsWith('Z 1 ')
  } catch {
    // It is gone.
    return false
  }
}

async function loadWait(): Promise<Wait | undefined> {
  const { dlopen } = await import('bun:ffi')
  const libraries = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']
  for (const library of libraries) {
    try {
      const { symbols } = dlopen(library, {
        waitpid: { args: ['i32', 'ptr', 'i32'], returns: 'i32' },
      })
      return symbols.waitpid
    } catch {
      // Not this C library, or the sandbox forbids it.
    }
  }
  return undefined
}
