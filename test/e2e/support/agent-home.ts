/** A directory with an agent.yaml, its state and its output, and the agent that runs in it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Status } from '../../../src/model/status.ts'
import { finish, start, until } from './program.ts'
import type { Finished, Running, StartOptions } from './program.ts'

export type LogLine = { level: string; message: string; code?: string; [field: string]: unknown }

export type Agent = Running & {
  /** Over the control socket; undefined: it does not answer. */
  status(): Promise<Status | undefined>
  /** The first status of this process that fits. */
  until(what: string, fits: (status: Status) => boolean, limit?: number): Promise<Status>
}

export type AgentHome = {
  readonly directory: string
  path(...parts: string[]): string
  /** Writes agent.yaml: JSON is YAML. */
  configure(change: Record<string, unknown>): void
  giveToken(token: string): void
  /** `state`: where agent.yaml has the state directory. */
  start(options?: Partial<StartOptions>, state?: string): Agent
  /** A command of the program in this directory, with `--config agent.yaml`. */
  run(command: string, ...args: string[]): Promise<Finished>
  /** Lines of the log of all starts so far; throws when one is no JSON. */
  log(): LogLine[]
  remove(): void
}

const homes = new Set<string>()

/** Directories of tests are removed when the process ends, also when a test fails. */
process.once('exit', () => {
  for (const home of homes) rmSync(home, { recursive: true, force: true })
})

/** A short path, as a Unix socket allows no long one. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'agent-e2e-'))
  homes.add(directory)
  return directory
}

/** A home whose agent.yaml names the files of this home; `ca`: file of the plane's CA. */
export function openHome({
  ca,
  directory = temporaryDirectory(),
}: {
  ca?: string
  directory?: string
}): AgentHome {
  mkdirSync(directory, { recursive: true })
  const path = (...parts: string[]): string => join(directory, ...parts)
  const usual = {
    version: 1,
    name: 'e2e',
    connector: { token: { file: 'token' }, ...(ca === undefined ? {} : { ca: { file: ca } }) },
    director: { interval: '1s' },
    identity: { directory: 'state' },
    targets: [{ kind: 'files', directory: 'out' }],
    status: { listen: 'off' },
    log: { level: 'debug', format: 'json' },
  }
  const home: AgentHome = {
    directory,
    path,
    configure: (change) =>
      writeFileSync(path('agent.yaml'), JSON.stringify({ ...usual, ...change })),
    giveToken: (token) => writeFileSync(path('token'), token, { mode: 0o600 }),
    start(options = {}, state = 'state') {
      const args = ['--config', path('agent.yaml')]
      return agentOf(
        path(state, 'agent.sock'),
        start(args, { cwd: directory, ...options, log: path('log') }),
        home,
      )
    },
    run: (command, ...args) =>
      finish([command, '--config', path('agent.yaml'), ...args], { cwd: directory }),
    log: () =>
      existsSync(path('log'))
        ? readFileSync(path('log'), 'utf8')
            .split('\n')
            .filter((line) => line !== '')
            .map(logLine)
        : [],
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
  home.configure({})
  return home
}

function logLine(line: string): LogLine {
  // The message with which a process ended.
  if (/^(agent: error: | {2}whose turn: )/.test(line)) return { level: 'error', message: line }
  try {
    return JSON.parse(line) as LogLine
  } catch {
    throw new Error(`a line of the log is no JSON: ${line}`)
  }
}

function agentOf(socket: string, running: Running, home: AgentHome): Agent {
  const status = async (): Promise<Status | undefined> => {
    try {
      const options = { unix: socket, signal: AbortSignal.timeout(5000) }
      const answer = await fetch('http://localhost/status', options)
      return answer.ok ? ((await answer.json()) as Status) : undefined
    } catch {
      return undefined
    }
  }
  return {
    ...running,
    status,
    async until(what, fits, limit) {
      let last: Status | undefined
      const look = async (): Promise<Status | undefined> => {
        if (!running.isRunning())
          throw new Error(`the agent ended: ${String(await running.exited)}`)
        last = await status()
        return last !== undefined && last.pid === running.pid && fits(last) ? last : undefined
      }
      return until(what, look, limit).catch((thrown: unknown) => {
        const tail = readFileSync(home.path('log'), 'utf8').split('\n').slice(-15).join('\n')
        throw new Error(
          `${String(thrown)}\nlast status: ${JSON.stringify(last, null, 1)}\nlog:\n${tail}`,
        )
      })
    },
  }
}

/** In step: identity valid, every target done and nothing wrong. */
export function inStep({ identity, targets, sources, problems, labels }: Status): boolean {
  return (
    identity?.condition === 'valid' &&
    problems.length === 0 &&
    sources.every(({ lastSuccess, failures }) => lastSuccess !== undefined && failures === 0) &&
    targets.every(({ lastSuccess, failures }) => lastSuccess !== undefined && failures === 0) &&
    labels.every((label) => label.inStep)
  )
}

/** A port of 127.0.0.1 that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
