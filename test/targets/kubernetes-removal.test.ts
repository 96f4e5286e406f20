import { describe, expect } from 'bun:test'
import { PODS, SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { Resource } from '../../src/clients/kubernetes/api.ts'
import { bindingName } from '../../src/model/names.ts'
import { DAY, HOUR } from '../../src/model/time.ts'
import { kubeForTests, needsKube } from '../kube.ts'
import { application, bundle } from '../model/samples.ts'
import { annotation, Namespace, outcomes, pass, signal, versionOf } from './kubernetes-place.ts'

const kube = kubeForTests()
const one = application('a')
const SECRET = bindingName('App a', bundle('a-1'))
const NOON = Date.UTC(2026, 0, 1, 12)

const SERVICE_BINDINGS: Resource = {
  group: 'servicebinding.io',
  version: 'v1',
  plural: 'servicebindings',
  kind: 'ServiceBinding',
  namespaced: true,
}

async function pod(namespace: Namespace, name: string): Promise<void> {
  const volumes = [{ name: 'b', secret: { secretName: SECRET } }]
  const spec = { volumes, containers: [{ name: 'c', image: 'example/app:1' }] }
  const metadata = { name, namespace: namespace.name }
  await kube().client.create(PODS, { metadata, spec }, signal)
}

describe('a Secret that would go', () => {
  needsKube('waits while a pod uses it, and says which; then it goes', async () => {
    const namespace = await Namespace.make(kube())
    const target = (now: number) => namespace.target({ now: () => now })
    await pass(target(NOON), [one])
    await pod(namespace, 'orders')
    const outcome = await pass(target(NOON), [])
    expect(outcome.results).toMatchObject([
      {
        outcome: 'held',
        problem: {
          code: 'object_in_use',
          message: `Cannot remove the Secret ${SECRET} yet, which would go since 2026-01-01T12:00:00Z: Pod orders refers to it`,
        },
      },
    ])
    const held = await namespace.secret()
    expect(held.metadata.annotations).toMatchObject({
      [annotation('orphaned-since')]: '2026-01-01T12:00:00Z',
    })
    await pass(target(NOON + HOUR), [])
    expect(versionOf(await namespace.secret())).toBe(versionOf(held))
    await kube().client.remove(PODS, { name: 'orders', namespace: namespace.name }, {}, signal)
    // No kubelet ends it.
    const { items } = await kube().client.list(PODS, { namespace: namespace.name }, signal)
    expect(items).toEqual([])
    expect(outcomes(await pass(target(NOON + HOUR), []))).toEqual(['binding/a-1 applied'])
    expect(await namespace.secrets()).toEqual([])
  })

  needsKube('and finalizers keep is removed once, and named', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [one])
    const ref = { name: SECRET, namespace: namespace.name }
    const finalizers = ['example.com/hold']
    await kube().client.merge(SECRETS, ref, { metadata: { finalizers } }, signal)
    await pass(target, [])
    const mark = kube().auditMark()
    expect(outcomes(await pass(target, []))).toEqual(['binding/a-1 held object_in_use'])
    expect(
      kube()
        .auditLog(mark)
        .filter(({ verb }) => verb === 'delete'),
    ).toEqual([])
    await kube().client.merge(SECRETS, ref, { metadata: { finalizers: null } }, signal)
    expect(outcomes(await pass(target, []))).toEqual([])
  })

  needsKube('goes after a day, whoever uses it', async () => {
    const namespace = await Namespace.make(kube())
    await pass(namespace.target(), [one])
    await pod(namespace, 'orders')
    expect(outcomes(await pass(namespace.target({ now: () => NOON }), []))).toEqual([
      'binding/a-1 held object_in_use',
    ])
    await pass(namespace.target({ now: () => NOON + DAY }), [])
    expect(await namespace.secrets()).toEqual([])
  })

  needsKube('is as before when its application comes back', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [one])
    const { annotations } = (await namespace.secret()).metadata
    await pod(namespace, 'orders')
    await pass(target, [])
    await pass(target, [one])
    expect((await namespace.secret()).metadata.annotations).toEqual(annotations)
  })

  needsKube('waits for a ServiceBinding, where there are any', async () => {
    const namespace = await Namespace.make(kube())
    await pass(namespace.target(), [one])
    await kube().applyManifests(SERVICE_BINDING_KIND)
    const service = { apiVersion: 'v1', kind: 'Secret', name: SECRET }
    const metadata = { name: 'orders', namespace: namespace.name }
    await kube().client.create(SERVICE_BINDINGS, { metadata, spec: { service } }, signal)
    const outcome = await pass(namespace.target(), [])
    expect(outcome.results[0]?.problem?.message).toContain('ServiceBinding orders')
  })
})

/** As much of the kind as the agent reads. */
const SERVICE_BINDING_KIND = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicebindings.servicebinding.io}
spec:
  group: servicebinding.io
  names: {kind: ServiceBinding, plural: servicebindings, singular: servicebinding, listKind: ServiceBindingList}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
`
