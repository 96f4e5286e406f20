/** The Lease on a real API server: its rights, its format, two that want it, and an API server that goes away. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test'
import { LEASES, type Kubernetes } from '../../../src/clients/kubernetes/api.ts'
import { openLease, type LeaseOwnership } from '../../../src/clients/kubernetes/lease.ts'
import { leaseRights } from '../../../src/clients/kubernetes/lease-record.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { Log } from '../../../src/runtime/log.ts'
import { needsKube, startKube, type Kube } from '../../kube.ts'
import { slow } from '../../skip.ts'

setDefaultTimeout(120_000)

const slowOnKube = needsKube === test ? slow : needsKube

let started: Promise<Kube> | undefined
const cluster = (): Promise<Kube> => (started ??= startKube())
afterAll(async () => (await started)?.stop())

const { signal } = new AbortController()
const quiet = (): void => undefined
const log: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet }
let places = 0

async function scene() {
  const kube = await cluster()
  const namespace = `lease-${(places += 1)}`
  await kube.namespace(namespace)
  const place = { namespace, name: 'runtime-agent' }
  const open = (holder: string, kubernetes: Kubernetes = kube.client): LeaseOwnership =>
    openLease({ kubernetes, ...place, holder, clock: systemClock, log })
  const read = () => kube.client.get(LEASES, place, signal)
  return { kube, place, open, read }
}

/** A service account with these rights on Leases, one rule each as RBAC wants it. */
async function account(kube: Kube, namespace: string, rights: ReturnType<typeof leaseRights>) {
  const metadata = { name: 'agent', namespace }
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' }
  const rules = rights.map(({ verb, resource, name }) => ({
    apiGroups: [resource.group],
    resources: [resource.plural],
    verbs: [verb],
    ...(name === undefined ? {} : { resourceNames: [name] }),
  }))
  await kube.applyManifests([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { ...rbac, kind: 'Role', metadata, rules },
    {
      ...rbac,
      kind: 'RoleBinding',
      metadata,
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'agent' },
    },
  ])
  return kube.as(metadata)
}

needsKube('the rights that it names are enough to take, renew and hand over', async () => {
  const { kube, place, open, read } = await scene()
  const agent = await account(kube, place.namespace, leaseRights(place.namespace, place.name))
  const mark = kube.auditMark()
  const one = await open('pod-a_1', agent).acquire(signal, quiet)
  expect((await read())?.['spec']).toMatchObject({
    holderIdentity: 'pod-a_1',
    leaseDurationSeconds: 15,
    leaseTransitions: 0,
  })
  await Bun.sleep(5500)
  await one.release()
  expect((await read())?.['spec']).not.toHaveProperty('holderIdentity')
  const two = await open('pod-b_2', agent).acquire(signal, quiet)
  expect((await read())?.['spec']).toMatchObject({ holderIdentity: 'pod-b_2', leaseTransitions: 1 })
  await two.release()
  const calls = kube
    .auditLog(mark)
    .filter(({ resource, user }) => resource === 'leases' && user.includes('agent'))
  expect(calls.filter(({ code }) => code === 403)).toEqual([])
  expect(calls.filter(({ verb }) => verb === 'patch').length).toBe(4)
})

needsKube('without a right, or a namespace, it waits and says which', async () => {
  const { kube, place } = await scene()
  const rights = leaseRights(place.namespace, place.name)
  const agent = await account(kube, place.namespace, [])
  const why = async (kubernetes: Kubernetes, namespace: string): Promise<string> => {
    const end = new AbortController()
    const options = {
      kubernetes,
      ...place,
      namespace,
      holder: 'pod-a_1',
      clock: systemClock,
      log,
      rights,
    }
    const told = await new Promise<string>((resolve) => {
      openLease(options)
        .acquire(end.signal, resolve)
        .catch(() => undefined)
    })
    end.abort()
    return told
  }
  expect(await why(agent, place.namespace)).toBe(
    `Cannot work in this cluster: the service account may not get, patch leases.coordination.k8s.io ${place.namespace}/runtime-agent; create leases.coordination.k8s.io in ${place.namespace}`,
  )
  expect(await why(kube.client, 'not-there')).toContain('not-there')
})

needsKube('of many that want it at the same moment one has it', async () => {
  const { open } = await scene()
  const end = new AbortController()
  const owned: string[] = []
  const waits: string[] = []
  const all = Array.from({ length: 8 }, (_, index) =>
    open(`pod-${index}`)
      .acquire(end.signal, (why) => waits.push(why))
      .then(
        ({ release }) => {
          owned.push(`pod-${index}`)
          return release
        },
        () => undefined,
      ),
  )
  while (owned.length + waits.length < 8) await Bun.sleep(20)
  expect(owned).toHaveLength(1)
  end.abort()
  for (const release of await Promise.all(all)) await release?.()
})

slowOnKube(
  'an API server that goes away ends the term in 10 s, and it begins again when that is back',
  async () => {
    const { kube, open, read } = await scene()
    const lease = open('pod-a_1')
    const first = await lease.acquire(signal, quiet)
    await kube.kill()
    const killed = Date.now()
    while (!first.lost.aborted) await Bun.sleep(50)
    expect(Date.now() - killed).toBeLessThan(11_000)
    expect(first.lost.reason).toMatchObject({
      message: expect.stringMatching(
        /^Cannot go on: the Lease could not be renewed for 10 s: Cannot /,
      ),
    })
    await first.release()
    const waits: string[] = []
    const second = lease.acquire(signal, (why) => waits.push(why))
    while (waits.length === 0) await Bun.sleep(50)
    expect(waits[0]).toMatch(/^Cannot /)
    await kube.revive()
    const back = Date.now()
    const owned = await second
    // Its own Lease, or that of a holder that is gone: either way soon.
    expect(Date.now() - back).toBeLessThan(20_000)
    expect((await read())?.['spec']).toMatchObject({
      holderIdentity: 'pod-a_1',
      leaseTransitions: 0,
    })
    await owned.release()
  },
)
