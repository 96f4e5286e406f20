import { fstatSync, realpathSync, writeSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import process from 'node:process'
import type { Duration } from '../model/time.ts'
import { errorCode } from './disk-error.ts'

export type RuntimeName = 'bun' | 'deno' | 'node'

/** Which runtime this is. Only the files of this folder may branch on it. */
export const runtimeName: RuntimeName =
  'bun' in process.versions ? 'bun' : 'deno' in process.versions ? 'deno' : 'node'

/** Version of the runtime, for `agent version` and the support bundle. */
export const runtimeVersion: string = process.versions[runtimeName] ?? ''

/** `linux`, `darwin`, … */
export const platform: string = process.platform

/** `x64`, `arm64`, … */
export const architecture: string = process.arch

export const pid: number = process.pid

/** Arguments after the program. */
export function argv(): string[] {
  return process.argv.slice(2)
}

/** Path of this program when it is one executable, as it was called; undefined: a runtime runs it. */
export function ownExecutable(): string | undefined {
  // Bun shows what is embedded in an executable as files below this directory.
  if (process.argv[1]?.startsWith('/$bunfs/') !== true) return undefined
  const places = process.argv0.includes('/') ? [''] : (env('PATH') ?? '').split(delimiter)
  // execPath is where all symlinks lead: to one version, where the one that was called outlives it.
  const called = places.map((place) => resolve(place, process.argv0))
  return called.find(isThisProgram) ?? process.execPath
}

function isThisProgram(path: string): boolean {
  try {
    return realpathSync(path) === process.execPath
  } catch {
    return false
  }
}

/** One environment variable; empty counts as missing. */
export function env(name: string): string | undefined {
  const value = process.env[name]
  return value === undefined || value === '' ? undefined : value
}

/** The directory that relative paths of the command line are relative to. */
export function workingDirectory(): string {
  return process.cwd()
}

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2'

/** Calls `handler` for each of the signals until the returned function is called. */
export function onSignal(names: readonly Signal[], handler: (signal: Signal) => void): () => void {
  const listeners = names.map((name) => ({ name, listener: () => handler(name) }))
  for (const { name, listener } of listeners) process.on(name, listener)
  return () => {
    for (const { name, listener } of listeners) process.off(name, listener)
  }
}

/** Ends the process at once. */
export function exit(code: number): never {
  process.exit(code)
}

/** Sets the exit code for when nothing is left to do. */
export function setExitCode(code: number): void {
  process.exitCode = code
}

/** Writes to the terminal, pipe or file; a reader that went away is no error. */
export function stdout(text: string): void {
  write('stdout', text)
}

/** As {@link stdout}. */
export function stderr(text: string): void {
  write('stderr', text)
}

const DESCRIPTORS = { stdin: 0, stdout: 1, stderr: 2 } as const

/** Straight to the descriptor: touching Bun's process.stderr alone costs 5 MB of resident memory. */
function write(stream: 'stdout' | 'stderr', text: string): void {
  let rest: Uint8Array = new TextEncoder().encode(text)
  try {
    while (rest.length > 0) rest = rest.subarray(writeSync(DESCRIPTORS[stream], rest))
  } catch (thrown) {
    // A full pipe that somebody else made non-blocking: the stream waits for it.
    if (errorCode(thrown) === 'EAGAIN') process[stream].write(rest)
  }
}

/** Whether a person may be at the other end. */
export function isTerminal(stream: 'stdin' | 'stdout' | 'stderr'): boolean {
  try {
    // In this order: a daemon's streams are no devices, and node:tty costs it nothing then.
    const descriptor = DESCRIPTORS[stream]
    const isDevice = fstatSync(descriptor).isCharacterDevice()
    return isDevice && process.getBuiltinModule('node:tty').isatty(descriptor)
  } catch {
    return false
  }
}

/** Bits that new files never get. Returns the old ones. */
export function setUmask(mask: number): number {
  return process.umask(mask)
}

/** Resident set size in bytes. */
export function memoryUsage(): { rss: number } {
  return { rss: process.memoryUsage.rss() }
}

/** CPU time of this process so far, user and system. */
export function cpuUsage(): Duration {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
