import { describe, expect, test } from 'bun:test'
import { PODS, type KubeObject } from '../../src/clients/kubernetes/api.ts'
import { goAgentLook } from '../../src/kyma/go-agent.ts'
import { FakeKubernetes } from '../fake-kubernetes.ts'

const { signal } = new AbortController()
const GO_IMAGE = 'europe-docker.pkg.dev/kyma-project/prod/compass-runtime-agent:1.3.6'
const OUR_IMAGE = 'registry.example:5000/runtime-agent:0.4.0'

type Pod = {
  image?: string
  phase?: string
  set?: string
  labels?: Record<string, string>
  in?: string
}

function pod(
  name: string,
  { image = GO_IMAGE, phase = 'Running', set = 'go', labels, ...rest }: Pod = {},
) {
  const object: KubeObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: rest.in ?? 'kyma-system',
      labels: labels ?? { app: 'compass-runtime-agent', release: 'compass-runtime-agent' },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: set, uid: set }],
    },
    spec: {
      containers: [
        { name: 'proxy', image: 'istio/proxyv2:1' },
        { name: 'agent', image },
      ],
    },
    status: { phase },
  }
  return object
}

async function look(pods: KubeObject[], own?: string) {
  const kubernetes = new FakeKubernetes()
  for (const one of pods) await kubernetes.create(PODS, one)
  const warned: string[] = []
  const see = goAgentLook({
    kubernetes,
    namespaces: ['kyma-system', 'agents', 'kyma-system'],
    ...(own === undefined ? {} : { pod: own }),
    warn: (message) => warned.push(message),
  })
  return { see: () => see(signal), kubernetes, warned }
}

describe('the Go agent is seen', () => {
  const cases: [string, KubeObject[], string?][] = [
    ['where it runs', [pod('go-1')]],
    [
      'by its image, whatever registry, tag or digest',
      [pod('go-1', { image: 'compass-runtime-agent@sha256:ab' })],
    ],
    ['in the other namespace', [pod('go-1', { in: 'agents' })]],
    [
      'beside our pods of the same Deployment',
      [pod('us', { image: OUR_IMAGE, set: 'ours' }), pod('go-1')],
      'us',
    ],
    [
      'while it is being ended',
      [{ ...pod('go-1'), metadata: { ...pod('go-1').metadata, deletionTimestamp: 'x' } }],
    ],
  ]
  test.each(cases)('%s', async (_, pods, own) => {
    const { see } = await look(pods, own)
    expect(await see()).toMatch(
      /^the Go agent runs: pod (kyma-system|agents)\/go-1; scale its Deployment/,
    )
  })
})

describe('the Go agent is not seen', () => {
  const cases: [string, KubeObject[], string?][] = [
    ['where there is none', []],
    ['in pods that have ended', [pod('a', { phase: 'Succeeded' }), pod('b', { phase: 'Failed' })]],
    ['in a pod that waits for its image', [pod('a', { phase: 'Pending' })]],
    [
      'in our own pods after the swap, which keep its label',
      [pod('us', { image: OUR_IMAGE })],
      'us',
    ],
    [
      'in our ReplicaSet, when our image is kept under its name',
      [pod('us', { set: 'ours' }), pod('us-2', { set: 'ours' })],
      'us',
    ],
    ['in a pod without its label', [pod('a', { labels: { app: 'other' } })]],
    ['in another image with its label', [pod('a', { image: 'x/compass-runtime-agent-tests:1' })]],
  ]
  test.each(cases)('%s', async (_, pods, own) => {
    expect(await (await look(pods, own)).see()).toBeUndefined()
  })

  test('without the right to list pods: that is said once', async () => {
    const { see, kubernetes, warned } = await look([pod('go-1')])
    kubernetes.forbidden.add('list pods')
    expect([await see(), await see()]).toEqual([undefined, undefined])
    expect(warned.map((message) => message.split(':')[0])).toEqual([
      'cannot see whether the Go agent runs in kyma-system',
      'cannot see whether the Go agent runs in agents',
    ])
    kubernetes.forbidden.clear()
    expect(await see()).toMatch(/^the Go agent runs/)
  })
})

test('an API server that cannot be asked is no answer', async () => {
  const { see, kubernetes } = await look([])
  kubernetes.before = () => Promise.reject(new Error('down'))
  expect(see()).rejects.toThrow('down')
})
