/** What applications and documents become in Dapr, without a daprd, a file or a cluster. */
import { describe, expect, test } from 'bun:test'
import type { Auth } from '../../src/model/application.ts'
import type { ConfigObject } from '../../src/model/config-value.ts'
import type { Code } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import type { Desired, ObservedObject } from '../../src/model/target.ts'
import { createDaprRender } from '../../src/targets/dapr-render.ts'
import { ObservedDapr } from '../../src/targets/dapr-rules.ts'
import type { DaprRules, DaprSurroundings } from '../../src/targets/dapr-rules.ts'
import { readDocument, yamlOf } from '../../src/targets/dapr-yaml.ts'
import { application, bare, basic, desired, headers, oauth } from '../model/samples.ts'
import { calls, component, configured, nameOf } from './dapr-place.ts'

const RULES: DaprRules = {
  applications: true,
  endpoints: 'needed',
  oauthScopes: 'read',
  scopes: [],
  types: ['bindings.*', 'middleware.http.*'],
  store: 'store',
}
const MIDDLEWARE = 'ucl-crm-bundle-x-2d711642-oauth'

type Scene = {
  rules?: Partial<DaprRules>
  around?: Partial<DaprSurroundings>
  seen?: ObservedObject[]
}

function render(want: Desired, { rules = {}, around = {}, seen = [] }: Scene = {}) {
  const objects = new Map(seen.map((one) => [one.key, one]))
  const observed = new ObservedDapr(objects, {
    taken: new Map(),
    stores: new Set(),
    pipeline: new Set(),
    ...around,
  })
  const rendered = createDaprRender({ ...RULES, ...rules })(want, observed)
  return {
    keys: [...rendered.objects.keys()],
    documents: [...rendered.objects.values()].map(({ content }) => content.document),
    secrets: [...rendered.objects.values()].flatMap(({ content }) =>
      content.secret === undefined
        ? []
        : Object.entries(content.secret.values).map(([key, value]) => [key, value.reveal()]),
    ),
    problems: rendered.problems.map(({ problem }) => problem.code),
    messages: rendered.problems.map(({ problem }) => problem.message),
    withheld: rendered.problems.every(({ withheld }) => withheld),
  }
}

const one = (auth: Auth | undefined) => calls('https://api.example/v1', { x: auth })
const withQuery: Auth = { queryParams: { key: [new Secret('v')] } }
const withCsrf: Auth = { ...basic(), csrf: { tokenUrl: 'https://api.example/token' } }
const certificate: Auth = {
  credential: {
    type: 'certificate_oauth',
    clientId: new Secret('c'),
    certificate: new Secret('p'),
    tokenUrl: 'https://tokens.example',
  },
}

describe('a bundle', () => {
  test('with user and password is a binding whose token is a reference', () => {
    const { documents, secrets } = render(one(basic('user', 'pass')))
    const [document] = documents
    expect(document).toMatchObject({
      kind: 'Component',
      metadata: { name: nameOf('x') },
      auth: { secretStore: 'store' },
      spec: { type: 'bindings.http', version: 'v1', ignoreErrors: true },
    })
    expect(JSON.stringify(document!.spec)).toContain('"secretKeyRef"')
    expect(secrets).toEqual([['header-authorization', `Basic ${btoa('user:pass')}`]])
  })

  type Row = [string, Auth | undefined, Partial<DaprRules>, string[], Code[]]
  test.each<Row>([
    ['without credentials', undefined, {}, ['component/x-api'], []],
    [
      'without credentials, endpoints: all',
      undefined,
      { endpoints: 'all' },
      ['component/x-api', 'endpoint/x-api'],
      [],
    ],
    ['with one header', headers({ 'X-Key': ['v'] }), {}, ['component/x-api'], []],
    ['with two headers', headers({ A: ['1'], B: ['2'] }), {}, [], ['dapr_unsupported']],
    [
      'with two headers, endpoints: all',
      headers({ A: ['1'], B: ['2'] }),
      { endpoints: 'all' },
      ['endpoint/x-api'],
      [],
    ],
    [
      'with a header of two values',
      headers({ A: ['1', '2'] }),
      { endpoints: 'all' },
      [],
      ['dapr_unsupported'],
    ],
    [
      'with the same header twice',
      headers({ A: ['1'], a: ['2'] }),
      { endpoints: 'all' },
      [],
      ['dapr_unsupported'],
    ],
    [
      'with a header that HTTP does not allow',
      headers({ 'A b': ['1'] }),
      {},
      [],
      ['dapr_unsupported'],
    ],
    ['with a line break in a header', headers({ A: ['1\r\nB: 2'] }), {}, [], ['dapr_unsupported']],
    ['with a colon in the user name', basic('a:b'), {}, [], ['dapr_unsupported']],
    ['with query parameters', withQuery, {}, [], ['dapr_unsupported']],
    ['with CSRF', withCsrf, {}, [], ['dapr_unsupported']],
    ['with a certificate', certificate, {}, [], ['dapr_unsupported']],
    ['with OAuth and no pipeline', oauth(), {}, ['oauth/x'], ['dapr_pipeline']],
    ['with OAuth and no scopes', oauth(), { oauthScopes: undefined }, [], ['dapr_unsupported']],
    ['with OAuth, endpoints: none', oauth(), { endpoints: 'none' }, [], ['dapr_unsupported']],
    ['with OAuth and an empty secret', oauth(''), {}, [], ['dapr_unsupported']],
  ])('%s', (_what, auth, rules, keys, problems) => {
    const rendered = render(one(auth), { rules })
    expect(rendered.keys).toEqual(keys)
    expect(rendered.problems).toEqual(problems)
    // What is there of it already stays.
    expect(rendered.withheld).toBe(true)
  })

  test('with OAuth has endpoints once the pipeline names its middleware, which serves these alone', () => {
    const { keys, documents, problems } = render(one(oauth()), {
      around: { pipeline: new Set([MIDDLEWARE]) },
    })
    expect([keys, problems]).toEqual([['oauth/x', 'endpoint/x-api'], []])
    expect(documents[0]!.spec['metadata']).toContainEqual({
      name: 'pathFilter',
      value: `^/v1\\.0/invoke/(${nameOf('x')})/method/`,
    })
    expect(documents[1]!.auth).toBeUndefined()
  })

  test('with an API whose target is no URL is not written in part', () => {
    const apis = [
      { id: 'a', name: 'good', targetUrl: 'https://api.example' },
      { id: 'b', name: 'bad', targetUrl: 'ftp://api.example' },
    ]
    const want = desired([application('app', { bundles: [bare('x', { apis })] })])
    expect(render(want)).toMatchObject({ keys: [], problems: ['application_invalid'] })
  })

  test('whose credentials are hidden, and nobody knows for how long, stays as it is', () => {
    const seen: ObservedObject = {
      key: 'oauth/x',
      owner: { slice: 'applications', application: 'app', bundle: 'x' },
      name: 'ucl-x-oauth',
      digest: 'd',
      credentialed: true,
    }
    const hidden = desired([application('app', { bundles: [bare('x', { authMissingSince: 1 })] })])
    expect(render(hidden, { seen: [seen] })).toMatchObject({
      keys: [],
      problems: ['credentials_missing'],
      withheld: true,
    })
    expect(render(hidden).keys).toEqual(['component/x-a'])
  })

  test('keeps the name that it was given, and gets none that somebody else has', () => {
    const owner = { slice: 'applications' as const, application: 'app', bundle: 'x' }
    const seen = [{ key: 'component/x-api', owner, name: 'ucl-older-name', digest: 'd' }]
    expect(render(one(undefined), { seen }).documents[0]!.metadata.name).toBe('ucl-older-name')
    const taken = new Map([[`Component ${nameOf('x')}`, '/etc/dapr/theirs.yaml']])
    expect(render(one(undefined), { around: { taken } }).problems).toEqual(['name_taken'])
  })

  test('of the same id in another application gets at nothing', () => {
    const apis = [{ id: 'api', name: 'api', targetUrl: 'https://evil.example' }]
    const want = desired([
      application('first', { bundles: [bare('x')] }),
      application('second', { bundles: [bare('x', { apis: bare('x').apis })] }),
      application('third', { bundles: [bare('y', { apis })] }),
    ])
    expect(render(want)).toMatchObject({
      keys: ['component/x-a', 'component/api'],
      problems: ['name_taken'],
    })
  })

  test('is not shown where applications are not asked for', () => {
    expect(render(one(basic()), { rules: { applications: false } }).keys).toEqual([])
  })

  test('on Kubernetes refers to no store of its own', () => {
    const { documents } = render(one(basic()), { rules: { store: undefined } })
    expect(documents[0]!.auth).toBeUndefined()
  })
})

const spec = (members: ConfigObject): ConfigObject => component('doc', members)
const nothing = desired([])

describe('a document', () => {
  test('has its secrets moved into the store, and what is ours to say set', () => {
    const given = {
      ...component('logging', {
        ignoreErrors: false,
        metadata: [
          { name: 'url', value: 'https://logs.example' },
          { name: 'password', value: new Secret('"hidden"') },
        ],
      }),
      scopes: ['orders', 'others'],
    }
    const { documents, secrets } = render(configured([given], nothing), {
      rules: { scopes: ['orders', 'billing'] },
    })
    expect(documents[0]).toMatchObject({
      metadata: { name: 'logging' },
      auth: { secretStore: 'store' },
      scopes: ['orders'],
    })
    expect(documents[0]!.spec).toMatchObject({
      ignoreErrors: true,
      metadata: [
        { name: 'url' },
        {
          name: 'password',
          secretKeyRef: { name: 'ucl-config-component-logging', key: 'password' },
        },
      ],
    })
    // daprd takes the quotes of Go away, so these get others around them.
    expect(secrets).toEqual([['password', '"\\"hidden\\""']])
  })

  test.each<[string, ConfigObject, RegExp]>([
    ['of another apiVersion', { ...spec({}), apiVersion: 'dapr.io/v2' }, /apiVersion/],
    ['of another kind', { ...spec({}), kind: 'MCPServer' }, /kind/],
    ['that is a Configuration', { ...spec({}), kind: 'Configuration' }, /--config/],
    ['without a type', spec({ type: '' }), /spec.type/],
    ['with a member that daprd does not know', spec({ ignoreError: true }), /ignoreError/],
    ['with a value of another type', spec({ initTimeout: 5 }), /initTimeout/],
    ['with an item without a name', spec({ metadata: [{ value: 'x' }] }), /metadata\[0\]\.name/],
    [
      'with an item of two values',
      spec({ metadata: [{ name: 'a', value: 'x', envRef: 'Y' }] }),
      /both/,
    ],
    [
      'with a variable that daprd hands on to nobody',
      spec({ metadata: [{ name: 'a', envRef: 'DAPR_API_TOKEN' }] }),
      /variable/,
    ],
    ['with a type that is not let in', spec({ type: 'state.redis' }), /types/],
    [
      'with a secret where Dapr takes no reference',
      spec({ initTimeout: new Secret('5s') }),
      /initTimeout/,
    ],
    [
      'with a reference to nowhere',
      spec({ metadata: [{ name: 'a', secretKeyRef: { name: 'n', key: 'k' } }] }),
      /no store/,
    ],
    ['of a name of ours', component('ucl-mine'), /ucl-/],
    [
      'with secrets inside and in a store of its own',
      {
        ...spec({ metadata: [{ name: 'password', value: new Secret('s') }] }),
        auth: { secretStore: 'vault' },
      },
      /one store/,
    ],
  ])('%s is refused, and says why', (_what, document, why) => {
    const { keys, messages, withheld } = render(configured([document], nothing), {
      rules: { types: ['bindings.*'] },
    })
    expect(keys).toEqual([])
    expect(messages.join()).toMatch(why)
    expect(withheld).toBe(true)
  })

  test('may refer to a store that somebody else has defined', () => {
    const document = {
      ...spec({ metadata: [{ name: 'a', secretKeyRef: { name: 'n', key: 'k' } }] }),
      auth: { secretStore: 'vault' },
    }
    const around = { stores: new Set(['vault']) }
    expect(render(configured([document], nothing), { around }).problems).toEqual([])
  })

  test('that reads files of the machine must be named in full', () => {
    const document = spec({ type: 'bindings.localstorage' })
    const asked = (types: string[]) =>
      render(configured([document], nothing), { rules: { types } }).problems
    expect(asked(['bindings.*'])).toEqual(['document_refused'])
    expect(asked(['bindings.localstorage'])).toEqual([])
  })

  test('that is an HTTPEndpoint of the name of an application would take its calls', () => {
    const document = {
      apiVersion: 'dapr.io/v1alpha1',
      kind: 'HTTPEndpoint',
      metadata: { name: 'orders' },
      spec: { baseUrl: 'https://evil.example' },
    }
    const scene = { rules: { scopes: ['orders'] } }
    expect(render(configured([document], nothing), scene).problems).toEqual(['document_refused'])
  })

  test.each<[string, string, ConfigObject]>([
    [
      'Subscription',
      'dapr.io/v2alpha1',
      { pubsubname: 'p', topic: 't', routes: { default: '/t' } },
    ],
    ['Resiliency', 'dapr.io/v1alpha1', { policies: { timeouts: { short: '5s' } }, targets: {} }],
  ])('of the kind %s is let through', (kind, apiVersion, members) => {
    const document = { apiVersion, kind, metadata: { name: 'doc' }, spec: members }
    expect(render(configured([document], nothing)).keys).toHaveLength(1)
  })
})

test('texts that YAML 1.1 takes for something else are text in what is written', () => {
  const tricky = [
    'yes',
    'on',
    '012',
    '1e3',
    '1:20',
    '0o17',
    '~',
    '2020-01-01',
    '',
    'a\n---\nb',
    '\u0085',
  ]
  const document = { list: tricky, on: 'y' }
  const text = yamlOf(document)
  expect(readDocument(text)).toEqual(document)
  for (const bare of ['yes', '012', '1e3', '1:20', '0o17', '2020-01-01'])
    expect(text).toMatch(new RegExp(`- ['"]${bare}['"]`))
  expect(text).not.toContain('\n---')
})
