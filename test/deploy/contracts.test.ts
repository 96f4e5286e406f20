/**
 * The rights in deploy/kubernetes are enough for all that targets and stores promise: their contracts, with a token of the
 * account. The API server refuses none of their calls.
 */
import { beforeAll, describe, expect, setDefaultTimeout } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { findEnvtest, findKustomize } from '../../scripts/envtest.ts'
import {
  openConfigurationSecrets,
  openSnapshotSecrets,
  openStateSecret,
} from '../../src/agent/state-secrets.ts'
import { initialState } from '../../src/agent/state.ts'
import { APPLICATIONS, SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../src/clients/kubernetes/api.ts'
import { openSecretStore } from '../../src/identity/secret.ts'
import { digestConfiguration } from '../../src/model/configuration.ts'
import { digestSnapshot, markComplete } from '../../src/model/snapshot.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import { until } from '../e2e/support/program.ts'
import { NOW } from '../identity/fixtures.ts'
import { storeContract } from '../identity/store.contract.ts'
import { kubeForTests } from '../kube.ts'
import { application, basic, bundle, document, RUNTIME } from '../model/samples.ts'
import { ROOT } from '../source.ts'
import { annotation, encode, Namespace, pass, versionOf } from '../targets/kubernetes-place.ts'
import { applicationsIn, clear, NAMESPACE, openTarget, secretsIn } from '../targets/kyma/support.ts'
import { targetContract } from '../targets/target.contract.ts'
import { ACCOUNTS, callsOf, install, needsCluster } from './cluster.ts'
import { build } from './overlays.ts'
import type { Overlay } from './overlays.ts'

setDefaultTimeout(60_000)

const { signal } = new AbortController()
const kube = kubeForTests()
const clients: Partial<Record<Overlay, Kubernetes>> = {}
const clientOf = (name: Overlay): Kubernetes => {
  const found = clients[name]
  if (found === undefined) throw new Error('before beforeAll')
  return found
}
const isReady = findEnvtest() !== undefined && findKustomize() !== undefined
if (isReady)
  beforeAll(async () => {
    await install(kube())
    for (const name of ['standalone', 'kyma-drop-in'] as const)
      clients[name] = await kube().as(ACCOUNTS[name])
  }, 60_000)

/** What a person writes for one more namespace of the target `kubernetes`. */
function rightsIn(namespace: string, components: readonly string[] = []): KubeObject[] {
  const directory = mkdtempSync(join(realpathSync(tmpdir()), 'namespace-'))
  const path = (to: string): string => relative(directory, join(ROOT, 'deploy/kubernetes', to))
  const kustomization = {
    ...{ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace },
    resources: [path('namespace')],
    components: components.map((one) => path(`components/${one}`)),
  }
  writeFileSync(join(directory, 'kustomization.yaml'), JSON.stringify(kustomization))
  try {
    return build(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function namespaceWith(...components: string[]): Promise<Namespace> {
  const namespace = await Namespace.make(kube())
  await kube().applyManifests(rightsIn(namespace.name, components))
  const right = { verb: 'list', resource: SECRETS, namespace: namespace.name }
  // The API server learns of a new role by a watch of its own.
  await until('the rights are known', async () => {
    const denied = await clientOf('standalone').denied([right], signal)
    return denied.length === 0
  })
  return namespace
}

targetContract(
  'kubernetes with the rights of standalone',
  async () => {
    const namespace = await namespaceWith()
    return {
      open: () => namespace.target({ kubernetes: clientOf('standalone') }),
      writes: async () => JSON.stringify((await namespace.secrets()).map(versionOf)),
      damage: async (_key, name) => {
        await namespace.edit(name, { data: { password: encode('edited by hand') } })
      },
      close: () => undefined,
    }
  },
  { shape: { application: () => [], bundle: (id) => [`binding/${id}`] }, run: needsCluster },
)

targetContract(
  'kyma with the rights of kyma-drop-in',
  () => ({
    open: () => openTarget(clientOf('kyma-drop-in')),
    writes: async () => {
      const objects = [...(await applicationsIn(kube())), ...(await secretsIn(kube()))]
      return objects.map(versionOf).join()
    },
    damage: async (key, name) => {
      const { client } = kube()
      if (key.startsWith('application/'))
        await client.merge(APPLICATIONS, { name }, { spec: { services: [] } }, signal)
      else
        await client.merge(
          SECRETS,
          { name, namespace: NAMESPACE },
          {
            data: { password: encode('edited by hand') },
          },
          signal,
        )
    },
    close: () => clear(kube()),
  }),
  { run: needsCluster },
)

for (const [overlay, secret, caSecret] of [
  ['standalone', { namespace: 'runtime-agent', name: 'runtime-agent-identity' }, undefined],
  [
    'kyma-drop-in',
    { namespace: 'kyma-system', name: 'cluster-client-certificates' },
    { namespace: 'istio-system', name: 'kyma-gateway-certs-cacert' },
  ],
] as const)
  storeContract(
    `Secret with the rights of ${overlay}`,
    async () => {
      await kube().client.remove(SECRETS, secret, {}, signal)
      const openStore = () =>
        openSecretStore({
          kubernetes: clientOf(overlay),
          secret,
          ...(caSecret === undefined ? {} : { caSecret }),
          warn: ({ message }) => {
            throw new Error(message)
          },
          now: () => NOW,
        })
      const store = openStore()
      await store.check()
      return { store, reopen: openStore }
    },
    needsCluster,
  )

/** Of about this many bytes, which cannot be packed. */
function snapshotOf(bytes: number): Snapshot {
  const description = randomBytes(bytes / 2).toString('hex')
  const applications = markComplete([application('a', { description })])
  const content = { runtimeId: RUNTIME, applications }
  return { ...content, fetchedAt: 1000, digest: digestSnapshot(content) }
}

describe('with the rights of standalone', () => {
  needsCluster('a snapshot of many parts is kept, and a smaller one after it', async () => {
    const options = {
      kubernetes: clientOf('standalone'),
      ...{ namespace: 'runtime-agent', prefix: 'runtime-agent' },
    }
    const snapshots = openSnapshotSecrets(options)
    const parts = async (): Promise<number> => {
      const { items } = await kube().client.list(SECRETS, { namespace: 'runtime-agent' }, signal)
      return items.filter(({ metadata }) => /snapshot-\d+$/.test(metadata.name)).length
    }
    for (const [bytes, least] of [
      [7_000_000, 5],
      [1_000, 1],
    ] as const) {
      const snapshot = snapshotOf(bytes)
      expect(await snapshots.save(snapshot)).toBeUndefined()
      const loaded = await openSnapshotSecrets(options).load()
      expect(loaded.snapshot?.digest).toBe(snapshot.digest)
      expect(await parts()).toBeGreaterThanOrEqual(least)
    }
    expect(await parts()).toBe(1)
    const states = openStateSecret(options)
    expect(await states.load()).toEqual(initialState)
    await states.save({ ...initialState, paused: true })
    expect((await states.load()).paused).toBe(true)
  })

  needsCluster('a configuration is kept beside it, in as many parts as have names', async () => {
    const options = {
      kubernetes: clientOf('standalone'),
      ...{ namespace: 'runtime-agent', prefix: 'runtime-agent' },
    }
    const store = openConfigurationSecrets(options)
    for (const bytes of [4_000_000, 1_000]) {
      const random = randomBytes(bytes / 2).toString('hex')
      const content = {
        ...{ runtimeId: RUNTIME, refused: [], rules: 'r' },
        documents: markComplete([document('logging', random)]),
      }
      const digest = digestConfiguration(content)
      expect(await store.save({ ...content, fetchedAt: 1000, digest })).toBeUndefined()
      const { configuration } = await openConfigurationSecrets(options).load()
      expect(configuration?.digest).toBe(digest)
    }
    const { items } = await kube().client.list(SECRETS, { namespace: 'runtime-agent' }, signal)
    const names = items.map(({ metadata }) => metadata.name)
    expect(names.filter((name) => /configuration-\d+$/.test(name))).toHaveLength(1)
  })

  needsCluster('the components are enough for a list of bindings and for restarts', async () => {
    const namespace = await namespaceWith('index', 'restart')
    const kubernetes = clientOf('standalone')
    const target = namespace.target({ kubernetes, index: true, restart: true })
    const app = (password: string) =>
      application('a', { bundles: [bundle('a-1', { auth: basic('user', password) })] })
    await pass(target, [app('old')])
    const { metadata } = await namespace.secret()
    const workloads = ['deployments', 'statefulsets', 'daemonsets'].map((plural) => ({
      ...{ group: 'apps', version: 'v1', plural, namespaced: true },
      kind: { deployments: 'Deployment', statefulsets: 'StatefulSet' }[plural] ?? 'DaemonSet',
    }))
    const at = { name: 'orders', namespace: namespace.name }
    for (const resource of workloads) {
      const labels = { app: resource.plural }
      const volumes = [{ name: 'b', secret: { secretName: metadata.name } }]
      const spec = { containers: [{ name: 'c', image: 'example/app:1' }], volumes }
      await kube().client.create(
        resource,
        {
          metadata: { ...at, labels: { [annotation('restart')]: 'rolling' } },
          spec: {
            selector: { matchLabels: labels },
            template: { metadata: { labels }, spec },
            ...(resource.kind === 'StatefulSet' ? { serviceName: 'orders' } : {}),
          },
        },
        signal,
      )
    }
    await pass(target, [app('old')])
    const outcome = await pass(target, [app('new'), application('b')])
    expect(outcome.after).toEqual([])
    // A change from outside: it is read again, by name.
    for (const resource of workloads)
      await kube().client.merge(resource, at, { metadata: { annotations: { note: 'x' } } }, signal)
    await pass(target, [app('newer')])
    expect(outcome.problems).toEqual([])
  })
})

needsCluster('of all these calls the API server has refused none', () => {
  for (const name of ['standalone', 'kyma-drop-in'] as const) {
    const calls = callsOf(kube(), name)
    expect(calls.length).toBeGreaterThan(100)
    const refused = calls.filter(({ code }) => code === 403)
    expect(refused.map(({ verb, uri }) => `${verb} ${uri}`)).toEqual([])
  }
})
