import { beforeEach, describe, expect, test } from 'bun:test'
import { openMemoryStore } from '../../src/identity/memory.ts'
import { renew, type RenewOptions } from '../../src/identity/renewal.ts'
import type { IdentityStore } from '../../src/identity/store.ts'
import type { Identity } from '../../src/model/identity.ts'
import { AgentError, type Code } from '../../src/model/problem.ts'
import { DAY, HOUR, MINUTE } from '../../src/model/time.ts'
import { FakeCompass } from './fake-compass.ts'
import { issue, keyA, keyB, keyC, makeIdentity, NOW, PLANE } from './fixtures.ts'
import { INTENT, revealed } from './store.contract.ts'

const call = { requestId: 'request-1', signal: new AbortController().signal }
const old = await makeIdentity({ key: keyA })

let compass: FakeCompass
let store: IdentityStore

beforeEach(() => {
  compass = new FakeCompass()
  compass.time = NOW + 63 * DAY // 30 % of its life left
  store = openMemoryStore(old)
})

function run(more: Partial<RenewOptions> = {}): Promise<Identity> {
  return renew({
    store,
    identity: old,
    connector: compass.connector,
    prove: compass.prove,
    now: () => compass.time,
    call,
    makeKey: () => Promise.resolve(keyB.privateKeyPem),
    ...more,
  })
}

async function failure(attempt: Promise<unknown>): Promise<AgentError> {
  const thrown: unknown = await attempt.then(
    () => 'it succeeded',
    (error: unknown) => error,
  )
  if (thrown instanceof AgentError) return thrown
  throw new Error(`no AgentError: ${String(thrown)}`)
}

const isOld = async (): Promise<boolean> =>
  (await store.load())?.identity.fingerprint === old.fingerprint

describe('a renewal', () => {
  test('is configuration, signing and proof over mTLS, with a new key', async () => {
    const identity = await run()
    expect(compass.calls).toEqual(['configuration mtls', 'sign mtls', 'viewer'])
    expect(identity.key.equals(keyB.privateKeyPem)).toBe(true)
    expect(identity).toMatchObject({ runtimeId: 'runtime-1', notAfter: compass.time + 90 * DAY })
    expect(revealed(await store.load())).toEqual(revealed({ identity }))
    expect(await store.loadPending()).toBeUndefined()
  })

  test('makes the new identity current only after it carried a call', async () => {
    await run({
      prove: async (candidate, given) => {
        expect(candidate.key.equals(keyB.privateKeyPem)).toBe(true)
        expect(await isOld()).toBe(true)
        return compass.prove(candidate, given)
      },
    })
    expect(await isOld()).toBe(false)
  })

  test('takes the addresses that the Connector names now', async () => {
    const plane = { ...PLANE, directorUrl: 'https://moved.example/director' }
    const identity = await run({
      connector: {
        ...compass.connector,
        configuration: async (...given) => ({
          ...(await compass.connector.configuration(...given)),
          plane,
        }),
      },
    })
    expect(identity.plane).toEqual(plane)
  })

  test('sends the same CSR again when the answer was lost, without another configuration', async () => {
    compass.lost.sign = new AgentError('unreachable', 'Cannot reach')
    expect((await failure(run())).code).toBe('unreachable')
    expect(await isOld()).toBe(true)
    compass.lost = {}
    await run({ makeKey: () => Promise.resolve(keyC.privateKeyPem) })
    expect(compass.calls).toEqual(['configuration mtls', 'sign mtls', 'sign mtls', 'viewer'])
    expect(compass.csrs[1]).toBe(compass.csrs[0])
    expect((await store.load())?.identity.key.equals(keyB.privateKeyPem)).toBe(true)
  })

  test.each(['csr_refused', 'certificate_invalid'] as const)(
    'that ends in %s begins anew the next time',
    async (code) => {
      compass.lost.sign = new AgentError(code, 'Cannot get a certificate')
      expect((await failure(run())).code).toBe(code)
      expect(await store.loadPending()).toBeUndefined()
      compass.lost = {}
      await run()
      expect(compass.count('configuration')).toBe(2)
    },
  )

  test('with an answer for another key keeps the old identity and begins anew', async () => {
    compass.chain = () => issue({ key: keyC })
    expect((await failure(run())).code).toBe('certificate_invalid')
    expect(await isOld()).toBe(true)
    expect(await store.loadPending()).toBeUndefined()
  })

  test('is not begun when the store cannot be written', async () => {
    const check = (): Promise<void> => Promise.reject(new AgentError('disk_full', 'Cannot write'))
    expect((await failure(run({ store: { ...store, check } }))).code).toBe('disk_full')
    expect(compass.calls).toEqual([])
  })

  test('is refused for an unknown key algorithm, with nothing in the journal', async () => {
    compass.keyAlgorithm = 'kyber'
    expect((await failure(run())).code).toBe('key_algorithm_unknown')
    expect(await store.loadPending()).toBeUndefined()
    expect(await isOld()).toBe(true)
  })

  test('goes on when Compass refuses to configure or sign, as that may be an outage', async () => {
    for (const code of ['identity_refused', 'server_failed', 'too_many_requests'] as const) {
      compass.down = new AgentError(code, 'Cannot')
      expect((await failure(run())).code).toBe(code)
      expect(await isOld()).toBe(true)
    }
    compass.down = undefined
    await run()
  })
})

describe('a renewed certificate that cannot be proved', () => {
  const refuse = (code: Code): AgentError => new AgentError(code, 'Cannot read who we are')

  test('waits in the journal and is proved first, without another signing call', async () => {
    compass.refusal = refuse('unreachable')
    for (let pass = 0; pass < 3; pass += 1) {
      expect((await failure(run())).code).toBe('unreachable')
      expect(await isOld()).toBe(true)
    }
    compass.refusal = undefined
    await run()
    expect(compass.count('sign')).toBe(1)
    expect(compass.count('configuration')).toBe(1)
  })

  test.each(['client_certificate_refused', 'not_a_runtime', 'runtime_mismatch'] as const)(
    'because of %s is dropped, and the old identity goes on',
    async (code) => {
      compass.refusal = refuse(code)
      expect((await failure(run())).code).toBe(code)
      expect(await isOld()).toBe(true)
      expect(await store.loadPending()).toBeUndefined()
    },
  )

  test('because it is for another runtime is dropped', async () => {
    compass.runtimeId = 'runtime-2'
    expect((await failure(run())).code).toBe('runtime_mismatch')
    expect(await isOld()).toBe(true)
    expect(await store.loadPending()).toBeUndefined()
  })

  test('is taken unproved when under 5 % of the life of the old one is left', async () => {
    compass.refusal = refuse('unreachable')
    compass.time = old.notAfter - 4.6 * DAY
    await failure(run())
    expect(await isOld()).toBe(true)
    compass.time = old.notAfter - 4.4 * DAY
    const identity = await run()
    expect(identity.runtimeId).toBe(old.runtimeId)
    expect(await isOld()).toBe(false)
    expect(await store.loadPending()).toBeUndefined()
  })

  test('is not taken unproved when it is refused, or ends before the old one', async () => {
    compass.time = old.notAfter - HOUR
    compass.refusal = refuse('client_certificate_refused')
    await failure(run())
    compass.refusal = refuse('unreachable')
    compass.lifetime = MINUTE
    await failure(run())
    expect(await isOld()).toBe(true)
  })

  test('is not taken unproved because the disk failed after the proof', async () => {
    compass.time = old.notAfter - HOUR
    let promotions = 0
    const promote = (): Promise<void> => {
      promotions += 1
      return Promise.reject(new AgentError('disk_full', 'Cannot write'))
    }
    expect((await failure(run({ store: { ...store, promote } }))).code).toBe('disk_full')
    expect(promotions).toBe(1)
  })

  test('and has expired while it waited is dropped for a new one', async () => {
    compass.refusal = refuse('unreachable')
    compass.lifetime = HOUR
    await failure(run())
    compass.refusal = undefined
    compass.time += 2 * HOUR
    await run()
    expect(compass.count('sign')).toBe(2)
  })
})

describe('the journal', () => {
  test('of a promotion that was not cleared does not stand for a renewal', async () => {
    const clearPending = (): Promise<void> =>
      Promise.reject(new AgentError('disk_failed', 'Cannot'))
    const current = await run({ store: { ...store, clearPending } })
    expect(await store.loadPending()).toMatchObject({ stage: 'signed' })
    compass.time += 63 * DAY
    const next = await run({
      identity: current,
      makeKey: () => Promise.resolve(keyC.privateKeyPem),
    })
    expect(next.fingerprint).not.toBe(current.fingerprint)
    expect(compass.count('sign')).toBe(2)
  })

  test('of an enrolment that was not finished does not stop a renewal', async () => {
    await store.savePending(INTENT)
    await run()
    expect(await store.loadPending()).toBeUndefined()
  })

  test('that cannot be read does not stop a renewal', async () => {
    const loadPending = (): Promise<never> =>
      Promise.reject(new AgentError('identity_unreadable', 'Cannot read the journal'))
    await run({ store: { ...store, loadPending } })
  })
})
