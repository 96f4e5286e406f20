import { existsSync } from 'node:fs'
import type { Row } from '../../scripts/bench.ts'
import type { Landscape } from '../../src/devplane/landscape.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { cpuOf, median, memoryOf, openBench, until } from './support/agent-under-test.ts'
import type { Bench } from './support/agent-under-test.ts'

export const name = 'The agent as an executable: 200 applications × 3 bundles × 2 APIs into files'

const landscapeOf = (applications: number): Landscape =>
  makeLandscape({ applications, bundles: 3, apis: 2, events: 0 })

const LARGE = landscapeOf(200)
const STARTS = 5
const PASSES = 30

export async function run(): Promise<Row[]> {
  const bench = await openBench(LARGE)
  try {
    const rows = [...(await starts(bench)), ...(await steady(bench)), ...(await idle(bench))]
    return [...rows, ...(await offline(bench, 200)), ...(await offlineAlone(5))]
  } finally {
    await bench.close()
  }
}

/** A few applications, as most runtimes have them. */
async function offlineAlone(applications: number): Promise<Row[]> {
  const bench = await openBench(landscapeOf(applications))
  try {
    return await offline(bench, applications)
  } finally {
    await bench.close()
  }
}

/** With an identity and bindings of the last run, and nobody who answers: the pass that proves them all, by content. */
async function offline(bench: Bench, applications: number): Promise<Row[]> {
  let agent = await bench.start({ interval: '1h' })
  await agent.ready()
  await agent.stop()
  await bench.plane.close()
  const ready: number[] = []
  const cpu: number[] = []
  for (let i = 0; i < STARTS; i++) {
    agent = agent.again()
    await agent.ready()
    ready.push(performance.now() - agent.startedAt)
    cpu.push(cpuOf(agent.pid))
    await agent.stop()
  }
  return [
    {
      what: `cold start to ready, offline, ${applications} applications`,
      value: median(ready),
      unit: 'ms',
      goal: '≤ 300 ms',
      note: `median of ${STARTS}, CPU ${median(cpu)} ms`,
    },
  ]
}

/** From nothing to bindings on disk, a fresh token and state each time. */
async function starts(bench: Bench): Promise<Row[]> {
  const first: number[] = []
  const onDisk: number[] = []
  for (let i = 0; i < STARTS; i++) {
    const seen = bench.events.length
    const agent = await bench.start({ interval: '1h' })
    await until(() => existsSync(`${agent.out}/current`))
    onDisk.push(performance.now() - agent.startedAt)
    first.push((bench.events[seen]?.seenAt ?? Number.NaN) - agent.startedAt)
    await agent.stop()
  }
  const note = `median of ${STARTS}, plane on the same cores`
  return [
    {
      what: 'process start to first Connector call answered',
      value: median(first),
      unit: 'ms',
      goal: '≤ 150 ms',
      note,
    },
    {
      what: 'process start to 200 applications on disk, enrolment and RSA key included',
      value: median(onDisk),
      unit: 'ms',
      goal: '≤ 2000 ms',
      note,
    },
  ]
}

/** Unchanged passes, one a second. */
async function steady(bench: Bench): Promise<Row[]> {
  const agent = await bench.start({ interval: '1s' })
  await until(() => existsSync(`${agent.out}/current`))
  await Bun.sleep(5000)
  const [cpu, seen] = [cpuOf(agent.pid), bench.events.length]
  const before = memoryOf(agent.pid)
  await until(() => bench.events.length >= seen + PASSES, 120_000)
  const requests = bench.events.slice(seen)
  const after = memoryOf(agent.pid)
  const spent = cpuOf(agent.pid) - cpu
  const generations = existsSync(`${agent.out}/gen-000002`) ? 1 : 0
  await agent.stop()
  const connector = requests.filter(
    ({ operations }) => operations.includes('configuration') || operations.includes('sign'),
  )
  return [
    {
      what: 'CPU of an unchanged pass',
      value: spent / PASSES,
      unit: 'ms',
      goal: '≤ 50 ms',
      note: `mean of ${PASSES}`,
    },
    {
      what: 'Director requests of an unchanged pass',
      value: requests.length / PASSES,
      unit: 'requests',
      goal: '1',
    },
    {
      what: 'Connector requests while nothing changes',
      value: connector.length,
      unit: 'requests',
      goal: '0',
    },
    {
      what: 'generations written while nothing changes',
      value: generations,
      unit: 'generations',
      goal: '0',
    },
    { what: 'resident memory, settled', value: after.rss, unit: 'MB', goal: '≤ 85 MB' },
    { what: 'resident memory, peak', value: after.peak, unit: 'MB', goal: '≤ 105 MB' },
    {
      what: `growth of memory over ${PASSES} passes`,
      value: after.rss - before.rss,
      unit: 'MB',
      goal: '0',
    },
  ]
}

/** With nothing due: what the ticks cost. */
async function idle(bench: Bench): Promise<Row[]> {
  const agent = await bench.start({ interval: '1h' })
  await until(() => existsSync(`${agent.out}/current`))
  await Bun.sleep(3000)
  const cpu = cpuOf(agent.pid)
  const seconds = 60
  await Bun.sleep(seconds * 1000)
  const share = (cpuOf(agent.pid) - cpu) / (seconds * 10)
  const { rss, peak } = memoryOf(agent.pid)
  await agent.stop()
  return [
    { what: 'CPU while idle', value: share, unit: '%', goal: '≤ 0.1 %', note: `over ${seconds} s` },
    { what: 'resident memory, enrolled once and idle', value: rss, unit: 'MB', goal: '≤ 85 MB' },
    { what: 'its peak, the enrolment', value: peak, unit: 'MB', goal: '≤ 105 MB' },
  ]
}
