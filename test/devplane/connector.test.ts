import { X509Certificate } from 'node:crypto'
import { afterEach, beforeAll, afterAll, describe, expect, test } from 'bun:test'
import { certificateSubject } from '../../src/identity/x509.ts'
import { formatSubject } from '../../src/identity/subject.ts'
import { landscapeOf } from '../../src/devplane/landscape.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import type { HttpSession } from '../../src/runtime/http.ts'
import { generateRsaKey, splitPem } from '../../src/runtime/keys.ts'
import {
  anonymous,
  CONFIGURATION,
  csrFor,
  enrol,
  post,
  SIGN,
  withIdentity,
  type Reply,
} from './client.ts'
import { needsOpenssl, Workbench } from './openssl.ts'

let plane: Plane
let session: HttpSession

beforeAll(async () => {
  plane = await openPlane({ landscape: landscapeOf([]) })
  session = anonymous(plane)
})

afterAll(async () => {
  await session.close()
  await plane.close()
})

afterEach(() => plane.reset())

const ask = (token: string, body: unknown): Promise<Reply> =>
  post(session, plane.tokenUrl, body, { 'connector-token': token })
const fresh = async (): Promise<string> => (await plane.issueToken()).token
const configure = async (): Promise<{ token: string; subject: string; keyAlgorithm: string }> => {
  const { json } = await ask(await fresh(), { query: CONFIGURATION })
  const { token, certificateSigningRequestInfo } = json.data.result
  return { token: token.token, ...certificateSigningRequestInfo }
}
const signWith = (token: string, csr: string): Promise<Reply> =>
  ask(token, { query: SIGN, variables: { csr } })
const firstError = (reply: Reply): string => reply.json.errors[0].message

describe('one-time tokens', () => {
  test('of eight parallel uses one works', async () => {
    const token = await fresh()
    const replies = await Promise.all(
      Array.from({ length: 8 }, () => ask(token, { query: CONFIGURATION })),
    )
    expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array<number>(7).fill(400)])
  })

  test('the token of configuration replaces the one before: a system auth has one', async () => {
    const me = await enrol(plane)
    const first = await post(me.session, plane.mtlsConnectorUrl, { query: CONFIGURATION })
    const second = await post(me.session, plane.mtlsConnectorUrl, { query: CONFIGURATION })
    const tokenOf = (reply: Reply): string => reply.json.data.result.token.token
    expect((await ask(tokenOf(first), { query: CONFIGURATION })).status).toBe(400)
    const spare = await ask(tokenOf(second), { query: CONFIGURATION })
    expect(spare.status).toBe(200)
    expect(spare.json.data.result.certificateSigningRequestInfo.subject).toEndWith(me.systemAuth)
  })

  test('each token from outside makes another system auth, and both identities work side by side', async () => {
    const [one, two] = [await enrol(plane), await enrol(plane)]
    expect(one.systemAuth).not.toBe(two.systemAuth)
    for (const me of [one, two]) {
      const reply = await post(me.session, plane.directorUrl, {
        query: '{ result: viewer { id } }',
      })
      expect(reply.json.data.result.id).toBe(plane.landscape.runtimes[0]!.id)
    }
  })

  test('the token may stand in the URL', async () => {
    const url = `${plane.tokenUrl}?token=${encodeURIComponent(await fresh())}`
    expect((await post(session, url, { query: CONFIGURATION })).status).toBe(200)
  })

  test('configuration() with empty parentheses is taken', async () => {
    const reply = await ask(await fresh(), {
      query: 'query { result: configuration() { token { token } } }',
    })
    expect(reply.json.data.result.token.token).toHaveLength(88)
  })

  for (const [what, body, status] of [
    ['an empty body', '', 400],
    ['no JSON', 'hello', 502],
    ['broken GraphQL', { query: '{' }, 422],
    ['a wrong variable', { query: SIGN, variables: { csr: 7 } }, 422],
  ] as const) {
    test(`${what} costs the token and is answered with ${status}`, async () => {
      const token = await fresh()
      expect((await ask(token, body)).status).toBe(status)
      expect((await ask(token, { query: CONFIGURATION })).status).toBe(400)
    })
  }

  test('over mTLS a token in the header is ignored and not spent', async () => {
    const me = await enrol(plane)
    const token = await fresh()
    await post(
      me.session,
      plane.mtlsConnectorUrl,
      { query: CONFIGURATION },
      { 'connector-token': token },
    )
    expect((await ask(token, { query: CONFIGURATION })).status).toBe(200)
  })

  test('identity headers of a client are nothing', async () => {
    const me = await enrol(plane)
    const reply = await post(
      session,
      plane.tokenUrl,
      { query: CONFIGURATION },
      { 'client-id-from-token': me.systemAuth },
    )
    expect([reply.status, reply.text]).toEqual([400, ''])
  })

  test('foreign paths and methods are unknown to the proxy, and tell nothing', async () => {
    const wrong = [
      await post(session, plane.tokenUrl.replace('/connector/', '/other/'), '{}'),
      await post(session, plane.tokenUrl.replace('/connector/', '/director/'), '{}'),
    ]
    for (const reply of wrong) expect([reply.status, reply.json.error.code]).toEqual([404, 404])
    const put = await session.fetch(plane.tokenUrl, { method: 'PUT', body: '{}' })
    expect(put.status).toBe(404)
  })
})

describe('signing', () => {
  test('gives a chain of client and CA, each base64 of PEM, with the facts of the real Connector', async () => {
    const before = Math.floor(Date.now() / 1000) * 1000
    const { token, subject } = await configure()
    const { result } = (await signWith(token, await csrFor(subject))).json.data
    const chain = atob(result.certificateChain)
    const [client, ca, ...more] = splitPem(chain)
    expect(more).toEqual([])
    expect(chain).toEndWith('-----END CERTIFICATE-----\n')
    expect(atob(result.clientCertificate)).toBe(client!)
    expect(atob(result.caCertificate)).toBe(ca!)
    const certificate = new X509Certificate(client!)
    expect(certificate.serialNumber).toBe('02')
    expect(certificate.subjectAltName).toBeUndefined()
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
    expect(certificate.verify(new X509Certificate(ca!).publicKey)).toBe(true)
    const { validFromDate, validToDate } = certificate as unknown as Record<string, Date>
    expect(validFromDate!.getTime()).toBeGreaterThanOrEqual(before)
    expect(validFromDate!.getTime()).toBeLessThanOrEqual(Date.now())
    expect(validToDate!.getTime() - validFromDate!.getTime()).toBe(90 * 86_400_000)
    expect(formatSubject(certificateSubject(client!))).toBe(
      `C=DE,ST=province,L=locality,O=Org,OU=OrgUnit,CN=${subject.split('CN=')[1]}`,
    )
  })

  for (const [what, change, message] of [
    ['no country', (s: string) => s.replace('C=DE,', ''), 'CSR: No country provided.'],
    ['another country', (s: string) => s.replace('C=DE', 'C=PL'), 'CSR: Invalid country provided.'],
    ['no organization', (s: string) => s.replace('O=Org,', ''), 'CSR: No organization provided.'],
    [
      'another unit',
      (s: string) => s.replace('OU=OrgUnit', 'OU=x'),
      'CSR: Invalid organizational unit provided.',
    ],
    ['no locality', (s: string) => s.replace('L=locality,', ''), 'CSR: No locality provided.'],
    [
      'an empty province',
      (s: string) => s.replace('ST=province', 'ST='),
      'CSR: Invalid province provided.',
    ],
    [
      'no common name',
      (s: string) => s.replace(/,CN=.*/, ''),
      'CSR: Invalid common name provided.',
    ],
    [
      'the right unit behind a wrong one',
      (s: string) => s.replace('OU=OrgUnit', 'OU=x,OU=OrgUnit'),
      'CSR: Invalid organizational unit provided.',
    ],
  ] as const) {
    test(`refuses a CSR with ${what}`, async () => {
      const { token, subject } = await configure()
      const reply = await signWith(token, await csrFor(change(subject)))
      expect(reply.json).toEqual({
        errors: [
          {
            message: `Error while signing Certificate Signing Request: ${message}`,
            path: ['result'],
          },
        ],
        data: null,
      })
    })
  }

  test('takes another order, further parts and a second unit', async () => {
    const { token, subject } = await configure()
    const parts = `${subject.split(',').reverse().join(',')},OU=second,SERIALNUMBER=7`
    const reply = await signWith(token, await csrFor(parts))
    const got = certificateSubject(atob(reply.json.data.result.clientCertificate))
    expect(got.filter(({ type }) => type === 'SERIALNUMBER')).toEqual([
      { type: 'SERIALNUMBER', value: '7' },
    ])
  })

  test('asks for empty constants to be present, and for commas as they are', async () => {
    await plane.set({ subject: { O: 'A=B, C', OU: '' } })
    const { token, subject } = await configure()
    expect(subject).toStartWith('O=A=B, C,OU=,L=locality')
    const without = await signWith(token, await csrFor(subject.replace('OU=,', '')))
    expect(firstError(without)).toContain('CSR: No organizational unit provided.')
    const again = await configure()
    const reply = await signWith(again.token, await csrFor(again.subject))
    const got = certificateSubject(atob(reply.json.data.result.clientCertificate))
    expect(got).toContainEqual({ type: 'O', value: 'A=B, C' })
  })

  test('refuses what is no base64, no request, or not signed by its key', async () => {
    const cases: [string, string][] = [
      ['%%%', 'Error while decoding Certificate Signing Request: '],
      [
        btoa('-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n'),
        'Error while signing Certificate Signing Request: Error while parsing CSR',
      ],
    ]
    for (const [csr, message] of cases) {
      expect(firstError(await signWith((await configure()).token, csr))).toStartWith(message)
    }
    const { token, subject } = await configure()
    const pem = atob(await csrFor(subject))
    const lines = pem.trimEnd().split('\n')
    const last = lines.length - 3
    lines[last] = lines[last]!.replace(/[A-Za-z0-9]/, (letter) => (letter === 'A' ? 'B' : 'A'))
    expect(firstError(await signWith(token, btoa(lines.join('\n'))))).toContain(
      'CSR signature invalid',
    )
  })

  needsOpenssl('refuses RSA-PSS and Ed25519', async () => {
    using bench = new Workbench()
    for (const key of [['ed25519'], ['rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048']]) {
      const { token, subject } = await configure()
      await bench.run(['openssl', 'genpkey', '-algorithm', ...key, '-out', 'k'])
      await bench.run([
        'openssl',
        'req',
        '-new',
        '-key',
        'k',
        '-subj',
        `/${subject.split(',').join('/')}`,
        '-out',
        'csr',
      ])
      const reply = await signWith(token, btoa(bench.read('csr')))
      expect(firstError(reply)).toStartWith('Error while signing Certificate Signing Request: ')
      expect((await ask(token, { query: CONFIGURATION })).status).toBe(400)
    }
  })

  test('can be repeated over mTLS with the same CSR, without configuration', async () => {
    const me = await enrol(plane)
    const subject = `O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=${me.systemAuth}`
    const csr = await csrFor(subject)
    for (let count = 0; count < 3; count++) {
      const reply = await post(me.session, plane.mtlsConnectorUrl, {
        query: SIGN,
        variables: { csr },
      })
      expect(reply.json.data.result.certificateChain).toBeString()
    }
  })
})

describe('revocation', () => {
  test('refuses the certificate of the connection on both services, and not the one renewed from it', async () => {
    const me = await enrol(plane)
    const keys = generateRsaKey(2048)
    const subject = `O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=${me.systemAuth}`
    const csr = await csrFor(subject, keys)
    const renewed = await post(me.session, plane.mtlsConnectorUrl, {
      query: SIGN,
      variables: { csr },
    })
    const other = withIdentity(
      plane,
      (await keys).privateKeyPem,
      atob(renewed.json.data.result.certificateChain),
    )
    await post(me.session, plane.mtlsConnectorUrl, { query: 'mutation { revokeCertificate }' })
    const refused = await post(me.session, plane.directorUrl, {
      query: '{ result: runtime(id: "x") { id } }',
    })
    expect(refused.json.errors[0].extensions.error_code).toBe(23)
    expect((await post(other, plane.mtlsConnectorUrl, { query: CONFIGURATION })).status).toBe(200)
  })

  test('on the token port fails for want of a certificate', async () => {
    const reply = await ask(await fresh(), { query: 'mutation { result: revokeCertificate }' })
    expect(firstError(reply)).toBe('Failed to authenticate with certificate')
  })

  test('an unregistered runtime looks like a revoked one', async () => {
    const name = 'short-lived'
    await fetch(`${plane.adminUrl}/runtimes`, { method: 'POST', body: JSON.stringify({ name }) })
    const me = await enrol(plane, (await plane.issueToken({ runtime: name })).token)
    await fetch(`${plane.adminUrl}/runtimes/${name}`, { method: 'DELETE' })
    const connector = await post(me.session, plane.mtlsConnectorUrl, { query: CONFIGURATION })
    expect([connector.status, connector.text]).toEqual([400, ''])
    const director = await post(me.session, plane.directorUrl, {
      query: '{ result: runtime(id: "x") { id } }',
    })
    expect(director.json.errors[0].message).toBe(
      'insufficient scopes provided [actual=; required=runtime:read]',
    )
  })
})

test('answers carry no headers but type, length, date and those of the connection', async () => {
  const reply = await ask(await fresh(), { query: CONFIGURATION })
  const names = [...reply.headers.keys()].filter(
    (name) => !['connection', 'keep-alive'].includes(name),
  )
  expect(names.sort()).toEqual(['content-length', 'content-type', 'date'])
})
