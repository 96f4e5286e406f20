import { describe, expect, test as anywhere } from 'bun:test'
import type { IdentityStore } from '../../src/identity/store.ts'
import type { Identity, PendingEnrolment } from '../../src/model/identity.ts'
import { Secret } from '../../src/model/secret.ts'
import { HOUR } from '../../src/model/time.ts'
import { issue, keyA, keyB, makeIdentity, NOW, otherCa, PLANE, SUBJECT } from './fixtures.ts'

export const INTENT: PendingEnrolment = {
  stage: 'intent',
  kind: 'enrol',
  token: { digest: 'abc', firstSeen: NOW, until: NOW + HOUR, attempts: [NOW, NOW + 1] },
}

export const SIGNING: PendingEnrolment = {
  stage: 'signing',
  kind: 'enrol',
  token: { digest: 'abc', firstSeen: NOW, until: NOW + HOUR, attempts: [NOW], spent: true },
  key: keyA.privateKeyPem,
  csr: 'csr',
  subject: SUBJECT,
  plane: PLANE,
  signingToken: new Secret('token-2'),
}

export const RENEWED: PendingEnrolment = {
  stage: 'signed',
  kind: 'renew',
  key: keyB.privateKeyPem,
  csr: 'csr',
  subject: SUBJECT,
  plane: PLANE,
  chain: await issue({ key: keyB }),
}

/** A Secret's value is private to it, so that toEqual would not see a difference. */
export function revealed(value: unknown): unknown {
  if (value instanceof Secret) return `secret:${value.reveal()}`
  if (Array.isArray(value)) return value.map(revealed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, revealed(member)]))
}

/**
 * What every IdentityStore keeps to. `reopen` gives a second view on the same storage, as after a restart; `test` may be
 * one that is skipped where the storage is missing.
 */
export function storeContract(
  name: string,
  open: () => Promise<{ store: IdentityStore; reopen: () => IdentityStore }>,
  test: typeof anywhere = anywhere,
): void {
  describe(`the ${name} store`, () => {
    test('has neither identity nor journal at first', async () => {
      const { store } = await open()
      expect(await store.load()).toBeUndefined()
      expect(await store.loadPending()).toBeUndefined()
    })

    test('gives back the identity that was promoted last, also after a restart', async () => {
      const { store, reopen } = await open()
      const [first, second] = await Promise.all([
        makeIdentity({ key: keyA }),
        makeIdentity({ key: keyB, runtimeId: 'runtime-2' }),
      ])
      for (const identity of [first, second, first]) {
        await store.promote(identity)
        for (const view of [store, reopen()]) {
          expect(revealed(await view.load())).toEqual(revealed({ identity }))
        }
      }
    })

    test.each([
      ['intent', INTENT],
      ['signing', SIGNING],
      ['signed', RENEWED],
    ])('keeps the journal at stage %s as it is, also after a restart', async (_stage, pending) => {
      const { store, reopen } = await open()
      await store.savePending(INTENT)
      await store.savePending(pending)
      for (const view of [store, reopen()]) {
        expect(revealed(await view.loadPending())).toEqual(revealed(pending))
      }
    })

    test('forgets a journal that is cleared, and does not mind clearing none', async () => {
      const { store, reopen } = await open()
      await store.clearPending()
      await store.savePending(SIGNING)
      await store.clearPending()
      expect(await reopen().loadPending()).toBeUndefined()
    })

    test('has nothing any more once it is told to forget, and can be used again', async () => {
      const { store, reopen } = await open()
      const [first, second] = await Promise.all([
        makeIdentity({ key: keyA }),
        makeIdentity({ key: keyB }),
      ])
      await store.promote(first)
      await store.savePending(INTENT)
      await store.forget()
      await store.forget()
      expect(await reopen().load()).toBeUndefined()
      expect(await reopen().loadPending()).toBeUndefined()
      await store.promote(second)
      expect((await reopen().load())?.identity.fingerprint).toBe(second.fingerprint)
    })

    test('keeps identity and journal apart', async () => {
      const { store } = await open()
      const identity = await makeIdentity({ key: keyA })
      await store.savePending(SIGNING)
      await store.promote(identity)
      expect(revealed(await store.loadPending())).toEqual(revealed(SIGNING))
      await store.clearPending()
      expect((await store.load())?.identity.fingerprint).toBe(identity.fingerprint)
    })

    test('loads an identity that has expired', async () => {
      const { store } = await open()
      const identity = await makeIdentity({ key: keyA, notBefore: 0, notAfter: HOUR })
      await store.promote(identity)
      expect((await store.load())?.identity.notAfter).toBe(HOUR)
    })

    const unfit: [string, () => Promise<Partial<Identity>>][] = [
      ['a key that is not its own', () => Promise.resolve({ key: keyB.privateKeyPem })],
      ['a key that is none', () => Promise.resolve({ key: new Secret('hello') })],
      ['a chain without certificates', () => Promise.resolve({ chain: 'hello' })],
      [
        'a foreign issuer in its chain',
        async () => ({
          chain: (await issue({ key: keyA })) + otherCa.certificate,
        }),
      ],
      ['a fingerprint that is not its own', () => Promise.resolve({ fingerprint: '0'.repeat(64) })],
      ['dates that are not its own', () => Promise.resolve({ notAfter: NOW + 1 })],
      ['no runtime', () => Promise.resolve({ runtimeId: '' })],
    ]
    test.each(unfit)(
      'refuses an identity with %s and keeps the one it has',
      async (_what, change) => {
        const { store } = await open()
        const good = await makeIdentity({ key: keyA })
        await store.promote(good)
        expect(store.promote({ ...good, ...(await change()) })).rejects.toMatchObject({
          code: 'certificate_invalid',
        })
        expect(revealed(await store.load())).toEqual(revealed({ identity: good }))
      },
    )

    test('says that it can be written, and changes nothing by that', async () => {
      const { store } = await open()
      const identity = await makeIdentity({ key: keyA })
      await store.promote(identity)
      await store.savePending(INTENT)
      await store.check()
      expect(revealed(await store.load())).toEqual(revealed({ identity }))
      expect(revealed(await store.loadPending())).toEqual(revealed(INTENT))
    })
  })
}
