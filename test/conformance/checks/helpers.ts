/** Second processes for the checks: the same bundle, started with the name of a helper. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { openHttp } from '../../../src/runtime/http.ts'
import { acquireLock } from '../../../src/runtime/lock.ts'
import { onSignal, stdout } from '../../../src/runtime/process.ts'
import { errorOf } from './harness.ts'

/** What scripts/conformance.ts passes on: how this runtime starts a program, and how another one does. */
const COMMANDS = { own: 'AGENT_RUNTIME_COMMAND', other: 'AGENT_PEER_COMMAND' } as const

const HELPERS: Record<string, (args: string[]) => Promise<void>> = {
  /** Takes a lock, tells, and stays until it is killed. */
  async lock([path = '']) {
    stdout((await acquireLock(path)) ? 'held\n' : 'busy\n')
    setInterval(() => undefined, 60_000)
  },
  /** Calls a URL with the CA of a file and tells what came of it. */
  async fetch([url = '', ca]) {
    const session = openHttp({ tls: ca === undefined ? {} : { ca: [readFileSync(ca, 'utf8')] } })
    const error = await errorOf(session.fetch(url))
    stdout(`${error?.code ?? 'fulfilled'}\n`)
    await session.close()
  },
  /** Tells that it is ready, and then the first signal that it gets. */
  async signal() {
    const alive = setInterval(() => undefined, 60_000)
    const seen = new Promise<string>((resolve) => {
      onSignal(['SIGTERM', 'SIGHUP'], resolve)
    })
    stdout('ready\n')
    stdout(`${await seen}\n`)
    clearInterval(alive)
    process.exit(0)
  },
  /** Writes a lot, as a log does whose reader has gone. */
  print() {
    for (let turn = 0; turn < 50; turn += 1) stdout('x'.repeat(100_000))
    return Promise.resolve()
  },
}

/** Runs one helper in this process. */
export async function runHelper(name: string, args: string[]): Promise<void> {
  const helper = HELPERS[name]
  if (!helper) throw new Error(`there is no helper ${name}`)
  await helper(args)
}

export type Helper = {
  child: ChildProcess
  /** The next line that it prints; undefined at its end. */
  line(): Promise<string | undefined>
  kill(): Promise<void>
}

/** Starts a helper in another process of this or of the other runtime. */
export function startHelper(
  args: string[],
  { runtime = 'own', env = {} }: { runtime?: 'own' | 'other'; env?: Record<string, string> } = {},
): Helper {
  const prefix: string[] = JSON.parse(process.env[COMMANDS[runtime]] ?? '[]')
  const [command = process.execPath, ...rest] = prefix
  const child = spawn(command, [...rest, process.argv[1] ?? '', ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, ...env },
  })
  const lines: string[] = []
  let waiting: (() => void) | undefined
  let text = ''
  let ended = false
  child.stdout.on('data', (chunk: Uint8Array) => {
    const parts = (text + new TextDecoder().decode(chunk)).split('\n')
    text = parts.pop() ?? ''
    lines.push(...parts)
    waiting?.()
  })
  const exited = new Promise<void>((resolve) => {
    child.once('close', () => {
      ended = true
      waiting?.()
      resolve()
    })
  })
  return {
    child,
    async line() {
      while (lines.length === 0 && !ended) await new Promise<void>((resolve) => (waiting = resolve))
      return lines.shift()
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Runs work with a directory that is removed afterwards. */
export async function inDirectory(work: (path: string) => Promise<void>): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'runtime-agent-'))
  try {
    await work(path)
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}
