import { SECOND } from '../model/time.ts'
import type { Counters } from './counters.ts'
import type { Live } from './live.ts'
import type { Overview } from './overview.ts'

export type ServerFacts = {
  overview: Overview
  live: Live
  waiting: number
  counters: Counters
  /** Bytes, and milliseconds of CPU time. */
  usage: { memory: number; cpu: number }
  version: string
}

type Line = {
  name: string
  help: string
  type?: 'counter'
  values: [labels: string, value: number][]
}

const P = 'runtime_director_'

/** The Prometheus text format 0.0.4. */
export function renderMetrics(facts: ServerFacts): string {
  const { overview, live, waiting, counters, usage, version } = facts
  const { newest } = overview
  const readAt = live.lookedAt()
  const lines: Line[] = [
    one(`${P}info`, 'Version of the server.', 1, `{version="${version}"}`),
    one(`${P}runtimes`, 'Runtimes that are described.', overview.runtimes),
    {
      name: `${P}reports`,
      help: 'Runtimes by what they said last of what they are given now.',
      values: Object.entries(overview.reports).map(([state, count]) => [
        `{state="${state}"}`,
        count,
      ]),
    },
    one(`${P}pending_identities`, 'Certificates that wait to be admitted.', overview.pending),
    one(`${P}waiting_requests`, 'Requests that wait for news.', waiting),
    one(`${P}published_version`, 'The newest version.', newest?.number ?? 0),
    one(`${P}rollout_percent`, 'Percent of runtimes that get it.', newest?.rollout.percent ?? 0),
    one(
      `${P}rollout_stopped`,
      '1 when its rollout has stopped.',
      Number(newest?.rollout.state === 'stopped'),
    ),
    one(
      `${P}store_read_timestamp_seconds`,
      'When the store was last looked at.',
      (readAt ?? 0) / SECOND,
    ),
    one(
      `${P}store_failed`,
      '1 while the store cannot be read.',
      Number(live.problem() !== undefined),
    ),
    ...counters.all().map(({ name, help, value }): Line => ({
      ...one(`${P}${name}_total`, help, value),
      type: 'counter',
    })),
    one('process_resident_memory_bytes', 'Resident memory.', usage.memory),
    {
      ...one('process_cpu_seconds_total', 'CPU time, user and system.', usage.cpu / SECOND),
      type: 'counter',
    },
  ]
  return lines.map(render).join('')
}

function one(name: string, help: string, value: number, labels = ''): Line {
  return { name, help, values: [[labels, value]] }
}

function render({ name, help, type, values }: Line): string {
  const lines = values.map(([labels, value]) => `${name}${labels} ${value}\n`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type ?? 'gauge'}\n${lines.join('')}`
}
