import { beforeEach, describe, expect, test } from 'bun:test'
import type { ParsedToken } from '../../src/clients/token.ts'
import { enrol, type EnrolOptions } from '../../src/identity/enrolment.ts'
import { openMemoryStore } from '../../src/identity/memory.ts'
import { OF_STORE, type IdentityStore } from '../../src/identity/store.ts'
import { parseCsr } from '../../src/identity/x509.ts'
import type { Identity } from '../../src/model/identity.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/model/time.ts'
import { FakeCompass, refused } from './fake-compass.ts'
import { ca, issue, keyA, keyB, keyC, makeIdentity, NOW, otherCa, PLANE } from './fixtures.ts'
import { revealed } from './store.contract.ts'

const token = (text: string, more: Partial<ParsedToken> = {}): ParsedToken => ({
  token: new Secret(text),
  digest: `digest of ${text}`,
  form: 'plain',
  ...more,
})
const T1 = token('token-1')
const T2 = token('token-2')
const call = { requestId: 'request-1', signal: new AbortController().signal }

let compass: FakeCompass
let store: IdentityStore
let bits: number[]

beforeEach(() => {
  compass = new FakeCompass()
  compass.addToken('token-1')
  compass.addToken('token-2')
  store = openMemoryStore()
  bits = []
})

function run(more: Partial<EnrolOptions> = {}): Promise<Identity> {
  return enrol({
    store,
    token: T1,
    connector: compass.connector,
    prove: compass.prove,
    now: () => compass.time,
    call,
    makeKey: (size) => {
      bits.push(size)
      return Promise.resolve(keyA.privateKeyPem)
    },
    ...more,
  })
}

async function failure(attempt: Promise<unknown>): Promise<AgentError> {
  const thrown: unknown = await attempt.then(
    () => 'it succeeded',
    (error: unknown) => error,
  )
  if (thrown instanceof AgentError) {
    const shown = `${thrown.message} ${thrown.hint} ${JSON.stringify(thrown.detail)}`
    expect(shown).not.toMatch(/token-[12]|PRIVATE KEY/)
    return thrown
  }
  throw new Error(`no AgentError: ${String(thrown)}`)
}

describe('a token', () => {
  test('becomes an identity in three calls, and the journal ends', async () => {
    const identity = await run()
    expect(compass.calls).toEqual(['configuration token-1', 'sign token-1+', 'viewer'])
    expect(identity).toMatchObject({
      runtimeId: 'runtime-1',
      plane: PLANE,
      notAfter: NOW + 90 * DAY,
    })
    expect(revealed(await store.load())).toEqual(revealed({ identity }))
    expect(await store.loadPending()).toBeUndefined()
    const csr = await parseCsr(compass.csrs[0] ?? '')
    expect(csr.subject.map(({ type, value }) => `${type}=${value}`).join(',')).toBe(compass.subject)
    expect(csr.verifies).toBe(true)
  })

  test('is in the journal before it is sent, token 2 with key and CSR before that is', async () => {
    const stages: unknown[] = []
    const look = async (): Promise<void> => {
      stages.push(revealed(await store.loadPending()))
    }
    await run({
      connector: {
        ...compass.connector,
        configuration: async (...given) => {
          await look()
          return compass.connector.configuration(...given)
        },
        sign: async (...given) => {
          await look()
          return compass.connector.sign(...given)
        },
      },
      prove: async (...given) => {
        await look()
        return compass.prove(...given)
      },
    })
    expect(stages).toMatchObject([
      {
        stage: 'intent',
        token: { digest: T1.digest, firstSeen: NOW, until: NOW + HOUR, attempts: [NOW] },
      },
      {
        stage: 'signing',
        kind: 'enrol',
        key: revealed(keyA.privateKeyPem),
        csr: compass.csrs[0],
        subject: compass.subject,
        plane: PLANE,
        signingToken: 'secret:token-1+',
      },
      { stage: 'signed', chain: expect.stringContaining('BEGIN CERTIFICATE') },
    ])
  })

  test('is not sent when the store cannot be written', async () => {
    const check = (): Promise<void> => Promise.reject(new AgentError('disk_full', 'Cannot write'))
    expect((await failure(run({ store: { ...store, check } }))).code).toBe('disk_full')
    expect(compass.calls).toEqual([])
  })

  test('is not needed for what the journal holds, but for all else it is', async () => {
    expect((await failure(run({ token: undefined }))).code).toBe('token_missing')
    expect((await failure(run({ connector: undefined }))).code).toBe('connector_url_missing')
    expect(await store.loadPending()).toBeUndefined()
  })

  test('is tried again when it was refused, at most six times in its hour, then no more', async () => {
    compass.down = refused()
    for (let second = 0; second < 2 * 3600; second += 5) {
      compass.time = NOW + second * SECOND
      await failure(run())
    }
    expect(compass.calls).toHaveLength(6)
    expect(await failure(run())).toMatchObject({ code: 'token_spent' })
  })

  test('that is not due yet is not sent, and the error says when it will be', async () => {
    compass.down = refused()
    await failure(run())
    compass.time += 2 * SECOND
    expect(await failure(run())).toMatchObject({ code: 'token_refused', retryAfter: 3 * SECOND })
    expect(compass.calls).toHaveLength(1)
  })

  test('works after a Director that was down for twenty minutes', async () => {
    compass.down = refused()
    for (; compass.time < NOW + 20 * MINUTE; compass.time += MINUTE) await failure(run())
    compass.down = undefined
    for (; compass.time < NOW + HOUR; compass.time += MINUTE) {
      if (await run().catch(() => undefined)) break
    }
    expect((await store.load())?.identity.runtimeId).toBe('runtime-1')
  })

  test('that names its own end is tried until then', async () => {
    compass.down = refused()
    const short = token('token-1', { expiresAt: NOW + 10 * SECOND })
    await failure(run({ token: short }))
    compass.time += 11 * SECOND
    expect((await failure(run({ token: short }))).code).toBe('token_spent')
  })

  test('takes the place of a refused one at once', async () => {
    compass.down = refused()
    await failure(run())
    compass.down = undefined
    await run({ token: T2 })
    expect(compass.calls).toEqual([
      'configuration token-1',
      'configuration token-2',
      'sign token-2+',
      'viewer',
    ])
  })

  test.each(['tls_untrusted', 'tls_name_mismatch', 'tls_server_expired', 'proxy_failed'] as const)(
    'that was never sent because of %s is not counted as tried',
    async (code) => {
      compass.down = new AgentError(code, 'Cannot connect')
      for (let time = 0; time < 20; time += 1) expect((await failure(run())).code).toBe(code)
      compass.down = undefined
      await run()
    },
  )

  test('that met no connection is not counted as tried, one that may have been sent is', async () => {
    compass.down = new AgentError('unreachable', 'Cannot reach', {
      detail: { reason: 'ECONNREFUSED' },
    })
    for (let time = 0; time < 20; time += 1) await failure(run())
    expect(compass.calls).toHaveLength(20)
    compass.down = new AgentError('unreachable', 'Cannot reach', {
      detail: { reason: 'ECONNRESET' },
    })
    for (let time = 0; time < 20; time += 1) await failure(run())
    expect(compass.calls).toHaveLength(21)
  })

  test('of which the Connector said that it is gone is not sent again', async () => {
    compass.lost.configuration = new AgentError('server_failed', 'Cannot read the configuration', {
      detail: { token: 'spent' },
    })
    expect((await failure(run())).code).toBe('server_failed')
    compass.time += 10 * MINUTE
    expect((await failure(run())).code).toBe('token_spent')
    expect(compass.calls).toHaveLength(1)
  })

  test('of which the Connector only says that it did not know it is tried on', async () => {
    compass.down = new AgentError('token_refused', 'Cannot authenticate', {
      detail: { token: 'spent' },
    })
    await failure(run())
    compass.time += 10 * MINUTE
    compass.down = undefined
    await run()
  })

  test('is never in the journal in the clear, its successor is', async () => {
    compass.lost.sign = new AgentError('unreachable', 'Cannot reach')
    await failure(run())
    const journal = JSON.stringify(revealed(await store.loadPending()))
    expect(journal).toContain('secret:token-1+')
    expect(journal).not.toMatch(/token-1(?!\+|")/)
  })
})

describe('the configuration', () => {
  test.each([
    ['rsa2048', [2048]],
    ['rsa3072', [2048, 3072]],
    ['rsa4096', [2048, 4096]],
    ['RSA4096', [2048, 4096]],
  ])('that asks for %s gets it', async (algorithm, made) => {
    compass.keyAlgorithm = algorithm
    await run()
    expect(bits).toEqual(made)
  })

  test.each(['ec256', 'rsa1024', 'constructor', '', 'rsa4096\nx'])(
    'that asks for the unknown algorithm %p is refused before token 2 is spent',
    async (algorithm) => {
      compass.keyAlgorithm = algorithm
      const error = await failure(run())
      expect(error.code).toBe('key_algorithm_unknown')
      expect(error.message).not.toContain('\n')
      expect(compass.isLive('token-1+')).toBe(true)
      compass.time += 10 * MINUTE
      expect((await failure(run())).code).toBe('token_spent')
    },
  )

  test('with a subject that cannot be written is refused before token 2 is spent', async () => {
    compass.subject = '1.2.3.4=x,CN=y'
    expect((await failure(run())).code).toBe('subject_invalid')
    expect(compass.isLive('token-1+')).toBe(true)
  })

  test('with empty, repeated and unescaped parts is met exactly', async () => {
    compass.subject = 'O=Acme, Inc.,OU=,OU=b=c,L=,ST=x+y,C=,CN=id'
    await run()
    expect(
      (await parseCsr(compass.csrs[0] ?? '')).subject.map((a) => `${a.type}=${a.value}`),
    ).toEqual(['O=Acme, Inc.', 'OU=', 'OU=b=c', 'L=', 'ST=x+y', 'C=', 'CN=id'])
  })

  test('without a second token is refused', async () => {
    const configuration: typeof compass.connector.configuration = async (...given) => {
      const { subject, keyAlgorithm, plane } = await compass.connector.configuration(...given)
      return { subject, keyAlgorithm, plane }
    }
    const connector = { ...compass.connector, configuration }
    expect((await failure(run({ connector }))).code).toBe('answer_malformed')
  })
})

describe('a certificate is refused, the identity before it kept, and the token named spent', () => {
  const good = (
    publicKey: string,
    more: Partial<Parameters<typeof issue>[0]> = {},
  ): Promise<string> =>
    issue({ key: { publicKeyPem: publicKey, privateKeyPem: keyA.privateKeyPem }, ...more })
  const HOSTILE: [string, (publicKey: string) => Promise<string> | string][] = [
    ['for another key', () => issue({ key: keyC })],
    ['for another name', (key) => good(key, { subject: [{ type: 'CN', value: 'somebody' }] })],
    [
      'of another organization',
      (key) =>
        good(key, {
          subject: [
            { type: 'O', value: 'Other' },
            { type: 'CN', value: 'system-auth-1' },
          ],
        }),
    ],
    [
      'that expired a year ago',
      (key) => good(key, { notBefore: NOW - 730 * DAY, notAfter: NOW - 365 * DAY }),
    ],
    [
      'that ends before it begins',
      (key) => good(key, { notBefore: NOW + 9 * DAY, notAfter: NOW + DAY }),
    ],
    ['in a chain in reverse', async (key) => ca.certificate + (await good(key))],
    ['with another issuer in its chain', async (key) => (await good(key)) + otherCa.certificate],
    [
      'with garbage in its chain',
      async (key) =>
        `${await good(key)}-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n`,
    ],
    ['of garbage', () => '-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n'],
    ['of garbage base64', () => '-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n'],
    ['of no PEM at all', () => 'hello'],
    ['of 10 MB', async (key) => (await good(key)) + 'x'.repeat(10_000_000)],
    ['of 10 MB of certificates', async (key) => (await good(key)) + ca.certificate.repeat(9000)],
    ['of no text', () => ''],
  ]
  test.each(HOSTILE)('%s', async (_what, chain) => {
    const before = await makeIdentity({ key: keyB })
    await store.promote(before)
    compass.chain = (publicKey) => Promise.resolve(chain(publicKey))
    const error = await failure(run())
    expect(error.code).toBe('certificate_invalid')
    expect(error.message.length).toBeLessThan(600)
    expect(revealed(await store.load())).toEqual(revealed({ identity: before }))
    expect(compass.count('viewer')).toBe(0)
    compass.time += 10 * MINUTE
    compass.chain = undefined
    expect((await failure(run())).code).toBe('token_spent')
    await run({ token: T2 })
  })
})

describe('a certificate is accepted', () => {
  const key = (publicKeyPem: string): { key: typeof keyA } => ({
    key: { publicKeyPem, privateKeyPem: keyA.privateKeyPem },
  })
  test('without its CA in the chain', async () => {
    compass.chain = (publicKey) => issue(key(publicKey))
    await run()
  })

  test('that seems expired or not yet valid by hours, as the clock here may be wrong', async () => {
    compass.chain = (publicKey) =>
      issue({ ...key(publicKey), notBefore: NOW - 3 * HOUR, notAfter: NOW - 2 * HOUR })
    await run()
    compass.chain = (publicKey) => issue({ ...key(publicKey), notBefore: NOW + 2 * HOUR })
    await run({ token: T2 })
  })

  test('with Windows line ends and text around it', async () => {
    compass.chain = async (publicKey) =>
      `subject=x\r\n${(await issue(key(publicKey))).replaceAll('\n', '\r\n')}\r\nmore`
    const { chain } = await run()
    expect(chain).toMatch(/^-----BEGIN CERTIFICATE-----\n[^\r]*-----END CERTIFICATE-----\n$/)
  })
})

describe('the proof', () => {
  const down = new AgentError('unreachable', 'Cannot reach the Director')

  test('that fails keeps the certificate, and the next pass only proves', async () => {
    compass.refusal = down
    expect((await failure(run())).code).toBe('unreachable')
    compass.refusal = undefined
    await run({ token: undefined, connector: undefined })
    expect(compass.calls).toEqual(['configuration token-1', 'sign token-1+', 'viewer', 'viewer'])
  })

  test('refuses what is no runtime, and a new token then takes its place', async () => {
    compass.viewerType = 'APPLICATION'
    expect((await failure(run())).code).toBe('not_a_runtime')
    expect((await failure(run())).code).toBe('not_a_runtime')
    expect(compass.count('sign')).toBe(1)
    compass.viewerType = 'RUNTIME'
    await run({ token: T2 })
    expect(await store.loadPending()).toBeUndefined()
  })

  test('refuses another runtime than runtime.id, and takes it when runtime.id is corrected', async () => {
    expect(await failure(run({ expectedRuntimeId: 'runtime-9' }))).toMatchObject({
      code: 'runtime_mismatch',
      message: expect.stringContaining('runtime-9'),
    })
    expect(await store.load()).toBeUndefined()
    expect((await run({ expectedRuntimeId: 'RUNTIME-1' })).runtimeId).toBe('runtime-1')
    expect(compass.count('sign')).toBe(1)
  })

  test('refuses another runtime than before, unless runtime.id names the new one', async () => {
    const options = { previousRuntimeId: 'runtime-0' }
    expect((await failure(run(options))).code).toBe('runtime_mismatch')
    await run({ ...options, expectedRuntimeId: 'runtime-1' })
  })

  test.each(['client_certificate_refused', 'identity_refused', 'scope_missing'] as const)(
    'that is refused by %s keeps the certificate until a new token comes',
    async (code) => {
      compass.refusal = new AgentError(code, 'Cannot read')
      await failure(run())
      expect((await failure(run())).code).toBe(code)
      expect(compass.count('sign')).toBe(1)
      const failed = await failure(run({ token: T2 }))
      expect(failed.code).toBe(code)
      expect(compass.calls).toContain('sign token-2+')
    },
  )

  test('that cannot be tried does not cost a new token, for an hour', async () => {
    compass.refusal = down
    await failure(run())
    expect((await failure(run({ token: T2 }))).code).toBe('unreachable')
    expect(compass.isLive('token-2')).toBe(true)
    compass.time += HOUR + SECOND
    await failure(run({ token: T2 }))
    expect(compass.isLive('token-2')).toBe(false)
  })

  test('of a certificate that has expired meanwhile is not waited for by a new token', async () => {
    compass.refusal = down
    await failure(run())
    compass.refusal = undefined
    compass.time += 90 * DAY
    await run({ token: T2 })
    expect(compass.count('viewer')).toBe(2)
  })
})

describe('a journal', () => {
  test('of a promotion that was not cleared does not keep a new token from being used', async () => {
    const clearPending = (): Promise<void> =>
      Promise.reject(new AgentError('disk_failed', 'Cannot remove'))
    const first = await run({ store: { ...store, clearPending } })
    expect(await store.loadPending()).toMatchObject({ stage: 'signed' })
    compass.time += HOUR
    const second = await run({ token: T2 })
    expect(second.fingerprint).not.toBe(first.fingerprint)
  })

  test('of a promotion whose answer was lost ends with what the token brought, and asks for nothing', async () => {
    const promote = async (identity: Identity): Promise<void> => {
      await store.promote(identity)
      throw new AgentError('kubernetes_failed', 'Cannot read the answer', { detail: OF_STORE })
    }
    await failure(run({ store: { ...store, promote } }))
    const calls = compass.calls.length
    const identity = await run()
    expect(identity.fingerprint).toBe((await store.load())?.identity.fingerprint ?? '')
    expect(compass.calls.length).toBe(calls)
    expect(await store.loadPending()).toBeUndefined()
  })

  test('of a renewal that was signed is proved before the token is used', async () => {
    await store.savePending({
      stage: 'signed',
      kind: 'renew',
      key: keyB.privateKeyPem,
      csr: '',
      subject: compass.subject,
      plane: PLANE,
      chain: await issue({ key: keyB }),
    })
    const identity = await run()
    expect(compass.calls).toEqual(['viewer'])
    expect(identity.key.equals(keyB.privateKeyPem)).toBe(true)
    expect(compass.isLive('token-1')).toBe(true)
  })

  test('that cannot be read does not keep a token from being used', async () => {
    const loadPending = (): Promise<never> =>
      Promise.reject(new AgentError('identity_unreadable', 'Cannot read the journal'))
    await run({ store: { ...store, loadPending } })
  })

  test('whose certificate was exchanged is not believed', async () => {
    compass.refusal = new AgentError('unreachable', 'Cannot reach')
    await failure(run())
    const pending = await store.loadPending()
    if (pending?.stage !== 'signed') throw new Error('not signed')
    await store.savePending({ ...pending, chain: await issue({ key: keyC }) })
    compass.refusal = undefined
    expect((await failure(run())).code).toBe('token_spent')
    expect(compass.count('viewer')).toBe(1)
    await run({ token: T2 })
  })
})

describe('the answer of the signing call', () => {
  test('when lost, is asked for again with the same CSR and token 2, then the token is named', async () => {
    compass.lost.sign = new AgentError('unreachable', 'Cannot reach', {
      detail: { reason: 'ECONNRESET' },
    })
    expect((await failure(run())).code).toBe('unreachable')
    compass.time += 10 * SECOND
    expect((await failure(run({ token: undefined }))).code).toBe('token_refused')
    expect(compass.calls).toEqual(['configuration token-1', 'sign token-1+', 'sign token-1+'])
    compass.time += 2 * HOUR
    expect((await failure(run())).code).toBe('token_spent')
  })

  test('when the request never arrived, is had with the same CSR', async () => {
    const sign = (): Promise<never> => Promise.reject(new AgentError('unreachable', 'Cannot reach'))
    await failure(run({ connector: { ...compass.connector, sign } }))
    compass.time += 10 * SECOND
    await run()
    expect(compass.calls).toEqual(['configuration token-1', 'sign token-1+', 'viewer'])
  })

  test('that refuses the CSR ends this token at once', async () => {
    compass.lost.sign = new AgentError('csr_refused', 'Cannot get a certificate', {
      detail: { token: 'spent' },
    })
    expect((await failure(run())).code).toBe('csr_refused')
    compass.time += 10 * MINUTE
    expect((await failure(run())).code).toBe('token_spent')
    expect(compass.count('sign')).toBe(1)
  })

  test('that is a 502 is tried on slowly, as only Compass knows whether the token is gone', async () => {
    compass.lost.sign = new AgentError('token_spent', 'Cannot get a certificate', {
      detail: { token: 'suspected' },
    })
    await failure(run())
    compass.time += 10 * SECOND
    expect((await failure(run())).code).toBe('token_refused')
    expect(compass.count('sign')).toBe(2)
  })
})
