import { describe, expect, test } from 'bun:test'
import { CONFIG_MAPS, SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../src/clients/kubernetes/api.ts'
import type { KubernetesTargetConfig } from '../../src/config/config.ts'
import { applyTarget } from '../../src/agent/apply.ts'
import type { ApplyOutcome } from '../../src/agent/apply.ts'
import type { Application } from '../../src/model/application.ts'
import { initialGuardState } from '../../src/model/guard.ts'
import { Secret } from '../../src/model/secret.ts'
import { markComplete } from '../../src/model/snapshot.ts'
import { HOUR } from '../../src/model/time.ts'
import { openKubernetes } from '../../src/targets/kubernetes.ts'
import type { Target } from '../../src/targets/target.ts'
import { kubeForTests, needsKube } from '../kube.ts'
import type { AuditEntry } from '../kube.ts'
import { RUNTIME, application, bare, basic, bundle, oauth } from '../model/samples.ts'
import { targetContract } from './target.contract.ts'

const kube = kubeForTests()
const { signal } = new AbortController()
const encode = (text: string) => Buffer.from(text).toString('base64')
const decode = (text: unknown) => Buffer.from(String(text), 'base64').toString()

let namespaces = 0
async function newNamespace(): Promise<string> {
  const name = `team-${++namespaces}`
  await kube().namespace(name)
  return name
}

export type Some = Partial<KubernetesTargetConfig> & {
  agent?: string
  kubernetes?: Kubernetes
  digestKey?: string
  now?: () => number
}

function targetsOf({ agent = 'default', kubernetes, digestKey = 'key', now, ...some }: Some): Target[] {
  return openKubernetes({
    config: {
      ...{ kind: 'kubernetes', name: 'kubernetes', namespaces: [], types: [] },
      ...{ index: false, restart: false, ...some },
    },
    agent,
    digestKey: new Secret(digestKey),
    kubernetes: kubernetes ?? kube().client,
    now: now ?? Date.now,
  })
}

const open = (namespace: string, some: Some = {}): Target =>
  targetsOf({ namespaces: [namespace], ...some })[0]!

/** A pass as the agent does it, with a guard that lets everything go. */
function pass(target: Target, applications: Application[]): Promise<ApplyOutcome> {
  const input = {
    target,
    snapshot: { runtimeId: RUNTIME, applications: markComplete(applications), fetchedAt: 0 },
    guardState: initialGuardState,
    guard: { ordinary: { count: 1e9, percent: 100 }, massDeletion: 'off', credentialsGrace: HOUR },
    approvals: [],
    now: 0,
  } as const
  return applyTarget(input as never, signal)
}

const outcomes = ({ results }: ApplyOutcome) =>
  results.map(({ key, outcome, problem }) =>
    [key, outcome, problem?.code].filter(Boolean).join(' '),
  )

const messages = ({ results }: ApplyOutcome) => results.map(({ problem }) => problem?.message)

async function secretsIn(namespace: string): Promise<KubeObject[]> {
  const { items } = await kube().client.list(SECRETS, { namespace }, signal)
  return items
}

async function only(namespace: string): Promise<KubeObject> {
  const all = await secretsIn(namespace)
  expect(all).toHaveLength(1)
  return all[0]!
}

const dataOf = ({ data }: KubeObject): Record<string, string> =>
  Object.fromEntries(Object.entries(data ?? {}).map(([key, value]) => [key, decode(value)]))

const isWrite = ({ verb }: AuditEntry) => ['create', 'update', 'patch', 'delete'].includes(verb)

targetContract(
  'kubernetes',
  async () => {
    const namespace = await newNamespace()
    return {
      open: () => open(namespace),
      writes: async () =>
        JSON.stringify(
          (await secretsIn(namespace)).map(({ metadata: { uid, resourceVersion } }) => [
            uid,
            resourceVersion,
          ]),
        ),
      damage: async (_key, name) => {
        const change = { data: { password: encode('edited by hand') } }
        await kube().client.merge(SECRETS, { name, namespace }, change, signal)
      },
      close: () => undefined,
    }
  },
  { shape: { application: () => [], bundle: (id) => [`binding/${id}`] }, run: needsKube },
)

describe('a binding in a namespace', () => {
  needsKube('is a Secret of servicebinding.io with the keys of files and our marks', async () => {
    const namespace = await newNamespace()
    const app = application('a-1', { name: 'mp-crm', bundles: [bundle('b-1', { name: 'Sales' })] })
    await pass(open(namespace, { agent: 'cluster-a' }), [app])
    const secret = await only(namespace)
    expect(secret['type']).toBe('servicebinding.io/ucl-api')
    expect(secret.metadata.name).toMatch(/^ucl-mp-crm-sales-[0-9a-f]{8}$/)
    expect(secret.metadata.labels).toEqual({
      'app.kubernetes.io/managed-by': 'runtime-agent',
      'runtime-agent.kyma-project.io/runtime-id': RUNTIME,
      'runtime-agent.kyma-project.io/agent': 'cluster-a',
    })
    expect(secret.metadata.annotations).toEqual({
      'runtime-agent.kyma-project.io/source': 'a-1/b-1',
      'runtime-agent.kyma-project.io/hash': expect.stringMatching(/^[0-9a-f]{64}$/),
      'runtime-agent.kyma-project.io/application': 'mp-crm',
      'runtime-agent.kyma-project.io/bundle': 'Sales',
    })
    const { '.metadata': descriptor, ...data } = dataOf(secret)
    expect(data).toEqual({
      type: 'ucl-api',
      provider: 'ucl',
      uri: 'https://api.example/v1',
      host: 'api.example',
      port: '443',
      'target-urls': '{"API b-1-a":"https://api.example/v1"}',
      apis: '[{"id":"b-1-a","name":"API b-1-a","target-url":"https://api.example/v1"}]',
      events: '[]',
      'credentials-type': 'basic_auth',
      username: 'user',
      password: 'pass',
      'ucl-application-id': 'a-1',
      'ucl-bundle-id': 'b-1',
      'ucl-revision': '1',
    })
    const { metaDataProperties, credentialProperties } = JSON.parse(descriptor!)
    const described = [...metaDataProperties, ...credentialProperties].map(({ name }) => name)
    expect(described.sort()).toEqual(Object.keys(data).sort())
  })
})
