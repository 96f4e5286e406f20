import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openPlane } from '../../../src/devplane/plane.ts'
import type { Plane } from '../../../src/devplane/plane.ts'
import type { Landscape } from '../../../src/devplane/landscape.ts'
import type { PlaneEvent } from '../../../src/devplane/events.ts'
import { hostPlatform } from '../../../scripts/executable.ts'
import { ROOT } from '../../../scripts/repository.ts'

/** The host's executable, as a user would run it. */
export const EXECUTABLE =
  process.env.BENCH_EXE ?? join(ROOT, 'dist', `agent-${hostPlatform?.name ?? 'none'}`)

/** A plane in this process, and a directory in which agents are set up beside it. */
export type Bench = {
  plane: Plane
  events: (PlaneEvent & { seenAt: number })[]
  directory: string
  /** A running agent with a token and a state of its own. */
  start(options: { interval: string }): Promise<RunningAgent>
  close(): Promise<void>
}

export type RunningAgent = {
  pid: number
  out: string
  startedAt: number
  /** Resolves when it says that it is ready. */
  ready(): Promise<void>
  stop(): Promise<void>
  /** The same agent again, with the state that it has. */
  again(): RunningAgent
}

export async function openBench(landscape: Landscape): Promise<Bench> {
  const directory = mkdtempSync(join(tmpdir(), 'agent-bench-'))
  const events: (PlaneEvent & { seenAt: number })[] = []
  const onEvent = (event: PlaneEvent): void =>
    void events.push({ ...event, seenAt: performance.now() })
  const plane = await openPlane({ landscape, onEvent })
  writeFileSync(join(directory, 'ca.pem'), plane.caPem)
  let count = 0
  return {
    plane,
    events,
    directory,
    start: async ({ interval }) => {
      const home = join(directory, `agent-${count++}`)
      const { rawEncoded } = await plane.issueToken()
      await Bun.write(join(home, 'token'), rawEncoded)
      await Bun.write(join(home, 'agent.yaml'), configOf(interval, count))
      return startIn(home, PORT + count)
    },
    close: async () => {
      await plane.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

const PORT = 18090

function startIn(home: string, port: number): RunningAgent {
  const startedAt = performance.now()
  const child = Bun.spawn([EXECUTABLE, '--config', 'agent.yaml'], {
    cwd: home,
    stdout: 'ignore',
    stderr: Bun.file(join(home, 'log')),
  })
  return {
    pid: child.pid,
    out: join(home, 'out'),
    startedAt,
    async ready() {
      const look = (): Promise<Response | undefined> =>
        fetch(`http://127.0.0.1:${port}/readyz`, { keepalive: false }).catch(() => undefined)
      while ((await look())?.ok !== true) await Bun.sleep(2)
    },
    async stop() {
      child.kill('SIGTERM')
      await child.exited
    },
    again: () => startIn(home, port),
  }
}

function configOf(interval: string, count: number): string {
  return `version: 1
connector: {token: {file: token}, ca: {file: ../ca.pem}}
director: {interval: ${interval}}
identity: {directory: state}
labels: {eventGatewayUrl: https://gateway.example}
targets: [{kind: files, directory: out}]
status: {listen: 127.0.0.1:${PORT + count}}
`
}

/** Resident memory in MB: now and at its highest (/proc/PID/status). */
export function memoryOf(pid: number): { rss: number; peak: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kilobytes = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? Number.NaN)
  return { rss: kilobytes('VmRSS') / 1024, peak: kilobytes('VmHWM') / 1024 }
}

/** CPU time so far in ms, user and system (/proc/PID/stat, 100 ticks a second). */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Waits for a condition by looking often; a bench may, a test may not. */
export async function until(condition: () => boolean, limit = 30_000): Promise<void> {
  const end = performance.now() + limit
  while (!condition()) {
    if (performance.now() > end) throw new Error('waited in vain')
    await Bun.sleep(2)
  }
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
