/**
 * Two whole agents on one cluster, in real time: the loop, the kyma target, identity, state and snapshot in Secrets, and
 * the Lease, on a real API server. What each of them wrote is told by its audit log.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  openConfigurationSecrets,
  openSnapshotSecrets,
  openStateSecret,
} from '../../src/agent/state-secrets.ts'
import {
  APPLICATIONS,
  LEASES,
  PODS,
  SECRETS,
  type Kubernetes,
} from '../../src/clients/kubernetes/api.ts'
import { openLease } from '../../src/clients/kubernetes/lease.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { openSecretDigestKey } from '../../src/identity/secret-digest-key.ts'
import { openSecretStore } from '../../src/identity/secret.ts'
import { goAgentLook } from '../../src/kyma/go-agent.ts'
import { toBase64 } from '../../src/runtime/base64.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { splitPem, toPkcs1 } from '../../src/runtime/keys.ts'
import { openLog } from '../../src/runtime/log.ts'
import { openKyma } from '../../src/targets/kyma.ts'
import { needsKube, startKube, type AuditEntry, type Kube } from '../kube.ts'
import { slow } from '../skip.ts'
import { TestAgent, World } from './harness.ts'
import { LoopClock } from './loop-clock.ts'

setDefaultTimeout(120_000)

const slowOnKube = needsKube === test ? slow : needsKube

const NAMESPACE = 'kyma-system'
const SECRET = { namespace: NAMESPACE, name: 'cluster-client-certificates' }
const PREFIX = 'runtime-agent'
const { signal } = new AbortController()

let started: Promise<Kube> | undefined
const cluster = (): Promise<Kube> => (started ??= startCluster())
afterAll(async () => (await started)?.stop())

async function startCluster(): Promise<Kube> {
  const kube = await startKube()
  await kube.namespace(NAMESPACE)
  return kube
}

/** A service account that may do all: what rights are enough is proved elsewhere. */
async function account(kube: Kube, name: string): Promise<Kubernetes> {
  const metadata = { name, namespace: NAMESPACE }
  await kube.applyManifests([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name },
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'cluster-admin',
      },
    },
  ])
  return kube.as(metadata)
}

/** The same client until it is frozen: then no call of it ends any more, as of a process that is killed. */
function freezable(kubernetes: Kubernetes) {
  const state = { frozen: false }
  const client = new Proxy(kubernetes, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...given: unknown[]): unknown =>
        state.frozen ? new Promise(() => undefined) : Reflect.apply(member, target, given)
    },
  })
  return { client, freeze: () => (state.frozen = true), thaw: () => (state.frozen = false) }
}

/** A replica as the composition root makes it. */
async function replica(world: World, kube: Kube, pod: string, token?: string) {
  const { client: kubernetes, freeze, thaw } = freezable(await account(kube, pod))
  const lines: string[] = []
  const log = openLog({ level: 'info', format: 'json', write: (line) => lines.push(line) })
  const place = { kubernetes, namespace: NAMESPACE, prefix: PREFIX }
  const foreign = (why: string): void => lease.doubt(why)
  const digestKey = openSecretDigestKey(kubernetes, SECRET)
  const identity = openSecretStore({
    kubernetes,
    secret: SECRET,
    warn: () => undefined,
    foreign,
    now: () => systemClock.now(),
  })
  const states = openStateSecret({ ...place, foreign })
  const snapshots = openSnapshotSecrets({ ...place, foreign })
  const lease = openLease({
    kubernetes,
    namespace: NAMESPACE,
    name: PREFIX,
    holder: `${pod}_${crypto.randomUUID().slice(0, 8)}`,
    clock: systemClock,
    log,
    hindrance: goAgentLook({ kubernetes, namespaces: [NAMESPACE], pod, warn: () => undefined }),
    prepare: async () => {
      await digestKey.keep()
      await identity.begin()
      await states.begin()
      await snapshots.begin()
    },
  })
  const counts = { text: undefined, saves: 0, failures: 0 }
  const agent: TestAgent = new TestAgent(world, {
    clock: systemClock,
    token,
    stores: {
      identity,
      snapshots: { ...snapshots, ...counts },
      states: { ...states, ...counts },
      configurations: { ...openConfigurationSecrets(place), ...counts },
    },
    targets: [
      openKyma({
        config: {
          kind: 'kyma',
          name: 'kyma',
          namespace: NAMESPACE,
          gatewayUrl: 'http://gateway',
          skipVerify: false,
        },
        kubernetes,
        digestKey: digestKey.key,
      }),
    ],
    ownership: {
      async acquire(end, waiting) {
        // The agent is not there yet when its first term begins.
        await Promise.resolve()
        agent.released = false
        const owned = await lease.acquire(end, waiting).catch((thrown: unknown) => {
          agent.released = true
          throw thrown
        })
        return {
          lost: owned.lost,
          async release() {
            await owned.release()
            agent.released = true
          },
        }
      },
    },
  })
  return { agent, freeze, thaw, log: lines, user: `system:serviceaccount:${NAMESPACE}:${pod}` }
}

/** Writes that were carried out, of what the agents keep and publish, but for the Lease. */
function writes(entries: readonly AuditEntry[], user?: string): string[] {
  return entries
    .filter(({ verb }) => ['create', 'update', 'patch', 'delete'].includes(verb))
    .filter(({ code, dryRun }) => code < 300 && !dryRun)
    .filter(({ resource }) => ['applications', 'secrets'].includes(resource))
    .filter((entry) => user === undefined || entry.user === user)
    .map(({ verb, resource, name, uri }) => `${verb} ${resource} ${name ?? uri}`)
}

const isPublished = (line: string): boolean => !/runtime-agent-|cluster-client-cert/.test(line)
const inStep = ({ sources, targets }: TestAgent['status']): boolean =>
  sources.every(({ lastSuccess }) => lastSuccess !== undefined) &&
  targets.length > 0 &&
  targets.every(({ lastSuccess }) => lastSuccess !== undefined)

/** Longer than the harness waits: a Lease takes its time. */
async function until(
  agent: TestAgent,
  holds: (status: TestAgent['status']) => boolean,
): Promise<TestAgent['status']> {
  const end = Date.now() + 40_000
  while (Date.now() < end) {
    const { status } = agent
    if ((status as TestAgent['status'] | undefined) !== undefined && holds(status)) return status
    await Bun.sleep(20)
  }
  throw new Error(`never reported; last: ${agent.summary()}`)
}

const LANDSCAPE = makeLandscape({ applications: 6, bundles: 2, apis: 1, events: 0 })

describe('two replicas', () => {
  slowOnKube(
    'of which the leader is killed: the other is in charge within 30 s, and nothing is written twice',
    async () => {
      const kube = await cluster()
      await using world = await World.open(LANDSCAPE, { clock: new LoopClock(Date.now()) })
      const token = await world.token()
      const start = kube.auditMark()
      const one = await replica(world, kube, 'replica-a', token)
      await until(one.agent, inStep)
      const two = await replica(world, kube, 'replica-b', token)
      const waiting = await until(two.agent, ({ standby }) => standby)
      expect(waiting.why).toMatch(/^another replica is in charge: replica-a_/)
      await Bun.sleep(1000)
      expect(writes(kube.auditLog(start), two.user)).toEqual([])
      const published = (await kube.client.list(APPLICATIONS, {}, signal)).items.length
      expect(published).toBe(6)

      const killed = Date.now()
      const mark = kube.auditMark()
      one.freeze()
      await until(two.agent, (status) => !status.standby && inStep(status))
      expect(Date.now() - killed).toBeLessThan(30_000)
      // It has taken over what the other one knew: no token, no certificate, no object anew.
      expect(world.requests().filter((request) => request.includes('sign'))).toHaveLength(1)
      expect(writes(kube.auditLog(mark)).filter(isPublished)).toEqual([])

      // The other one comes back from wherever it was, knows that it is not in charge, and stays so.
      await until(one.agent, ({ standby, why }) => standby || why.includes('another agent'))
      one.thaw()
      await until(one.agent, ({ standby, why }) => standby && why.startsWith('another replica'))
      expect(one.log.join('\n')).toContain('the Lease could not be renewed for 10 s')
      expect(writes(kube.auditLog(mark), one.user)).toEqual([])

      // What changes from now on is written by the one in charge, once.
      world.edit((draft) => {
        for (const { auth } of draft.applications[0]!.bundles)
          if (auth?.credential?.type === 'basic') auth.credential.password = 'rotated-by-somebody'
      })
      const change = kube.auditMark()
      await two.agent.sync()
      const changed = writes(kube.auditLog(change)).filter(isPublished)
      expect(changed.length).toBeGreaterThan(0)
      expect(new Set(changed).size).toBe(changed.length)
      expect(writes(kube.auditLog(change), one.user)).toEqual([])

      // Who ends hands over at once.
      const ended = Date.now()
      await two.agent.stop()
      await until(one.agent, (status) => !status.standby && inStep(status))
      expect(Date.now() - ended).toBeLessThan(6_000)
      await one.agent.stop()
      const created = writes(kube.auditLog(start)).filter(
        (line) => line.startsWith('create') && isPublished(line),
      )
      expect(new Set(created).size).toBe(created.length)
      const lease = await kube.client.get(LEASES, { namespace: NAMESPACE, name: PREFIX }, signal)
      expect(lease?.['spec']).toMatchObject({ leaseTransitions: 2 })
    },
  )

  slowOnKube('stand by while a pod of the Go agent runs, and stop when one appears', async () => {
    const kube = await cluster()
    await using world = await World.open(LANDSCAPE, { clock: new LoopClock(Date.now()) })
    const goPod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'go-1', namespace: NAMESPACE, labels: { app: 'compass-runtime-agent' } },
      spec: {
        containers: [{ name: 'agent', image: 'registry.example/compass-runtime-agent:1.3.6' }],
      },
    }
    const run = async (): Promise<void> => {
      await kube.client.create(PODS, goPod, signal)
      await setPhase(kube, 'go-1', 'Running')
    }
    const end = () => setPhase(kube, 'go-1', 'Succeeded')
    await run()
    const mark = kube.auditMark()
    const { agent, user } = await replica(world, kube, 'replica-c')
    const waiting = await until(agent, ({ standby }) => standby)
    expect(waiting.why).toMatch(/^the Go agent runs: pod kyma-system\/go-1;/)
    await Bun.sleep(2500)
    const touched = kube
      .auditLog(mark)
      .filter((entry) => entry.user === user && entry.verb !== 'list')
    expect(touched.filter(({ verb }) => verb !== 'get')).toEqual([])
    await end()
    await until(agent, ({ standby }) => !standby)
    await kube.client.remove(PODS, { namespace: NAMESPACE, name: 'go-1' }, {}, signal)
    await run()
    await until(agent, ({ standby, why }) => standby && why.startsWith('the Go agent runs'))
    await agent.stop()
    await kube.client.remove(PODS, { namespace: NAMESPACE, name: 'go-1' }, {}, signal)
  })
})

describe('an identity that somebody else renewed', () => {
  needsKube('is kept, and taken over with all else that is to be known anew', async () => {
    const kube = await cluster()
    await using world = await World.open(LANDSCAPE, { clock: new LoopClock(Date.now()) })
    await kube.client.remove(SECRETS, SECRET, {}, signal)
    const { agent, log } = await replica(world, kube, 'replica-d', await world.token())
    const before = await until(agent, inStep)
    // As the Go agent writes it: its three keys, and nothing else.
    const { key, chain, fingerprint } = await world.identity()
    const data = {
      key: toBase64(toPkcs1(key).reveal()),
      crt: toBase64(splitPem(chain)[0] ?? ''),
      crtChain: toBase64(chain),
    }
    await kube.client.merge(SECRETS, SECRET, { data }, signal)
    await agent.ask({ kind: 'renew' })
    const after = await until(
      agent,
      ({ standby, identity }) => !standby && identity?.fingerprint === fingerprint,
    )
    expect(after.identity?.fingerprint).not.toBe(before.identity?.fingerprint)
    expect(log.join('\n')).toContain('the identity in it was changed by somebody else')
    const found = await kube.client.get(SECRETS, SECRET, signal)
    expect(found?.['data']).toMatchObject(data)
    await until(agent, inStep)
    await agent.stop()
  })
})

/** As a kubelet does: there is none here. */
async function setPhase(kube: Kube, name: string, phase: string): Promise<void> {
  const url = `${kube.url}/api/v1/namespaces/${NAMESPACE}/pods/${name}/status`
  const token = await kube.token({ namespace: NAMESPACE, name: 'replica-a' }).catch(async () => {
    await account(kube, 'replica-a')
    return kube.token({ namespace: NAMESPACE, name: 'replica-a' })
  })
  const answer = await fetch(url, {
    method: 'PATCH',
    tls: { ca: kube.ca },
    headers: {
      authorization: `Bearer ${token.reveal()}`,
      'content-type': 'application/merge-patch+json',
    },
    body: JSON.stringify({ status: { phase } }),
  })
  if (!answer.ok) throw new Error(await answer.text())
}
