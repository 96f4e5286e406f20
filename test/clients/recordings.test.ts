import { describe, expect } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { openConnector } from '../../src/clients/connector.ts'
import type { Json } from '../../src/clients/decode.ts'
import { openDirector } from '../../src/clients/director.ts'
import type { Door } from '../../src/clients/failure.ts'
import { request } from '../../src/clients/graphql.ts'
import { decodePage } from '../../src/clients/pages.ts'
import type { Page } from '../../src/clients/pages.ts'
import { parseToken } from '../../src/clients/token.ts'
import { canonicalJson } from '../../src/model/digest.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { needsShared, shared } from '../shared.ts'
import { aCall, serve, sessionTo } from './server.ts'
import type { Server } from './server.ts'

type Recording = {
  request: { headers: Record<string, string>; body: { query: string } }
  response: { status: number; headers: Record<string, string>; body: unknown } | null
}

const token = { token: new Secret('a-token-of-this-test') }

/** What a recording must become: a value, or an error by code, class and facts. */
type Expected =
  | { ask: (server: Server, recording: Recording) => Promise<unknown>; gives: unknown }
  | {
      ask: (server: Server, recording: Recording) => Promise<unknown>
      fails: [code: string, failureClass: string, detail: object, says?: RegExp]
    }

const configuration = (server: Server): Promise<unknown> =>
  openConnector(sessionTo(server)).configuration(token, aCall())
const mtlsConfiguration = (server: Server): Promise<unknown> =>
  openConnector(sessionTo(server)).configuration('mtls', aCall())
const sign = (server: Server): Promise<unknown> =>
  openConnector(sessionTo(server)).sign('CSR', token, aCall())
const renew = (server: Server): Promise<unknown> =>
  openConnector(sessionTo(server)).sign('CSR', 'mtls', aCall())
const applications = (server: Server): Promise<unknown> =>
  openDirector(sessionTo(server)).applications('runtime-1', aCall())
const setLabel = (server: Server): Promise<unknown> =>
  openDirector(sessionTo(server)).setRuntimeLabel(
    'runtime-1',
    'runtime_eventServiceUrl',
    'https://gateway.example.com',
    aCall(),
  )
/** The recorded question itself, for what the agent asks in another form or not at all. */
const recorded =
  <T>(decode: (result: Json) => T, door: Door = 'director') =>
  (server: Server, { request: { body } }: Recording): Promise<T> =>
    request(sessionTo(server), {
      ...aCall(),
      what: 'ask',
      door,
      document: body.query,
      decode: (data) => decode(data.object('result')),
    })

const plane = {
  connectorUrl: 'https://compass-gateway-mtls.example.com/connector/graphql',
  directorUrl: 'https://compass-gateway-mtls.example.com/director/graphql',
}
const given = (id: string) => ({
  subject: `O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=${id}`,
  keyAlgorithm: 'rsa2048',
  plane,
})
const pems = {
  chain: expect.stringMatching(
    /^(-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n){2}$/,
  ),
  caCertificate: expect.stringMatching(
    /^-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n$/,
  ),
}
const refusedToken: Expected = {
  ask: configuration,
  fails: ['token_refused', 'operator', { status: 400 }],
}

const CONNECTOR: Record<string, Expected> = {
  'after-fault-connector-down-same-token': refusedToken,
  'after-fault-director-down-same-token': {
    ask: configuration,
    gives: { token: expect.any(Secret), ...given('366be7d3-6df8-4558-9d11-3e9bcfe6702d') },
  },
  'configuration-expired-token': refusedToken,
  'configuration-no-token': refusedToken,
  'configuration-token-already-used': refusedToken,
  'configuration-unknown-token': refusedToken,
  'configuration-with-token': {
    ask: configuration,
    gives: { token: expect.any(Secret), ...given('eeba0c32-4e7a-4eae-8d03-6a46957e32f7') },
  },
  'fault-connector-down': {
    ask: configuration,
    fails: ['token_spent', 'operator', { status: 502, token: 'suspected' }],
  },
  'fault-director-down': refusedToken,
  'mtls-configuration': {
    ask: mtlsConfiguration,
    gives: given('eeba0c32-4e7a-4eae-8d03-6a46957e32f7'),
  },
  'mtls-configuration-old-certificate-after-renewal': {
    ask: mtlsConfiguration,
    gives: given('eeba0c32-4e7a-4eae-8d03-6a46957e32f7'),
  },
  'mtls-configuration-revoked': {
    ask: mtlsConfiguration,
    fails: ['identity_refused', 'retry', { status: 400 }],
  },
  'mtls-renew': { ask: renew, gives: pems },
  'mtls-revoke': {
    ask: (server) => openConnector(sessionTo(server)).revoke(aCall()),
    gives: undefined,
  },
  'sign-after-a-refused-csr': { ask: sign, fails: ['token_refused', 'operator', { status: 400 }] },
  'sign-csr-not-pem': {
    ask: sign,
    fails: ['csr_refused', 'operator', { token: 'spent' }, /decoding pem block\.$/],
  },
  'sign-ec-p256': {
    ask: sign,
    fails: ['csr_refused', 'operator', { token: 'spent' }, /does not match private key type$/],
  },
  'sign-replay-same-token-same-csr': {
    ask: sign,
    fails: ['token_refused', 'operator', { status: 400 }],
  },
  'sign-with-token': { ask: sign, gives: pems },
  'sign-wrong-common-name': {
    ask: sign,
    fails: ['csr_refused', 'operator', { status: 200, token: 'spent' }, /Invalid common name/],
  },
  'unknown-field': {
    ask: configuration,
    fails: ['connector_refused', 'operator', { status: 422, token: 'spent' }, /field "nope"/],
  },
}

const unresolved = (ask: Extract<Expected, { fails: unknown }>['ask']): Expected => ({
  ask,
  fails: ['identity_refused', 'retry', { status: 200, errorCode: 23 }, /error 23/],
})

const names = (result: Json): unknown =>
  result.list('data').map((application) => application.text('name'))
const ids = (result: Json): Page<string> => decodePage(result, (entry) => entry.text('id'))
/** Bundle names with the types of their credentials. The recorded questions do not ask for all of their fields. */
const credentials = (result: Json): unknown =>
  Object.fromEntries(
    result
      .list('data')
      .flatMap((application) => application.object('bundles').list('data'))
      .map((bundle) => {
        const auth = bundle.objectOrNone('defaultInstanceAuth')
        const credential = auth?.objectOrNone('credential')
        return [bundle.text('name'), auth && (credential?.text('__typename') ?? 'no credential')]
      }),
  )
const hidden = {
  HeadersOnly: undefined,
  People: undefined,
  Archive: undefined,
  Finance: undefined,
  Sales: undefined,
}
const shown = {
  HeadersOnly: 'no credential',
  People: undefined,
  Archive: 'CertificateOAuthCredentialData',
  Finance: 'OAuthCredentialData',
  Sales: 'BasicCredentialData',
}
const instanceAuth = (result: Json): unknown => [
  result.text('id'),
  result.object('status').text('condition'),
]

const enrolmentUrl = 'https://compass-gateway.example.com/connector/graphql'

const DIRECTOR: Record<string, Expected> = {
  'application-auths-ids': {
    ask: recorded((result) =>
      result.list('data').map((entry) => entry.listOrNone('auths').map((auth) => auth.text('id'))),
    ),
    gives: [[], ['474cceb6-f584-489e-89e6-45d364b36199'], []],
  },
  'applications-default-overridden': {
    ask: recorded(credentials),
    gives: { ...shown, People: 'BasicCredentialData' },
  },
  'applications-empty-no-formation': {
    ask: recorded(ids),
    gives: { rows: [], endCursor: '', hasNextPage: false, totalCount: 0 },
  },
  'applications-pending-hides-later-default': {
    ask: recorded(credentials),
    gives: { B: undefined },
  },
  'applications-while-instance-auth-pending': { ask: recorded(credentials), gives: shown },
  'applications-without-scope': {
    ask: applications,
    fails: [
      'scope_missing',
      'operator',
      { errorCode: 23, scope: 'application:read' },
      /the scope application:read is missing \(error 23; the runtime has runtime:read;runtime:write\)$/,
    ],
  },
  'credentials-hidden-without-scope': { ask: recorded(credentials), gives: hidden },
  'error-after-garbage': {
    ask: applications,
    fails: [
      'director_failed',
      'retry',
      { errorCode: 10, errorId: 'e6655c51-4a91-459b-8f12-dd0ad19292d7' },
      /Internal Server Error \[reason: .*\(error 10 InternalError\)$/,
    ],
  },
  'error-first-0': {
    ask: applications,
    fails: [
      'director_refused',
      'operator',
      { errorCode: 22 },
      /page size cannot be smaller than 1/,
    ],
  },
  'error-nested-first-201': {
    ask: applications,
    fails: ['director_refused', 'operator', { errorCode: 22 }, /between 1 and 200.*and 1 more/],
  },
  'error-unknown-field': {
    ask: applications,
    fails: ['director_refused', 'operator', { status: 422, errorCode: 10 }, /field "nope"/],
  },
  'error-unknown-runtime': {
    ask: applications,
    fails: ['identity_refused', 'operator', { errorCode: 22 }, /runtime does not exist/],
  },
  'error-unknown-runtime-labels': {
    ask: (server) => openDirector(sessionTo(server)).runtimeLabels('runtime-1', aCall()),
    gives: undefined,
  },
  'error-unknown-tenant': unresolved(applications),
  'error-wrong-tenant': {
    ask: applications,
    fails: ['tenant_wrong', 'operator', { status: 400, errorCode: 25 }, /Tenant not found/],
  },
  'fault-database-down': unresolved(applications),
  'fault-proxy-down': {
    ask: applications,
    fails: ['server_failed', 'retry', { status: 503 }, /HTTP 503 with an HTML page$/],
  },
  'instance-auth-request-input-invalid': {
    ask: recorded(instanceAuth),
    fails: ['director_failed', 'retry', { errorCode: 10 }],
  },
  'instance-auth-request-outside-formation': {
    ask: recorded(instanceAuth),
    fails: ['director_refused', 'operator', { errorCode: 27 }, /same scenario/],
  },
  'instance-auth-request-with-default': {
    ask: recorded(instanceAuth),
    gives: ['1462c816-872b-4fbb-b593-9cd109789202', 'SUCCEEDED'],
  },
  'instance-auth-request-without-default': {
    ask: recorded(instanceAuth),
    gives: ['db33ccd1-a392-41f7-916e-aaa5b0498ac3', 'PENDING'],
  },
  'page-1-of-3-first-100': {
    ask: recorded((result) => ({ ...ids(result), rows: ids(result).rows.length })),
    gives: { rows: 100, endCursor: 'RHBLdEo0ajlqRHExMDA=', hasNextPage: true, totalCount: 205 },
  },
  'page-2-of-3-first-100': {
    ask: recorded((result) => ({ ...ids(result), rows: ids(result).rows.length })),
    gives: { rows: 100, endCursor: 'RHBLdEo0ajlqRHEyMDA=', hasNextPage: true, totalCount: 205 },
  },
  'page-3-of-3-first-100': {
    ask: recorded((result) => ({ ...ids(result), rows: names(result) })),
    gives: {
      rows: ['mp-app-0141', 'mp-app-0136', 'mp-app-0150', 'mp-app-0204', 'mp-app-0029'],
      endCursor: '',
      hasNextPage: false,
      totalCount: 205,
    },
  },
  'request-one-time-token-for-runtime': {
    ask: recorded((result) => {
      const forms = ['token', 'raw', 'rawEncoded'].map((key) => parseToken(result.text(key)))
      const digests = new Set(forms.map(({ digest }) => digest))
      const known = forms.map((parsed) => [parsed.form, parsed.connectorUrl, parsed.expiresAt])
      return { known, tokens: digests.size }
    }),
    gives: {
      known: [
        ['plain', undefined, undefined],
        ['raw', enrolmentUrl, Date.parse('2026-11-21T06:44:31.278Z')],
        ['rawEncoded', enrolmentUrl, Date.parse('2026-11-21T06:44:31.278Z')],
      ],
      tokens: 1,
    },
  },
  'revoked-certificate': unresolved(applications),
  'runtime-and-applications-full': {
    ask: applications,
    gives: expect.objectContaining({ requests: 1, applications: expect.any(Array) }),
  },
  'set-runtime-label': { ask: setLabel, gives: undefined },
  'set-runtime-label-invalid-key': {
    ask: setLabel,
    fails: ['label_refused', 'operator', { errorCode: 22 }, /Invalid data LabelInput/],
  },
  viewer: {
    ask: (server) => openDirector(sessionTo(server)).viewer(aCall()),
    gives: { id: '4d1bed9a-306f-4e87-8b95-01503015e06f', type: 'RUNTIME' },
  },
}

describe.each([
  ['connector', CONNECTOR],
  ['director', DIRECTOR],
])('recordings of the %s', (folder, table) => {
  needsShared('each one with an answer has its row here', () => {
    const files = readdirSync(new URL(`recordings/${folder}/`, shared))
    const answered = files
      .map((file) => file.replace(/\.json$/, ''))
      .filter((name) => read(folder, name).response !== null)
    expect(Object.keys(table).sort()).toEqual(answered.sort())
  })

  needsShared.each(Object.keys(table))('%s becomes what it means', async (name) => {
    const recording = read(folder, name)
    await using server = await replay(recording)
    const expected = table[name]!
    const got = await expected.ask(server, recording).catch((thrown: unknown) => thrown)
    expect(server.seen).toHaveLength(1)
    if ('gives' in expected) {
      expect(got).toEqual(expected.gives)
      return
    }
    const [code, failureClass, detail, says = /./] = expected.fails
    expect(got).toBeInstanceOf(AgentError)
    expect(got).toMatchObject({ code, class: failureClass, detail })
    expect((got as AgentError).message).toMatch(/^Cannot [a-z ]+( \w+)? at 127\.0\.0\.1:\d+: /)
    expect((got as AgentError).message).toMatch(says)
  })
})

needsShared('a failure after which the token lives does not say that it is gone', async () => {
  for (const name of ['fault-director-down', 'configuration-unknown-token']) {
    await using server = await replay(read('connector', name))
    const got = await configuration(server).catch((thrown: unknown) => thrown)
    expect((got as AgentError).detail).not.toHaveProperty('token')
  }
})

needsShared(
  'the recorded landscape decodes wholly, sorted by id, credentials as secrets',
  async () => {
    await using server = await replay(read('director', 'runtime-and-applications-full'))
    const fetched = await openDirector(sessionTo(server)).applications('runtime-1', aCall())
    expect(fetched.labels).toEqual({
      global_account_id: 'acc-0001',
      isNormalized: 'true',
      runtimeType: 'kyma',
      scenarios: ['sales-integration-a2'],
    })
    const [erp, crm, mine] = fetched.applications
    expect(erp!.bundles.map(({ name }) => name)).toEqual([
      'HeadersOnly',
      'Archive',
      'Finance',
      'People',
    ])
    expect(revealed(erp!.bundles.map(({ auth }) => auth))).toEqual([
      { headers: { 'X-Api-Key': ['canary-api-key'] } },
      {
        credential: {
          type: 'certificate_oauth',
          clientId: 'canary-cert-id',
          certificate: 'canary-cert-pem',
          tokenUrl: 'https://erp.example.com/cert/token',
        },
      },
      {
        credential: {
          type: 'oauth',
          clientId: 'canary-oauth-id',
          clientSecret: 'canary-oauth-secret',
          tokenUrl: 'https://erp.example.com/oauth/token',
        },
      },
      null,
    ])
    expect(revealed(crm)).toEqual(CRM)
    expect(mine).toMatchObject({ name: 'mp-my-app', bundles: [], authIds: [] })
    expect(JSON.stringify(fetched)).not.toContain('canary')
  },
)

const CRM = {
  id: '4c401666-c13f-4cc7-b205-19c7b41a86e8',
  name: 'mp-crm',
  providerName: 'Acme',
  description: 'Customer data',
  labels: {
    applicationType: 'SAP Commerce Cloud',
    managed: 'false',
    name: 'mp-crm',
    nested: { k: 1 },
    region: 'eu',
    scenarios: ['sales-integration-a2'],
    tags: ['a', 'b'],
  },
  authIds: [],
  bundles: [
    {
      id: '938bf23c-0d20-427a-9b98-daccb14d129a',
      name: 'Sales',
      description: 'Sales APIs',
      inputSchema:
        '{"type": "object", "required": ["user"], "properties": {"user": {"type": "string"}}, "additionalProperties": false}',
      apis: [
        {
          id: 'e7a2a4a7-fd7f-464e-923e-86c2dd61cbd4',
          name: 'Contacts',
          description: 'People',
          targetUrl: 'https://crm.example.com/contacts',
          group: 'core',
          version: { value: '1.2.0', deprecated: false, forRemoval: false },
        },
        {
          id: 'eb645952-f69a-492a-ae2e-5d4d85327eeb',
          name: 'Orders',
          targetUrl: 'https://crm.example.com/odata/orders',
          version: { value: '0.9', deprecated: true, deprecatedSince: '2024', forRemoval: true },
        },
      ],
      events: [
        {
          id: '5d84ecb2-bd44-4feb-b171-2fbfbbbe29bd',
          name: 'order.created',
          description: 'An order',
          version: { value: '1', deprecated: false, forRemoval: false },
        },
      ],
      auth: {
        credential: {
          type: 'basic',
          username: 'canary-basic-user',
          password: 'canary-basic-password',
        },
        headers: { 'X-Canary-Header': ['canary-header-value', 'second'] },
        queryParams: { 'sap-client': ['100'] },
        csrf: {
          tokenUrl: 'https://crm.example.com/csrf',
          credential: {
            type: 'basic',
            username: 'canary-csrf-user',
            password: 'canary-csrf-password',
          },
          headers: { 'X-Csrf-Extra': ['canary-csrf-header'] },
        },
      },
    },
  ],
}

/** As plain JSON with the secrets in it. */
function revealed(value: unknown): unknown {
  return JSON.parse(canonicalJson(value))
}

function read(folder: string, name: string): Recording {
  return JSON.parse(readFileSync(new URL(`recordings/${folder}/${name}.json`, shared), 'utf8'))
}

function replay({ response }: Recording): Promise<Server> {
  if (response === null) throw new Error('a recording without an answer')
  const { status, headers, body } = response
  const { 'transfer-encoding': chunked, ...kept } = headers
  return serve((_seen, out) => {
    out.writeHead(status, chunked === undefined ? kept : headers)
    out.end(typeof body === 'string' ? body : JSON.stringify(body))
    return undefined
  })
}
