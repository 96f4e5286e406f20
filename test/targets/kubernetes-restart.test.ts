import { describe, expect } from 'bun:test'
import type { KubeObject, Kubernetes, Resource } from '../../src/clients/kubernetes/api.ts'
import { AgentError } from '../../src/model/problem.ts'
import { bindingName } from '../../src/model/names.ts'
import { kubeForTests, needsKube } from '../kube.ts'
import { application, basic, bundle, numbers } from '../model/samples.ts'
import {
  annotation,
  encode,
  Namespace,
  outcomes,
  pass,
  patchStatus,
  signal,
} from './kubernetes-place.ts'

const kube = kubeForTests()
const app = (password = 'old', id = 'a') =>
  application(id, { bundles: [bundle(`${id}-1`, { auth: basic('user', password) })] })
const secretOf = (id: string): string => bindingName(`App ${id}`, bundle(`${id}-1`))
const SECRET = secretOf('a')

const kindOf = (plural: string, kind: string): Resource => {
  return { group: 'apps', version: 'v1', plural, kind, namespaced: true }
}
const DEPLOYMENTS = kindOf('deployments', 'Deployment')
const STATEFUL_SETS = kindOf('statefulsets', 'StatefulSet')
const DAEMON_SETS = kindOf('daemonsets', 'DaemonSet')

type Pod = { volumes?: object[]; envFrom?: object[]; env?: object[] }
const mounting = (secretName: string): Pod => ({ volumes: [{ name: 'b', secret: { secretName } }] })
const OPTED_IN = { [annotation('restart')]: 'rolling' }

async function workload(
  namespace: Namespace,
  name: string,
  { pod = mounting(SECRET), resource = DEPLOYMENTS, labels = OPTED_IN } = {},
): Promise<void> {
  const { volumes = [], ...from } = pod
  const template = {
    metadata: { labels: { app: name } },
    spec: { volumes, containers: [{ name: 'c', image: 'example/app:1', ...from }] },
  }
  const spec = {
    selector: { matchLabels: { app: name } },
    template,
    ...(resource === STATEFUL_SETS ? { serviceName: name } : {}),
  }
  const metadata = { name, namespace: namespace.name, labels: { ...labels } }
  await kube().client.create(resource, { metadata, spec }, signal)
}

const RESTARTED = 'kubectl.kubernetes.io/restartedAt'

/** When each was restarted, by name. */
async function restarts(
  namespace: Namespace,
  resource = DEPLOYMENTS,
): Promise<Record<string, string>> {
  const { items } = await kube().client.list(resource, { namespace: namespace.name }, signal)
  const at = ({ metadata, spec }: KubeObject): [string, string] => {
    const { template } = spec as {
      template: { metadata: { annotations?: Record<string, string> } }
    }
    return [metadata.name, template.metadata.annotations?.[RESTARTED] ?? 'never']
  }
  return Object.fromEntries(items.map(at))
}

/** As its controller would do when all pods run the new template. */
async function rollOut(namespace: Namespace, name: string): Promise<void> {
  const ref = { name, namespace: namespace.name }
  const object = await kube().client.get(DEPLOYMENTS, ref, signal)
  const status = {
    observedGeneration: object!.metadata.generation,
    ...{ replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1 },
  }
  const path = `/apis/apps/v1/namespaces/${namespace.name}/deployments/${name}`
  await patchStatus(kube(), path, status)
}

/** A client that is killed by the first call that fits: nothing goes through any more. */
function dying(
  when: (method: string, resource: Resource) => 'before' | 'after' | undefined,
): Kubernetes {
  const client = kube().client
  let dead = false
  const dies = () => Promise.reject(new AgentError('unreachable', 'Cannot reach it: dead'))
  return new Proxy(client, {
    get(_, name) {
      const member: unknown = Reflect.get(client, name)
      if (typeof member !== 'function') return member
      return async (...given: [Resource, ...unknown[]]) => {
        const at = when(String(name), given[0])
        dead ||= at === 'before'
        if (dead) return dies()
        const answer: unknown = await Reflect.apply(member, client, given)
        dead ||= at === 'after'
        return dead ? dies() : answer
      }
    },
  })
}

const at = (minutes: number) => () => Date.UTC(2026, 0, 1, 0, minutes)
const time = (minutes: number) => new Date(at(minutes)()).toISOString().replace('.000', '')

describe('a workload that asked for it', () => {
  needsKube.each([
    ['mounts the Secret', mounting(SECRET)],
    [
      'mounts it projected',
      {
        volumes: [{ name: 'b', projected: { sources: [{ secret: { name: SECRET } }] } }],
      },
    ],
    ['takes all of its environment from it', { envFrom: [{ secretRef: { name: SECRET } }] }],
    [
      'takes a variable from it',
      {
        env: [{ name: 'P', valueFrom: { secretKeyRef: { name: SECRET, key: 'password' } } }],
      },
    ],
  ] as [string, Pod][])('and %s is restarted once when it changes', async (_what, pod) => {
    const namespace = await Namespace.make(kube())
    await workload(namespace, 'orders', { pod })
    const target = namespace.target({ restart: true, now: at(1) })
    await pass(target, [app()])
    expect(await restarts(namespace)).toEqual({ orders: 'never' })
    await pass(target, [app('new')])
    expect(await restarts(namespace)).toEqual({ orders: time(1) })
    for (const later of [20, 40])
      await pass(namespace.target({ restart: true, now: at(later) }), [app('new')])
    expect(await restarts(namespace)).toEqual({ orders: time(1) })
    await pass(namespace.target({ restart: true, now: at(60) }), [app('newer')])
    expect(await restarts(namespace)).toEqual({ orders: time(60) })
  })

  needsKube.each([
    [STATEFUL_SETS.kind, STATEFUL_SETS],
    [DAEMON_SETS.kind, DAEMON_SETS],
  ] as const)('may be a %s', async (_kind, resource) => {
    const namespace = await Namespace.make(kube())
    await workload(namespace, 'orders', { resource })
    await pass(namespace.target({ restart: true }), [app()])
    await pass(namespace.target({ restart: true, now: at(1) }), [app('new')])
    expect(await restarts(namespace, resource)).toEqual({ orders: time(1) })
  })

  needsKube(
    'is left alone when it uses another Secret, did not ask, or nobody switched it on',
    async () => {
      const namespace = await Namespace.make(kube())
      await workload(namespace, 'other', { pod: mounting(secretOf('b')) })
      await workload(namespace, 'silent', { labels: {} })
      await pass(namespace.target({ restart: true }), [app(), app('old', 'b')])
      await pass(namespace.target({ restart: true }), [app('new'), app('old', 'b')])
      expect(await restarts(namespace)).toEqual({ other: 'never', silent: 'never' })
      const mark = kube().auditMark()
      await pass(namespace.target(), [app('newer'), app('new', 'b')])
      expect(namespace.calls(mark)).toEqual(['list secrets', 'patch secrets', 'patch secrets'])
      expect(await restarts(namespace)).toEqual({ other: 'never', silent: 'never' })
    },
  )

  needsKube('is not restarted when a Secret is only repaired, renamed or removed', async () => {
    const namespace = await Namespace.make(kube())
    await workload(namespace, 'orders')
    const target = namespace.target({ restart: true })
    await pass(target, [app()])
    await namespace.edit(SECRET, { data: { password: encode('by hand') } })
    await pass(target, [app()])
    await pass(target, [{ ...app(), name: 'Renamed' }])
    await pass(target, [])
    expect(await restarts(namespace)).toEqual({ orders: 'never' })
  })

  needsKube('costs three lists and no write in a pass without changes', async () => {
    const namespace = await Namespace.make(kube())
    await workload(namespace, 'orders')
    const target = namespace.target({ restart: true })
    await pass(target, [app()])
    await pass(target, [app('new')])
    await pass(target, [app('new')])
    const mark = kube().auditMark()
    await pass(target, [app('new')])
    expect(namespace.calls(mark).sort()).toEqual([
      'list daemonsets',
      'list deployments',
      'list secrets',
      'list statefulsets',
    ])
  })
})

describe('an agent that is killed', () => {
  let patches = 0
  needsKube.each([
    [
      'before the Secret is changed',
      (method, { plural }) => (method === 'merge' && plural === 'secrets' ? 'before' : undefined),
    ],
    [
      'between the Secret and the restart',
      (method, { plural }) => (method === 'merge' && plural === 'secrets' ? 'after' : undefined),
    ],
    [
      'right after the restart',
      (method, { plural }) =>
        method === 'merge' && plural === 'deployments' && ++patches === 2 ? 'after' : undefined,
    ],
  ] as [string, Parameters<typeof dying>[0]][])('%s restarts once', async (_when, when) => {
    patches = 0
    const namespace = await Namespace.make(kube())
    await workload(namespace, 'orders')
    await pass(namespace.target(), [app()])
    const options = { restart: true, now: at(1) }
    await pass(namespace.target({ ...options, kubernetes: dying(when) }), [app('new')]).catch(
      () => undefined,
    )
    const restarted = (await restarts(namespace))['orders']
    for (const later of [20, 40])
      await pass(namespace.target({ restart: true, now: at(later) }), [app('new')])
    expect(await restarts(namespace)).toEqual({
      orders: restarted === 'never' ? time(20) : time(1),
    })
  })
})

describe('many workloads', () => {
  needsKube('are restarted five at a time, as the earlier ones are done', async () => {
    const namespace = await Namespace.make(kube())
    for (const n of numbers(8)) await workload(namespace, `orders-${n}`)
    const some = (minutes: number) => namespace.target({ restart: true, now: at(minutes) })
    await pass(some(0), [app()])
    await pass(some(1), [app('new')])
    const restarted = async () =>
      Object.values(await restarts(namespace)).filter((one) => one !== 'never').length
    expect(await restarted()).toBe(5)
    await pass(some(4), [app('new')])
    expect(await restarted()).toBe(5)
    for (const n of [0, 1]) await rollOut(namespace, `orders-${n}`)
    await pass(some(7), [app('new')])
    expect(await restarted()).toBe(7)
    // What takes too long holds nobody back.
    await pass(some(30), [app('new')])
    expect(await restarted()).toBe(8)
  })
})

describe('restarts that fail', () => {
  needsKube('keep no Secret from being written, and are told', async () => {
    const namespace = await Namespace.make(kube())
    await workload(namespace, 'orders')
    await pass(namespace.target(), [app()])
    const refused = (): Promise<never> =>
      Promise.reject(new AgentError('kubernetes_forbidden', 'Cannot list deployments: no right'))
    const { client } = kube()
    const kubernetes: Kubernetes = {
      ...client,
      list: (resource, ...rest) =>
        resource.group === 'apps' ? refused() : client.list(resource, ...rest),
    }
    const outcome = await pass(namespace.target({ restart: true, kubernetes }), [app('new')])
    expect(outcomes(outcome)).toEqual(['binding/a-1 applied'])
    expect(outcome.after.map(({ code }) => code)).toContain('kubernetes_forbidden')
  })
})
