import { join } from 'node:path'
import type { Row } from '../../scripts/bench.ts'
import { hostPlatform } from '../../scripts/executable.ts'
import { ROOT } from '../../scripts/repository.ts'
import { startPostgres } from '../postgres-server.ts'
import { openDirectorBench } from './support/director-under-test.ts'
import type { DirectorBench, RunningDirector } from './support/director-under-test.ts'
import type { PollersResult } from './support/pollers.ts'

export const name = 'The Runtime Director as an executable, on one core; agents on the other one'

const RUNTIMES = 10_000
const WAITING = 9_000
const LENGTH = 30
const executable = join(ROOT, 'dist', `agent-${hostPlatform?.name ?? ''}`)

export async function run(): Promise<Row[]> {
  const bench = await openDirectorBench(RUNTIMES, executable)
  try {
    return [
      ...publishing(bench),
      ...(await polling(bench, 'keep-alive', '≤ 10 ms')),
      ...(await polling(bench, 'new', '≤ 30 ms')),
      ...(await waiting(bench)),
      ...(await replicas()),
    ]
  } finally {
    await bench.stop()
  }
}

function publishing(bench: DirectorBench): Row[] {
  const begin = performance.now()
  bench.command('publish')
  return [{ what: `publish ${RUNTIMES} runtimes`, value: performance.now() - begin, unit: 'ms' }]
}

async function polling(
  bench: DirectorBench,
  mode: 'keep-alive' | 'new',
  goal: string,
): Promise<Row[]> {
  const server = await bench.start(0)
  const pollers = bench.pollers({ ports: [server.port], count: RUNTIMES, mode, length: LENGTH }, 1)
  if (mode === 'keep-alive') await pollers.next()
  const before = server.usage()
  const result = (await pollers.next()) as PollersResult
  const after = server.usage()
  await server.kill('SIGTERM')
  const what = `${RUNTIMES} runtimes every 30 s, ${mode === 'new' ? 'a new connection each' : 'kept connections'}`
  const { p50, p99, max } = result.latencies
  return [
    {
      ...{ what: `${what}, p99`, value: p99, unit: 'ms', goal },
      note: `${result.polls} polls, p50 ${p50.toFixed(1)}, max ${max.toFixed(0)}, ${result.failed} failed`,
    },
    { what: `${what}, CPU`, value: (after.cpu - before.cpu) / LENGTH / 10, unit: '% of a core' },
    { what: `${what}, memory`, value: after.memory, unit: 'MB' },
  ]
}

async function waiting(bench: DirectorBench): Promise<Row[]> {
  const server = await bench.start(0)
  const pollers = bench.pollers({ ports: [server.port], count: WAITING, mode: 'wait' }, 1)
  await pollers.next()
  const { memory } = server.usage()
  bench.edit(`https://logs.example/${Date.now()}`)
  bench.command('publish')
  const published = Date.now()
  const { first, last, failed } = await pollers.next()
  await server.kill('SIGTERM')
  return [
    { what: `${WAITING} open long polls, memory`, value: memory, unit: 'MB', goal: '≤ 350 MB' },
    {
      ...{
        what: 'all of them woken after publishing',
        value: Number(last) - published,
        unit: 'ms',
      },
      ...{
        goal: '≤ 1000 ms',
        note: `first to last ${Number(last) - Number(first)} ms, ${String(failed)} not`,
      },
    },
  ]
}

/** Two of them on one PostgreSQL; one is killed in the middle. */
async function replicas(): Promise<Row[]> {
  const postgres = await startPostgres()
  const bench = await openDirectorBench(1000, executable, postgres.database().reveal())
  try {
    bench.command('publish')
    const servers: RunningDirector[] = [await bench.start(), await bench.start()]
    const ports = servers.map(({ port }) => port)
    const pollers = bench.pollers({ ports, count: 1000, mode: 'new', interval: 5, length: 20 })
    await new Promise((resolve) => setTimeout(resolve, 8000))
    await servers[0]?.kill('SIGKILL')
    const { polls, failed, lost } = (await pollers.next()) as PollersResult
    return [
      {
        ...{
          what: 'two on PostgreSQL, one killed: polls lost after a retry',
          value: lost,
          unit: '',
        },
        ...{ goal: '0', note: `${polls} polls, ${failed} tried again` },
      },
    ]
  } finally {
    await bench.stop()
    await postgres.stop()
  }
}
