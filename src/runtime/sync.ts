import { closeSync, openSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { onDisk } from './disk-error.ts'
import { platform, runtimeName } from './process.ts'

/*
 * One sync for a whole generation of files: fsync of 9,000 files takes 3 to 19 s, syncfs 0.1 s. Three ways, the first
 * that works is kept: the system call over bun:ffi, `sync -f` of coreutils, fsync of each file. Which works depends on
 * runtime, sandbox (MemoryDenyWriteExecute forbids bun:ffi) and image (a scratch image has no `sync`).
 */

type Way = (path: string) => Promise<boolean>

let known: Way | undefined

/** Everything written so far below `path` is on disk when this resolves. */
export function syncFileSystem(path: string): Promise<void> {
  return onDisk('sync', path, async () => {
    for (const way of known ? [known, eachFile] : [systemCall, command, eachFile]) {
      if (!(await way(path))) continue
      known = way
      return
    }
  })
}

type Syncfs = (descriptor: number) => number

let syncfs: Promise<Syncfs | undefined> | undefined

const systemCall: Way = async (path) => {
  if (runtimeName !== 'bun' || platform !== 'linux') return false
  const call = await (syncfs ??= loadSyncfs())
  if (!call) return false
  const descriptor = openSync(path, 'r')
  try {
    // -1 tells no reason here; the other ways find it out.
    return call(descriptor) === 0
  } finally {
    closeSync(descriptor)
  }
}

async function loadSyncfs(): Promise<Syncfs | undefined> {
  const { dlopen } = await import('bun:ffi')
  const libraries = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']
  for (const library of libraries) {
    try {
      return dlopen(library, { syncfs: { args: ['i32'], returns: 'i32' } }).symbols.syncfs
    } catch {
      // Not this C library, or the sandbox forbids it.
    }
  }
  return undefined
}

const command: Way = (path) =>
  new Promise((resolve) => {
    const { spawn } = process.getBuiltinModule('node:child_process')
    const child = spawn('sync', ['-f', path], { stdio: 'ignore' })
    child.once('error', () => resolve(false))
    child.once('close', (code) => resolve(code === 0))
  })

const eachFile: Way = async (path) => {
  const stat = await fs.lstat(path)
  if (stat.isSymbolicLink()) return true
  if (stat.isDirectory()) {
    for (const name of await fs.readdir(path)) await eachFile(join(path, name))
  } else if (!stat.isFile()) return true
  const handle = await fs.open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
  return true
}
