import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import process from 'node:process'
import type { Duration } from '../model/time.ts'
import { errorCode } from './disk-error.ts'
import { reapOrphans } from './orphans.ts'

export type CommandOptions = {
  timeout: Duration
  /** Added to PATH, HOME, USER, LANG, TZ and the like; nothing else of our environment, which may hold secrets, is handed on. */
  env?: Record<string, string>
  cwd?: string
  signal: AbortSignal
}

export type CommandResult = {
  /** Exit code; 128 + n after signal n; 127 not found, 126 not executable. */
  code: number
  /** What it wrote to stdout and stderr, at most the last 4 KiB. */
  output: string
  /** Set when it was killed because of its time-out or our signal. */
  killed?: 'timeout' | 'aborted'
}

const OUTPUT_LIMIT = 4096
const HANDED_ON = /^(PATH|HOME|USER|LOGNAME|SHELL|TZ|TMPDIR|LANG|LC_\w+|DBUS_\w+|XDG_RUNTIME_DIR)$/
/** How long output is still read once the command itself has ended: a daemon that it left may hold the pipe for ever. */
const DRAIN: Duration = 200

/** Those that run, or of which the runtime has not told the end. */
const running = new Set<number>()

/** Runs a command without a shell, in a process group of its own that is killed whole when its time is over. Never rejects. */
export async function runCommand(
  argv: readonly string[],
  { timeout, env = {}, cwd, signal }: CommandOptions,
): Promise<CommandResult> {
  if (signal.aborted)
    return { code: 128 + constants.signals.SIGKILL, output: '', killed: 'aborted' }
  // Loaded on first use: it costs 4 MB of resident memory under Bun.
  const { spawn } = process.getBuiltinModule('node:child_process')
  let child: ChildProcess
  try {
    child = spawn(argv[0] ?? '', argv.slice(1), {
      detached: true, // a process group of its own
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...ownEnvironment(), ...env },
      ...(cwd === undefined ? {} : { cwd }),
    })
  } catch (thrown) {
    return notStarted(thrown)
  }
  if (child.pid !== undefined) running.add(child.pid)
  const output = keepTail(child)
  let killed: CommandResult['killed']
  const kill = (why: 'timeout' | 'aborted'): void => {
    killed ??= why
    killGroup(child)
  }
  const aborted = (): void => kill('aborted')
  const timer = setTimeout(() => kill('timeout'), timeout)
  signal.addEventListener('abort', aborted, { once: true })
  try {
    const code = await ended(child)
    return { code, output: output(), ...(killed === undefined ? {} : { killed }) }
  } catch (thrown) {
    return notStarted(thrown)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', aborted)
    if (child.pid !== undefined) running.delete(child.pid)
    // Not only those of this command: what an earlier one left may have ended since.
    await reapOrphans(running)
  }
}

function ownEnvironment(): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && HANDED_ON.test(name)) kept[name] = value
  }
  return kept
}

function notStarted(thrown: unknown): CommandResult {
  const code = errorCode(thrown)
  return { code: code === 'ENOENT' ? 127 : 126, output: `cannot be started (${code ?? 'unknown'})` }
}

/** The group is the child and all that it started, unless one of them left it on purpose. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // Nobody of the group is left.
  }
}

/** Collects both streams as they come; gives their last 4 KiB. */
function keepTail(child: ChildProcess): () => string {
  let tail = Buffer.alloc(0)
  const add = (chunk: Buffer): void => {
    tail = Buffer.concat([tail, chunk])
    if (tail.length > OUTPUT_LIMIT) tail = Buffer.from(tail.subarray(-OUTPUT_LIMIT))
  }
  child.stdout?.on('data', add)
  child.stderr?.on('data', add)
  return () => tail.toString('utf8')
}

/** Resolves with the exit code when the command has ended and its output is read, or a moment later. */
function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      const done = (): void => {
        child.stdout?.destroy()
        child.stderr?.destroy()
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
      }
      const drain = setTimeout(done, DRAIN)
      child.once('close', () => {
        clearTimeout(drain)
        done()
      })
    })
  })
}
