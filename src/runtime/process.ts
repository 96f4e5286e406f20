import process from 'node:process'
import type { Duration } from '../model/time.ts'

export type RuntimeName = 'bun' | 'deno' | 'node'

/** Which runtime this is. Only the files of this folder may branch on it. */
export const runtimeName: RuntimeName =
  'bun' in process.versions ? 'bun' : 'deno' in process.versions ? 'deno' : 'node'

/** Version of the runtime, for `agent version` and the support bundle. */
export const runtimeVersion: string = process.versions[runtimeName] ?? ''

/** `linux`, `darwin`, … and `x64`, `arm64`, …. */
export const platform: string = process.platform
export const architecture: string = process.arch
export const pid: number = process.pid

/** Arguments after the program. */
export function argv(): string[] {
  return process.argv.slice(2)
}

/** One environment variable; empty counts as missing. */
export function env(name: string): string | undefined {
  const value = process.env[name]
  return value === undefined || value === '' ? undefined : value
}

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2'

/** Calls `handler` for each of the signals until the returned function is called. */
export function onSignal(names: readonly Signal[], handler: (signal: Signal) => void): () => void {
  const listeners = names.map((name) => {
    const listener = (): void => handler(name)
    process.on(name, listener)
    return { name, listener }
  })
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

/** Writes to the terminal or pipe; a reader that went away is no error. */
export function stdout(text: string): void {
  process.stdout.write(text)
}

/** As {@link stdout}. */
export function stderr(text: string): void {
  process.stderr.write(text)
}

export function isTerminal(stream: 'stdin' | 'stdout' | 'stderr'): boolean {
  return process[stream].isTTY
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
