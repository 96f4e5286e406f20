import { describe, expect } from 'bun:test'
import { CONFIG_MAPS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject } from '../../src/clients/kubernetes/api.ts'
import { kubeForTests, needsKube } from '../kube.ts'
import { application, bundle } from '../model/samples.ts'
import { Namespace, outcomes, pass, signal, versionOf } from './kubernetes-place.ts'

const kube = kubeForTests()
const index = { index: true }

const read = (namespace: Namespace, name = 'runtime-agent-bindings') =>
  kube().client.get(CONFIG_MAPS, { name, namespace: namespace.name }, signal)

const entriesOf = (map: KubeObject | undefined): unknown =>
  JSON.parse((map?.['data'] as Record<string, string>)['bindings.json']!)

describe('the list of bindings', () => {
  needsKube('follows what is there, without secrets', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target({ ...index, types: [{ application: 'App b', type: 'rest' }] })
    await pass(target, [application('a'), application('b')])
    const map = await read(namespace)
    expect(entriesOf(map)).toEqual([
      {
        name: expect.stringMatching(/^ucl-app-a-bundle-a-1-/),
        application: 'App a',
        bundle: 'Bundle a-1',
        type: 'ucl-api',
      },
      {
        name: expect.stringMatching(/^ucl-app-b-bundle-b-1-/),
        application: 'App b',
        bundle: 'Bundle b-1',
        type: 'rest',
      },
    ])
    await pass(target, [application('a', { bundles: [bundle('a-1', { name: 'Renamed' })] })])
    expect(entriesOf(await read(namespace))).toMatchObject([{ bundle: 'Renamed' }])
  })

  needsKube(
    'costs one read when nothing changed, and is put right when somebody edits it',
    async () => {
      const namespace = await Namespace.make(kube())
      const target = namespace.target(index)
      await pass(target, [application('a')])
      const before = await read(namespace)
      const mark = kube().auditMark()
      await pass(target, [application('a')])
      expect(namespace.calls(mark)).toEqual(['list secrets', 'get configmaps'])
      expect(versionOf((await read(namespace))!)).toBe(versionOf(before!))
      const ref = { name: 'runtime-agent-bindings', namespace: namespace.name }
      await kube().client.merge(CONFIG_MAPS, ref, { data: { 'bindings.json': 'x' } }, signal)
      await pass(target, [application('a')])
      expect((await read(namespace))?.['data']).toEqual(before?.['data'])
    },
  )

  needsKube('is not written over one of somebody else', async () => {
    const namespace = await Namespace.make(kube())
    const metadata = { name: 'runtime-agent-bindings', namespace: namespace.name }
    const theirs = await kube().client.create(CONFIG_MAPS, { metadata }, signal)
    const outcome = await pass(namespace.target(index), [application('a')])
    expect(outcomes(outcome)).toEqual(['binding/a-1 applied'])
    expect(outcome.after.map(({ code }) => code)).toEqual(['object_foreign'])
    expect(versionOf((await read(namespace))!)).toBe(versionOf(theirs))
  })

  needsKube('is one for each agent, and none where there is nothing', async () => {
    const namespace = await Namespace.make(kube())
    await pass(namespace.target({ ...index, agent: 'second' }), [application('a')])
    await pass(namespace.target(index), [])
    expect(await read(namespace)).toBeUndefined()
    expect(entriesOf(await read(namespace, 'runtime-agent-second-bindings'))).toHaveLength(1)
  })
})
