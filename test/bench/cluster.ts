import type { Row } from '../../scripts/bench.ts'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import { openKubernetes } from '../../src/clients/kubernetes/load.ts'
import type { AuditEntry } from '../kube-server.ts'
import { until } from './support/agent-under-test.ts'
import {
  NAMESPACE,
  delayingProxy,
  halfWithCredentials,
  objectsOf,
  openCluster,
} from './support/cluster-under-test.ts'
import type { ClusterBench, Kind, Sizes } from './support/cluster-under-test.ts'

export const name =
  'The agent as an executable: into a cluster (a real API server on the same cores)'

type Goals = Partial<
  Record<'time' | 'cpu' | 'requests' | 'unchanged' | 'unchangedCpu' | 'peak', string>
>
type Tenant = {
  what: string
  sizes: Sizes
  /** Between two passes, in milliseconds: longer than the first one takes. */
  interval: number
  /** So many of them unchanged; none: only the first pass. */
  passes: number
  goals: Goals
  latency?: number
}

const TENANTS: Tenant[] = [
  {
    what: '200 × 3',
    sizes: { applications: 200, bundles: 3, apis: 2, events: 1 },
    ...{ interval: 4000, passes: 8 },
    goals: {
      ...{ time: '≤ 800 ms (Go 2520)', cpu: 'Go 520 ms', requests: '≤ 1.05 × (objects + pages)' },
      ...{ unchanged: '≤ 6 (Go 904)', unchangedCpu: '≤ 100 ms (Go 550)', peak: '≤ 125 (Go 54)' },
    },
  },
  {
    what: '200 × 3, 5 ms away',
    sizes: { applications: 200, bundles: 3, apis: 2, events: 1 },
    ...{ interval: 10_000, passes: 0 },
    goals: { time: '≥ 10 × faster than serial (Go 7540)' },
    latency: 5,
  },
  {
    what: '1,000 × 3',
    sizes: { applications: 1000, bundles: 3, apis: 2, events: 1 },
    ...{ interval: 12_000, passes: 4 },
    goals: { time: '≤ 20000 ms', unchanged: '≤ 12', peak: '≤ 160' },
  },
  {
    what: '200 × 20 × (10 + 10)',
    sizes: { applications: 200, bundles: 20, apis: 10, events: 10 },
    ...{ interval: 30_000, passes: 3 },
    goals: {
      ...{ time: '< 24400 ms (Go)', cpu: '< 3400 ms (Go)', peak: '< 216 (Go)' },
      ...{ unchanged: 'Go 2605', unchangedCpu: 'Go 3650' },
    },
  },
]

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const kind of ['kyma', 'kubernetes'] as const)
    for (const tenant of TENANTS) rows.push(...(await measure(kind, tenant)))
  rows.push(await serial())
  return rows
}

async function measure(kind: Kind, tenant: Tenant): Promise<Row[]> {
  const { what, sizes, interval, passes, goals, latency } = tenant
  const bench = await openCluster({
    ...{ kind, interval },
    ...(latency === undefined ? {} : { latency }),
  })
  try {
    await until(() => bench.pages().count >= 1)
    const landscape = halfWithCredentials(sizes)
    const row = (of: string, value: number, unit: string, rest: Partial<Row> = {}): Row => {
      return { what: `${kind}, ${what}: ${of}`, value, unit, ...rest }
    }
    const first = await firstPass(bench, () => bench.serve(landscape))
    const objects = objectsOf(kind, landscape)
    const rows = [
      row('first pass', first.time, 'ms', { ...goalOf(goals.time), note: `${objects} objects` }),
      row('first pass, CPU', first.cpu, 'ms', goalOf(goals.cpu)),
      row('first pass', first.requests, 'requests', {
        ...goalOf(goals.requests),
        note: `${first.creates} creates; Director ${(first.bytes / 1e6).toFixed(1)} MB`,
      }),
    ]
    if (passes > 0) {
      const same = await unchanged(bench, { interval, passes })
      rows.push(
        row('unchanged pass', same.requests, 'requests', goalOf(goals.unchanged)),
        row('unchanged pass, CPU', same.cpu, 'ms', goalOf(goals.unchangedCpu)),
        row('unchanged passes', same.writes, 'writes', { goal: '0' }),
      )
    }
    const { rss, peak } = bench.memory()
    rows.push(row('resident memory', rss, 'MB'), row('peak memory', peak, 'MB', goalOf(goals.peak)))
    return rows
  } finally {
    await bench.close()
  }
}

function goalOf(goal: string | undefined): { goal?: string } {
  return goal === undefined ? {} : { goal }
}

/** From the first look to the last write; CPU with the fetch before it and all that the agent keeps of it. */
async function firstPass(bench: ClusterBench, serve: () => void) {
  await bench.quiet(500)
  bench.forget()
  const [cpu, { bytes }] = [bench.cpu(), bench.pages()]
  serve()
  while (!bench.calls().some(isWrite)) {
    // Between the lists and the first write a large tenant is rendered.
    if (!bench.calls().some(isList)) bench.forget()
    await until(() => bench.hasCalled(), 120_000)
    await bench.quiet(1000)
  }
  const spent = bench.cpu() - cpu
  const calls = bench.calls()
  const writes = calls.filter(isWrite)
  const times = writes.map(({ at }) => at.getTime())
  const [firstWrite, end] = [Math.min(...times), Math.max(...times)]
  const lists = calls.filter(isList).map(({ at }) => at.getTime())
  const begin = Math.max(...lists.filter((at) => at <= firstWrite))
  const creates = writes.filter(({ verb }) => verb === 'create').length
  return {
    time: end - begin,
    cpu: spent,
    requests: calls.length,
    creates,
    bytes: bench.pages().bytes - bytes,
  }
}

async function unchanged(
  bench: ClusterBench,
  { interval, passes }: Pick<Tenant, 'interval' | 'passes'>,
) {
  await Bun.sleep(interval)
  await bench.quiet(1000)
  bench.forget()
  const cpu = bench.cpu()
  const looks = (): number => bench.calls().filter(beginsLook).length
  await until(() => looks() >= passes, 180_000)
  await bench.quiet(1000)
  const calls = bench.calls()
  return {
    requests: calls.length / looks(),
    cpu: (bench.cpu() - cpu) / looks(),
    writes: calls.filter(isWrite).length,
  }
}

/** The first page of the Secrets: once a pass. */
function beginsLook({ verb, resource, uri }: AuditEntry): boolean {
  return verb === 'list' && resource === 'secrets' && !uri.includes('continue=')
}

/** What 600 creates one after the other would take 5 ms away, with our own client; from 100 of them. */
async function serial(): Promise<Row> {
  const { startKube } = await import('../kube-server.ts')
  const kube = await startKube()
  const proxy = await delayingProxy(kube.url, 5)
  try {
    await kube.namespace(NAMESPACE)
    const { readFileSync, writeFileSync } = await import('node:fs')
    const kubeconfig = `${kube.directory}/kubeconfig-slow`
    const text = readFileSync(kube.kubeconfig, 'utf8').replaceAll(kube.url, proxy.url)
    writeFileSync(kubeconfig, text, { mode: 0o600 })
    const client = await openKubernetes({ kubeconfig, version: 'test' })
    const { signal } = new AbortController()
    const create = (name: string) =>
      client.create(SECRETS, { metadata: { name, namespace: NAMESPACE } }, signal)
    await create('warm')
    const from = performance.now()
    for (let n = 0; n < 100; n++) await create(`secret-${n}`)
    const value = (performance.now() - from) * 6
    await client.close()
    return {
      what: '600 creates one after the other, 5 ms away',
      value,
      unit: 'ms',
      note: '100 × 6',
    }
  } finally {
    proxy.close()
    await kube.stop()
  }
}

/** The Lease is renewed whatever happens. */
function isWrite({ verb, resource }: AuditEntry): boolean {
  return ['create', 'update', 'patch', 'delete'].includes(verb) && resource !== 'leases'
}

function isList({ verb }: AuditEntry): boolean {
  return verb === 'list'
}
