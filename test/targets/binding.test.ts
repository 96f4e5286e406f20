import { describe, expect, test } from 'bun:test'
import type { BindingTypeRule } from '../../src/config/config.ts'
import type { Auth, Bundle } from '../../src/model/application.ts'
import { Secret } from '../../src/model/secret.ts'
import { BINDING_KEYS, bindingOf, descriptor, publishedValues } from '../../src/targets/binding.ts'
import { systemBrokerJson } from '../../src/targets/system-broker.ts'
import { api, application, bare, basic, bundle, headers, oauth } from '../model/samples.ts'

const app = application('a-1', { name: 'mp-crm', providerName: 'Example' })

function entriesOf(
  some: Partial<Bundle> = {},
  types: BindingTypeRule[] = [],
): Record<string, string> {
  const { entries } = bindingOf(app, bundle('b-1', some), types)
  return Object.fromEntries((entries ?? []).map(({ key, value }) => [key, value]))
}

const keysOf = (auth: Auth): string[] =>
  Object.keys(entriesOf({ auth })).filter(
    (key) => !/^(type|provider|uri|host|port|target-urls|apis|events|ucl-.*)$/.test(key),
  )

test('a binding says what it is, where the APIs are and whose it is', () => {
  const event = { id: 'e-1', name: 'Created', version: { value: '2' } }
  expect(entriesOf({ apis: [api('one')], events: [event] })).toEqual({
    type: 'ucl-api',
    provider: 'Example',
    uri: 'https://api.example/v1',
    host: 'api.example',
    port: '443',
    'target-urls': '{"API one":"https://api.example/v1"}',
    apis: '[{"id":"one","name":"API one","target-url":"https://api.example/v1"}]',
    events: '[{"id":"e-1","name":"Created","version":"2"}]',
    'credentials-type': 'basic_auth',
    username: 'user',
    password: 'pass',
    'ucl-application-id': 'a-1',
    'ucl-bundle-id': 'b-1',
  })
})

describe('the address', () => {
  const address = (...urls: string[]) => {
    const { uri, host, port } = entriesOf({ apis: urls.map((url, n) => api(String(n), url)) })
    return [uri, host, port]
  }
  test.each([
    [
      ['https://a.example:8443/x', 'https://a.example:8443/x'],
      ['https://a.example:8443/x', 'a.example', '8443'],
    ],
    [['http://a.example'], ['http://a.example', 'a.example', '80']],
    [
      ['https://a.example/x', 'https://a.example/y'],
      [undefined, undefined, undefined],
    ],
    [[], [undefined, undefined, undefined]],
    [['not a url'], ['not a url', undefined, undefined]],
    [['mailto:a@b.example'], ['mailto:a@b.example', undefined, undefined]],
    [['http://[::1]:80/'], ['http://[::1]:80/', '[::1]', '80']],
  ])('of the target URLs %j is %j', (urls, expected) => expect(address(...urls)).toEqual(expected))
})

describe('the credentials', () => {
  test('have the keys that readers know', () => {
    expect(keysOf(basic())).toEqual(['credentials-type', 'username', 'password'])
    expect(keysOf(oauth())).toEqual(['credentials-type', 'client-id', 'client-secret', 'token-uri'])
    expect(bindingOf(app, bare('b'), []).entries).toContainEqual({
      key: 'credentials-type',
      value: 'no_auth',
      format: 'text',
    })
  })

  test('may be headers or query parameters only, which is not "no auth"', () => {
    const entries = entriesOf({ auth: headers({ 'X-Api-Key': ['one', 'two'], __proto__x: ['3'] }) })
    expect(entries['credentials-type']).toBe('request_parameters')
    expect(JSON.parse(entries['request-headers']!)).toEqual({
      'X-Api-Key': ['one', 'two'],
      __proto__x: ['3'],
    })
    const query = { queryParams: { key: [new Secret('k')] } }
    expect(keysOf(query)).toEqual(['credentials-type', 'request-query-params'])
    expect(entriesOf({ auth: { headers: {} } })['credentials-type']).toBe('no_auth')
  })

  test('of the CSRF endpoint have keys of their own', () => {
    const csrf = { tokenUrl: 'https://csrf.example', ...oauth('s'), ...headers({ H: ['v'] }) }
    expect(keysOf({ ...basic(), csrf })).toEqual([
      'credentials-type',
      'username',
      'password',
      'csrf-token-uri',
      'csrf-credentials-type',
      'csrf-client-id',
      'csrf-client-secret',
      'csrf-oauth-token-uri',
      'csrf-request-headers',
    ])
  })

  const certificate = {
    type: 'certificate_oauth',
    clientId: new Secret('id'),
    certificate: new Secret('PEM-CANARY'),
    tokenUrl: 'https://tokens.example',
  } as const
  test.each([
    ['a certificate without its key', { credential: certificate }],
    ['an unknown type', { credential: { type: 'unknown', typename: 'FutureData' } }],
    [
      'a CSRF endpoint with a certificate',
      { ...basic(), csrf: { tokenUrl: 'u', credential: certificate } },
    ],
  ] as [string, Auth][])('that cannot be used give no binding at all: %s', (_what, auth) => {
    const { entries, problems } = bindingOf(app, bundle('b-1', { auth }), [])
    expect(entries).toBeUndefined()
    expect(problems.map(({ code }) => code)).toEqual(['credentials_unsupported'])
    expect(JSON.stringify(problems)).not.toContain('CANARY')
  })

  test('that begin or end in white space are written and reported by key, never by value', () => {
    const { entries, problems } = bindingOf(app, bundle('b', { auth: basic('u', 'CANARY\n') }), [])
    expect(entries).toContainEqual({ key: 'password', value: 'CANARY\n', format: 'text' })
    expect(problems.map(({ code }) => code)).toEqual(['value_suspect'])
    expect(problems[0]!.message).toContain('password')
    expect(JSON.stringify(problems)).not.toContain('CANARY')
  })
})

test('keys are lower-case kebab, so that every platform takes them', () => {
  const csrf = { tokenUrl: 'u', ...oauth(), ...headers({ H: ['v'] }) }
  for (const key of Object.keys(
    entriesOf({ auth: { ...oauth(), ...headers({ H: ['v'] }), csrf } }),
  ))
    expect(key).toMatch(/^[a-z]+(-[a-z]+)*$/)
})

test('every key that a binding may have is known to be ours', () => {
  const csrf = (auth: Auth): Auth => ({ ...auth, csrf: { tokenUrl: 'u', ...auth } })
  const map = { X: [new Secret('v')] }
  const auths = [basic(), oauth()].map((auth) => csrf({ ...auth, headers: map, queryParams: map }))
  const keys = auths.flatMap((auth) => {
    const { entries = [] } = bindingOf(app, bundle('b-1', { auth }), [])
    return publishedValues(entries).map(([key]) => key)
  })
  expect([...new Set([...keys, 'ucl-revision'])].sort()).toEqual(BINDING_KEYS.toSorted())
})

test('the type is that of the first rule that matches by name or id', () => {
  const types: BindingTypeRule[] = [
    { application: 'mp-crm', bundle: 'Other*', type: 'other' },
    { application: 'mp-*', bundle: 'b-1', type: 'by-id' },
    { application: '*', type: 'rest' },
  ]
  expect(entriesOf({}, types)['type']).toBe('by-id')
  expect(entriesOf({ name: 'Other thing' }, types)['type']).toBe('other')
  expect(entriesOf({}, types.slice(2))['type']).toBe('rest')
  expect(entriesOf({}, types.slice(0, 1))['type']).toBe('ucl-api')
})

test('the descriptor names every key with its format', () => {
  const { entries = [] } = bindingOf(app, bundle('b'), [])
  const { metaDataProperties, credentialProperties } = JSON.parse(descriptor(entries))
  expect(metaDataProperties).toEqual([
    { name: 'type', format: 'text' },
    { name: 'provider', format: 'text' },
  ])
  expect(credentialProperties).toContainEqual({ name: 'apis', format: 'json' })
  expect(credentialProperties).toContainEqual({ name: 'password', format: 'text' })
  expect([...metaDataProperties, ...credentialProperties]).toHaveLength(entries.length)
})

describe('the form of the System Broker', () => {
  const form = (auth?: Auth) => {
    const some = { apis: [api('z', 'https://z.example'), api('a', 'https://a.example?x=1&y=<2>')] }
    return systemBrokerJson(auth ? bundle('b-1', { ...some, auth }) : bare('b-1', some))
  }

  test('is byte for byte that of Go', () => {
    expect(form({ ...oauth(), ...headers({ B: ['2'], A: ['1'] }) })).toBe(
      '{"credentials":{"id":"b-1","credentials_type":"oauth",' +
        '"target_urls":{"API a":"https://a.example?x=1\\u0026y=\\u003c2\\u003e","API z":"https://z.example"},' +
        '"auth_details":{"request_parameters":{"headers":{"A":["1"],"B":["2"]}},' +
        '"auth":{"clientId":"client","clientSecret":"client-secret",' +
        '"tokenUrl":"https://tokens.example/oauth/token","requestParameters":{}}}}}',
    )
  })

  test('has empty details without credentials', () => {
    expect(JSON.parse(form()).credentials).toMatchObject({
      credentials_type: 'no_auth',
      auth_details: {},
    })
  })

  test('names the CSRF endpoint', () => {
    const auth: Auth = {
      ...basic(),
      csrf: { tokenUrl: 'https://csrf.example', ...basic('x', 'y') },
    }
    expect(JSON.parse(form(auth)).credentials.auth_details).toEqual({
      csrf_config: { token_url: 'https://csrf.example' },
      auth: { username: 'user', password: 'pass' },
    })
  })
})
