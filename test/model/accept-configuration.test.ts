import { describe, expect, test } from 'bun:test'
import { acceptConfiguration } from '../../src/model/accept-configuration.ts'
import type { Accepted, AcceptRules } from '../../src/model/accept-configuration.ts'
import type { ConfigValue } from '../../src/model/config-value.ts'
import { revealed } from '../../src/model/config-value.ts'
import { canonicalJson } from '../../src/model/digest.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'

const DAPR = 'dapr.io/v1alpha1'
const RULES: AcceptRules = {
  allow: [
    { apiVersion: DAPR, kind: 'Component', namespaces: ['apps', 'team-*'], names: ['*'] },
    { apiVersion: DAPR, kind: 'HTTPEndpoint', namespaces: [], names: ['ucl-*'] },
    { apiVersion: 'v1', kind: 'ConfigMap', namespaces: [], names: ['*'] },
  ],
  secrets: ['*password', '*Secret', '*Key', '*Token', 'connectionString', 'authorization'],
}

const component = (name: string, some: object = {}): Record<string, unknown> => ({
  apiVersion: DAPR,
  kind: 'Component',
  metadata: { name },
  spec: { type: 'bindings.http', version: 'v1', metadata: [{ name: 'url', value: 'https://x' }] },
  ...some,
})

const accept = (data: unknown, rules: AcceptRules = RULES): Accepted =>
  acceptConfiguration(data, rules)
const names = ({ documents }: Accepted): string[] => documents.map(({ name }) => name)
const codes = ({ refused }: Accepted): string[] => refused.map(({ problem }) => problem.code)
const refusedOf = (data: unknown): string => {
  try {
    accept(data)
  } catch (thrown) {
    if (thrown instanceof AgentError) return thrown.code
  }
  return 'nothing'
}

describe('the shape of data', () => {
  test.each([
    ['a bare document, as the proof of concept gives it', component('a')],
    ['a list', [component('a')]],
    ['an object with resources', { resources: [component('a')] }],
  ])('%s is understood', (_, data) => {
    expect(names(accept(data))).toEqual(['a'])
  })

  test('an empty list is a configuration without documents', () => {
    expect(accept([])).toEqual({ documents: [], refused: [], notes: [] })
  })

  test.each([undefined, null, 7, 'apiVersion: v1', {}, { kind: 'Component' }, { resources: {} }])(
    '%p is an unknown shape, and nothing of it is used',
    (data) => {
      expect(refusedOf(data)).toBe('configuration_unknown_shape')
    },
  )

  test('more than two thousand documents are too many', () => {
    expect(refusedOf(Array.from({ length: 2001 }, () => null))).toBe('configuration_too_large')
  })
})

describe('what is never applied, whatever the rows say', () => {
  const kinds = [
    ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
    ['rbac.authorization.k8s.io/v1', 'Role'],
    ['rbac.authorization.k8s.io/v1beta1', 'RoleBinding'],
    ['v1', 'Secret'],
    ['v1', 'ServiceAccount'],
    ['v1', 'Pod'],
    ['v1', 'Namespace'],
    ['v1', 'List'],
    ['apps/v1', 'Deployment'],
    ['apps/v1', 'DaemonSet'],
    ['batch/v1', 'CronJob'],
    ['admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration'],
    ['admissionregistration.k8s.io/v1', 'ValidatingAdmissionPolicy'],
    ['apiextensions.k8s.io/v1', 'CustomResourceDefinition'],
    ['apiregistration.k8s.io/v1', 'APIService'],
    ['storage.k8s.io/v1', 'StorageClass'],
    ['cert-manager.io/v1', 'ClusterIssuer'],
    ['networking.k8s.io/v1', 'IngressClass'],
  ] as const

  test.each(kinds)('%s %s', (apiVersion, kind) => {
    const rules = { ...RULES, allow: [{ apiVersion, kind, namespaces: ['*'], names: ['*'] }] }
    const item = { apiVersion, kind, metadata: { name: 'x', namespace: 'apps' } }
    const accepted = accept([item, component('y')], {
      ...rules,
      allow: [...rules.allow, ...RULES.allow],
    })
    expect(names(accepted)).toEqual(['y'])
    expect(accepted.refused).toEqual([
      { problem: expect.objectContaining({ code: 'configuration_refused', turn: 'operator' }) },
    ])
    expect(accepted.refused[0]?.problem.message).toStartWith(`Cannot apply ${kind} apps/x`)
  })
})

describe('rows of configuration.allow', () => {
  test.each([
    ['another kind', component('a', { kind: 'Resiliency' })],
    ['another version', component('a', { apiVersion: 'dapr.io/v2' })],
    ['a foreign namespace', component('a', { metadata: { name: 'a', namespace: 'kube-system' } })],
    ['another name', component('a', { kind: 'HTTPEndpoint' })],
    [
      'a namespace where the row names none',
      component('ucl-a', {
        kind: 'HTTPEndpoint',
        metadata: { name: 'ucl-a', namespace: 'apps' },
      }),
    ],
  ])('%s is refused by name, and the rest is let in', (_, item) => {
    const accepted = accept([item, component('good')])
    expect(names(accepted)).toEqual(['good'])
    expect(codes(accepted)).toEqual(['configuration_refused'])
    // The operator has said so: what is there goes.
    expect(accepted.refused[0]?.keeps).toBeUndefined()
  })

  test('a pattern of namespaces fits, and a document that names none fits always', () => {
    const placed = component('b', { metadata: { name: 'b', namespace: 'team-7' } })
    expect(names(accept([placed, component('a')])).sort()).toEqual(['a', 'b'])
  })

  test('without rows nothing is let in', () => {
    expect(names(accept([component('a')], { ...RULES, allow: [] }))).toEqual([])
  })
})

describe('what nobody can make sense of keeps what is there', () => {
  test('two documents of one name are both refused, whatever their version', () => {
    const accepted = accept([component('a'), component('b'), component('a', { spec: {} })])
    expect(names(accepted)).toEqual(['b'])
    expect(accepted.refused).toEqual([
      {
        problem: expect.objectContaining({
          code: 'configuration_malformed',
          subject: 'Component a',
        }),
        keeps: { document: 'dapr.io/Component//a' },
      },
    ])
  })

  test.each([
    ['null', null],
    ['a number', 7],
    ['a list', []],
    ['no name', component('a', { metadata: {} })],
    ['a name that leads out of a directory', component('../../etc/passwd')],
    ['a name with upper case', component('A')],
    ['a kind that is a path', component('a', { kind: '../x' })],
    ['a namespace that is a path', component('a', { metadata: { name: 'a', namespace: '..' } })],
    ['a name beyond 200', component('a'.repeat(201))],
    ['metadata that is text', component('a', { metadata: 'name: a' })],
  ])('%s: nobody can tell which document it is, so nothing is removed', (_, item) => {
    const accepted = accept([item, component('good')])
    expect(names(accepted)).toEqual(['good'])
    expect(accepted.refused).toEqual([
      {
        problem: expect.objectContaining({ code: 'configuration_malformed' }),
        keeps: 'everything',
      },
    ])
  })

  test('a thousand such items are one problem', () => {
    expect(accept(Array.from({ length: 1000 }, () => null)).refused).toHaveLength(1)
  })

  test.each([
    ['a depth that no stack bears', deep(100_000)],
    ['a depth beyond 32', deep(40)],
    ['too many values', { list: Array.from({ length: 20_001 }, () => 0) }],
    ['too much text', { text: 'x'.repeat(300_000) }],
    ['too long keys', { ['x'.repeat(300_000)]: 1 }],
  ])('%s is refused by name, and the rest is let in', (_, spec) => {
    const accepted = accept([component('bomb', { spec }), component('good')])
    expect(names(accepted)).toEqual(['good'])
    expect(accepted.refused).toEqual([
      {
        problem: expect.objectContaining({
          code: 'configuration_too_large',
          subject: 'Component bomb',
        }),
        keeps: { document: 'dapr.io/Component//bomb' },
      },
    ])
  })
})

describe('a document that is let in', () => {
  const made = (item: unknown): { document: ConfigValue; restartSelector?: string } => {
    const [document] = accept(item).documents
    if (document === undefined) throw new Error('it was not let in')
    return document
  }

  test('of the proof of concept works as it is, byte for byte', () => {
    const { data } = JSON.parse(PROOF_OF_CONCEPT) as { data: unknown }
    const { documents, refused, notes } = accept(data)
    expect(refused).toEqual([])
    expect(documents).toEqual([
      {
        id: 'dapr.io/Component/apps/statestore',
        apiVersion: DAPR,
        kind: 'Component',
        namespace: 'apps',
        name: 'statestore',
        restartSelector: 'daprTest=test',
        document: {
          apiVersion: DAPR,
          kind: 'Component',
          metadata: { name: 'statestore', namespace: 'apps' },
          spec: {
            type: 'state.redis',
            version: 'v1',
            metadata: [
              { name: 'redisHost', value: 'redis1-master.apps.svc.cluster.local:6379' },
              { name: 'redisPassword', value: new Secret('s3cret') },
            ],
          },
        },
      },
    ])
    expect(notes).toEqual(['Component apps/statestore names no spec.version: v1 is meant'])
  })

  test('loses what an API server added, and what would let others delete or keep it', () => {
    const { document } = made(
      component('a', {
        metadata: {
          name: 'a',
          labels: { l: 'x' },
          uid: 'u',
          resourceVersion: '7',
          creationTimestamp: null,
          managedFields: [],
          ownerReferences: [{}],
          finalizers: ['x'],
        },
        status: { ready: true },
      }),
    )
    expect(document).toMatchObject({ metadata: { name: 'a', labels: { l: 'x' } } })
    expect(Object.keys((document as { metadata: object }).metadata)).toEqual(['name', 'labels'])
    expect(Object.keys(document as object)).not.toContain('status')
  })

  test('has its secrets out of sight, wherever they are, and says the same otherwise', () => {
    const metadata = [
      { name: 'Password', value: 'hidden-1' },
      { name: 'clientSecret', value: 12345 },
      { name: 'apiKey', value: { a: 'hidden-2' } },
      { name: 'url', value: 'amqp://user:hidden-3@broker' },
      { name: 'securityToken', secretKeyRef: { name: 'x', key: 'authorization' } },
      { name: 'host', value: 'plain' },
    ]
    const spec = {
      type: 't',
      version: 'v1',
      metadata,
      clientTLS: { privateKey: { value: 'hidden-4' }, certificate: { value: 'plain' } },
      headers: [{ name: 'Authorization', value: 'Basic hidden-5' }],
      connectionString: 'hidden-6',
      pem: '-----BEGIN RSA PRIVATE KEY-----\nhidden-7',
      deeper: [{ accessKey: 'hidden-8' }],
    }
    const { document } = made(component('a', { spec }))
    const shown = JSON.stringify(document)
    expect(shown).not.toMatch(/hidden|12345/)
    expect(shown).toContain('plain')
    expect(shown).toContain('{"name":"x","key":"authorization"}')
    const plain = revealed(document) as { spec: { metadata: { value?: unknown }[] } }
    expect(plain).toMatchObject({
      spec: {
        headers: [{ value: 'Basic hidden-5' }],
        connectionString: 'hidden-6',
        clientTLS: { privateKey: { value: 'hidden-4' } },
      },
    })
    // Dapr reads what is not text as the text of its JSON.
    expect(plain.spec.metadata.map(({ value }) => value).slice(0, 3)).toEqual([
      'hidden-1',
      '12345',
      '{"a":"hidden-2"}',
    ])
  })

  test('may have a member called __proto__, which is only a member', () => {
    const item: unknown = JSON.parse(
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"__proto__":{"x":"y"}}}`,
    )
    const { document } = made(item)
    expect(canonicalJson(document)).toContain('"__proto__":{"x":"y"}')
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})

test('the order of items and of keys does not matter', () => {
  const [a, b] = [component('a'), component('b')]
  const turned = (item: Record<string, unknown>): object =>
    Object.fromEntries(Object.entries(item).reverse())
  const digest = (data: unknown): string => canonicalJson(accept(data).documents)
  expect(digest([turned(b), turned(a)])).toBe(digest([a, b]))
})

/** What the server of the proof of concept answers with the configuration of its chart (runtime-director.md §2). */
const PROOF_OF_CONCEPT =
  '{"id":"1","data":{"apiVersion":"dapr.io/v1alpha1","kind":"Component","metadata":{"annotations":{"kcp-res-version":"1"},"name":"statestore","namespace":"apps"},"spec":{"metadata":[{"name":"redisHost","value":"redis1-master.apps.svc.cluster.local:6379"},{"name":"redisPassword","value":"s3cret"},{"name":"selector","value":"daprTest=test"}],"type":"state.redis"}}}'

function deep(levels: number): object {
  let value: object = {}
  for (let level = 0; level < levels; level++) value = { a: value }
  return value
}
