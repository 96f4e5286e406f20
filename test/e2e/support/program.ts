/** The compiled executable, as a user starts it: with a clean environment and no terminal. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../../../scripts/build.ts'
import { hostPlatform } from '../../../scripts/executable.ts'
import { ROOT } from '../../../scripts/repository.ts'
import { skipUnless } from '../../skip.ts'

const built = join(ROOT, 'dist', `agent-${hostPlatform?.name ?? 'none'}`)
/** AGENT_TEST_EXECUTABLE names another one, for example that for musl. */
const named = process.env['AGENT_TEST_EXECUTABLE']
let pinned: string | undefined = named

export function executable(): string {
  return pinned ?? built
}

/** Goes on with a copy, so that a build meanwhile does not change what a long run looks at. */
export function pinExecutable(directory: string): void {
  const original = executable()
  pinned = join(directory, 'agent')
  copyFileSync(original, pinned)
}

/** `test` for what needs the executable; give it {@link SLOW} as its limit. */
export const onExecutable = skipUnless(hostPlatform !== undefined, {
  why: 'the product is not made for this platform',
  how: 'run the tests on Linux (x64, arm64) or macOS (arm64)',
  allowedInCi: true,
})

/** Milliseconds for one test on a busy machine. */
export const SLOW = 60_000

/** Builds the executable unless it is up to date: `npm test` has done so already. */
export async function ensureExecutable(): Promise<void> {
  if (hostPlatform !== undefined && named === undefined) await build([hostPlatform])
}

/** `code` is null when a signal ended it. */
export type Finished = { code: number | null; out: string; err: string }

export type StartOptions = {
  cwd: string
  /** Added to PATH and HOME, which is all that a program gets otherwise. */
  env?: Record<string, string>
  /** Another program than the executable. */
  program?: string
  /** What starts it, for example `setpriv --reuid=65534 …`. */
  wrap?: readonly string[]
}

const CLEAN = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', NO_COLOR: '1' }

function command(args: readonly string[], { program = executable(), wrap = [] }: StartOptions) {
  return [...wrap, program, ...args]
}

/** Runs it to its end. One that does not end within half a minute is killed, and the test fails. */
export async function finish(args: readonly string[], options: StartOptions): Promise<Finished> {
  const child = Bun.spawn(command(args, options), {
    cwd: options.cwd,
    env: { ...CLEAN, ...options.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()])
  await child.exited
  return { code: child.exitCode, out, err }
}

export type Running = {
  readonly pid: number
  /** Resolves with the exit code, or with the signal that ended it. */
  readonly exited: Promise<number | string>
  readonly isRunning: () => boolean
  signal(name: NodeJS.Signals): void
  /** SIGTERM; how it ended and after how many milliseconds. */
  stop(): Promise<{ how: number | string; after: number }>
}

/** Starts it; both outputs are appended to the file `log`. */
export function start(args: readonly string[], options: StartOptions & { log: string }): Running {
  const log = Bun.file(options.log)
  const child = Bun.spawn(
    // A shell appends, so that the log of an earlier start stays.
    [
      'sh',
      '-c',
      'log=$1; shift; exec "$@" >>"$log" 2>&1',
      'sh',
      log.name!,
      ...command(args, options),
    ],
    {
      cwd: options.cwd,
      env: { ...CLEAN, ...options.env },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
    },
  )
  const exited = child.exited.then(() => child.signalCode ?? child.exitCode ?? -1)
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null
  return {
    pid: child.pid,
    exited,
    isRunning,
    signal: (name) => child.kill(name),
    async stop() {
      const at = performance.now()
      child.kill('SIGTERM')
      return { how: await exited, after: performance.now() - at }
    },
  }
}

/** Looks every 20 ms until `look` gives something else than undefined or false. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  limit = 20_000,
): Promise<T> {
  const end = performance.now() + limit
  for (;;) {
    const seen = await look()
    if (seen !== undefined && seen !== false) return seen
    if (performance.now() > end) throw new Error(`waited ${limit} ms in vain until ${what}`)
    await Bun.sleep(20)
  }
}
