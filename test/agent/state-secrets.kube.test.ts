/** Snapshot and state in Secrets of a real API server: sizes that it takes, rights that it asks for, writers that race. */
import { afterAll, expect, setDefaultTimeout } from 'bun:test'
import { openSnapshotParts } from '../../src/agent/snapshot-parts.ts'
import { initialState } from '../../src/agent/state.ts'
import { openSnapshotSecrets, openStateSecret } from '../../src/agent/state-secrets.ts'
import type { SnapshotStore } from '../../src/agent/ports.ts'
import type { Kubernetes } from '../../src/clients/kubernetes/api.ts'
import type { Application } from '../../src/model/application.ts'
import { encodeSnapshot } from '../../src/model/snapshot-codec.ts'
import { digestSnapshot, markComplete, type Snapshot } from '../../src/model/snapshot.ts'
import { needsKube, startKube, type Kube } from '../kube.ts'
import { application, basic, bundle, landscape, numbers, RUNTIME } from '../model/samples.ts'

setDefaultTimeout(60_000)

let started: Promise<Kube> | undefined
const cluster = (): Promise<Kube> => (started ??= startKube())
afterAll(async () => (await started)?.stop())

const PREFIX = 'runtime-agent'
let places = 0

async function scene() {
  const kube = await cluster()
  const namespace = `state-${(places += 1)}`
  await kube.namespace(namespace)
  const options = (kubernetes: Kubernetes) => ({ kubernetes, namespace, prefix: PREFIX })
  const open = (kubernetes = kube.client): SnapshotStore => openSnapshotSecrets(options(kubernetes))
  return { kube, namespace, options, open }
}

function snapshotOf(applications: Application[]): Snapshot {
  const content = { runtimeId: RUNTIME, applications: markComplete(applications) }
  return { ...content, fetchedAt: 1000, digest: digestSnapshot(content) }
}

/** 200 applications × 20 bundles × (10 APIs + 10 events), every id and password at random: an answer of 19 MB. */
function large(): Snapshot {
  const id = (): string => crypto.randomUUID()
  return snapshotOf(
    numbers(200).map((a) =>
      application(id(), {
        name: `mp-application-${a}`,
        bundles: numbers(20).map((b) =>
          bundle(id(), {
            name: `Bundle ${b} of application ${a}`,
            description: `What bundle ${b} of application ${a} is about`,
            auth: basic(id(), id() + id()),
            apis: numbers(10).map((n) => ({
              id: id(),
              name: `API ${n} of bundle ${b}`,
              description: `What the API ${n} of bundle ${b} of application ${a} is good for`,
              targetUrl: `https://application-${a}.example/odata/v4/bundle-${b}/api-${n}`,
            })),
            events: numbers(10).map((n) => ({
              id: id(),
              name: `Event ${n} of bundle ${b}`,
              description: `What the event ${n} of bundle ${b} of application ${a} tells`,
            })),
          }),
        ),
      }),
    ),
  )
}

needsKube('a large tenant fits, in few Secrets, and is read back whole', async () => {
  const { kube, open, namespace } = await scene()
  const [first, second] = [large(), large()]
  expect(encodeSnapshot(first).length).toBeGreaterThan(14_000_000)
  const store = open()
  for (const snapshot of [first, second]) {
    expect(await store.save(snapshot)).toBeUndefined()
    const { snapshot: kept, problem } = await open().load()
    expect(problem).toBeUndefined()
    expect(kept?.digest).toBe(snapshot.digest)
  }
  const { items } = await kube.client.list(
    { group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true },
    { namespace, only: 'metadata' },
    new AbortController().signal,
  )
  const names = items.map(({ metadata }) => metadata.name)
  expect(names).toContain(`${PREFIX}-snapshot`)
  // Old and new fit side by side, so that a kill never tears them.
  expect(names.length).toBeLessThanOrEqual(9)
})

needsKube('sixteen whole parts are taken, and written over one another', async () => {
  const { options, kube } = await scene()
  const bytes = (seed: number) => {
    const made = new Uint8Array(16 * 700_000)
    for (let at = 0; at < made.length; at += 65_536)
      crypto.getRandomValues(made.subarray(at, at + 65_536))
    made[0] = seed
    return made
  }
  const parts = openSnapshotParts(options(kube.client))
  for (const seed of [1, 2]) {
    const wanted = bytes(seed)
    await parts.save(wanted)
    const left = await openSnapshotParts(options(kube.client)).load()
    expect(left && Bun.hash(left)).toBe(Bun.hash(wanted))
  }
})

needsKube('get, create, patch and delete of the fixed names are enough', async () => {
  const { kube, namespace, options } = await scene()
  const names = [
    `${PREFIX}-state`,
    `${PREFIX}-snapshot`,
    ...numbers(16).map((n) => `${PREFIX}-snapshot-${n}`),
  ]
  const metadata = { name: 'agent', namespace }
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' }
  const secrets = { apiGroups: [''], resources: ['secrets'] }
  await kube.applyManifests([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      ...rbac,
      kind: 'Role',
      metadata,
      rules: [
        { ...secrets, resourceNames: names, verbs: ['get', 'patch', 'delete'] },
        { ...secrets, verbs: ['create'] },
      ],
    },
    {
      ...rbac,
      kind: 'RoleBinding',
      metadata,
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'agent' },
    },
  ])
  const agent = options(await kube.as(metadata))
  const mark = kube.auditMark()
  const [store, states] = [openSnapshotSecrets(agent), openStateSecret(agent)]
  await store.load()
  for (const count of [2, 3]) expect(await store.save(snapshotOf(landscape(count)))).toBeUndefined()
  await states.load()
  await states.save({ ...initialState, paused: true })
  expect(await openStateSecret(agent).load()).toMatchObject({ paused: true })
  const refused = kube.auditLog(mark).filter(({ code }) => code === 403)
  expect(refused).toEqual([])
})

needsKube(
  'of agents that save at the same time one is right, and what is stored is whole',
  async () => {
    const { open, options, kube } = await scene()
    await open().save(snapshotOf(landscape(1)))
    const stores = numbers(4).map(() => open())
    await Promise.all(stores.map((store) => store.load()))
    const snapshots = numbers(4).map((n) => snapshotOf(landscape(n + 2)))
    const saved = await Promise.all(stores.map((store, n) => store.save(snapshots[n]!)))
    const { snapshot, problem } = await open().load()
    const right = saved.findIndex((unsaved) => unsaved === undefined)
    // Whoever lost the race for a slot or the head says so; at most one thinks that it has won.
    expect(saved.filter((unsaved) => unsaved === undefined).length).toBeLessThanOrEqual(1)
    expect(problem).toBeUndefined()
    if (right >= 0) expect(snapshot?.digest).toBe(snapshots[right]!.digest)

    const states = numbers(4).map(() => openStateSecret(options(kube.client)))
    await Promise.all(states.map((store) => store.load()))
    const results = await Promise.allSettled(
      states.map((store, n) => store.save({ ...initialState, enrolledWith: `agent-${n}` })),
    )
    const winners = results.flatMap(({ status }, n) =>
      status === 'fulfilled' ? [`agent-${n}`] : [],
    )
    expect(winners).toEqual([
      (await openStateSecret(options(kube.client)).load()).enrolledWith ?? '',
    ])
  },
)

needsKube('a namespace or a right that is missing is a problem, and no failure', async () => {
  const kube = await cluster()
  const place = { kubernetes: kube.client, namespace: 'not-there', prefix: PREFIX }
  const store = openSnapshotSecrets(place)
  expect(await store.load()).toEqual({})
  expect(await store.save(snapshotOf(landscape(1)))).toMatchObject({
    code: 'kubernetes_missing',
    message: expect.stringContaining('not-there'),
  })
})
