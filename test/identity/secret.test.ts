import { describe, expect, test } from 'bun:test'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import { openSecretStore, type SecretStore } from '../../src/identity/secret.ts'
import type { SecretStoreOptions } from '../../src/identity/secret.ts'
import type { Identity } from '../../src/model/identity.ts'
import type { Problem } from '../../src/model/problem.ts'
import { DAY } from '../../src/model/time.ts'
import { textOfBase64, toBase64 } from '../../src/runtime/base64.ts'
import { splitPem, toPkcs1 } from '../../src/runtime/keys.ts'
import { failure, FakeKubernetes } from '../fake-kubernetes.ts'
import { ca, keyA, keyB, keyC, makeIdentity, NOW } from './fixtures.ts'
import { PLANE } from './plane.ts'
import { INTENT, RENEWED, revealed, SIGNING, storeContract } from './store.contract.ts'

const SECRET = { namespace: 'kyma-system', name: 'cluster-client-certificates' }
const CA_SECRET = { namespace: 'istio-system', name: 'kyma-gateway-certs-cacert' }

storeContract('Secret (in memory)', () => {
  const { kubernetes, open } = scene()
  return Promise.resolve({ store: open(), reopen: () => open({}, kubernetes.another()) })
})

const [first, second, third] = await Promise.all([
  makeIdentity({ key: keyA }),
  makeIdentity({ key: keyB }),
  makeIdentity({ key: keyC }),
])

/** A cluster with nothing in it. */
function scene() {
  const kubernetes = new FakeKubernetes()
  const warned: Problem[] = []
  const foreign: string[] = []
  const open = (
    options: Partial<SecretStoreOptions> = {},
    client: FakeKubernetes = kubernetes,
  ): SecretStore =>
    openSecretStore({
      kubernetes: client,
      secret: SECRET,
      warn: (problem) => warned.push(problem),
      foreign: (why) => foreign.push(why),
      now: () => NOW,
      ...options,
    })
  const texts = (secret = SECRET): Record<string, string> => {
    const found = kubernetes.objects.get(`secrets/${secret.namespace}/${secret.name}`)
    const data = (found?.['data'] ?? {}) as Record<string, string>
    return Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, textOfBase64(value)]),
    )
  }
  /** What somebody else writes. */
  const put = async (values: Record<string, string | null>, secret = SECRET): Promise<void> => {
    const data = Object.fromEntries(
      Object.entries(values).map(([key, text]) => [key, text === null ? null : toBase64(text)]),
    )
    const other = kubernetes.another()
    if ((await other.get(SECRETS, secret)) === undefined)
      await other.create(SECRETS, { metadata: secret, data })
    else await other.merge(SECRETS, secret, { data })
  }
  const writes = (): string[] => kubernetes.calls.filter((call) => !/^get|dry run/.test(call))
  return { kubernetes, warned, foreign, open, texts, put, writes }
}

/** As the Go agent writes it. */
function byGoAgent({ key, chain }: Identity): Record<string, string> {
  return { key: toPkcs1(key).reveal(), crt: splitPem(chain)[0] ?? '', crtChain: chain }
}

describe('the Secret', () => {
  test('has the keys of the Go agent, exactly, and the rest of ours beside them', async () => {
    const { open, texts, kubernetes } = scene()
    await open().promote(first)
    expect(texts()).toEqual({
      ...byGoAgent(first),
      'runtime-agent.meta.json': expect.any(String),
    })
    expect(texts()['key']).toStartWith('-----BEGIN RSA PRIVATE KEY-----\n')
    expect(JSON.parse(texts()['runtime-agent.meta.json'] ?? '')).toEqual({
      version: 1,
      fingerprint: first.fingerprint,
      runtimeId: 'runtime-1',
      plane: PLANE,
      notAfter: '2027-02-19T12:00:00Z',
      written: '2026-11-21T12:00:00Z',
    })
    expect(kubernetes.objects.get('secrets/kyma-system/cluster-client-certificates')).toMatchObject(
      {
        type: 'Opaque',
        metadata: { labels: { 'app.kubernetes.io/managed-by': 'runtime-agent' } },
      },
    )
  })

  test('changes as a whole, in one write, and keeps what others have in it', async () => {
    const { open, put, texts, kubernetes, writes } = scene()
    await put({ other: 'value' })
    const marks = { labels: { team: 'a' }, annotations: { note: 'b' } }
    await kubernetes.another().merge(SECRETS, SECRET, { metadata: marks })
    const store = open()
    for (const identity of [first, second]) await store.promote(identity)
    expect(writes()).toEqual(Array(2).fill('patch secrets/cluster-client-certificates'))
    expect(texts()).toMatchObject({ ...byGoAgent(second), other: 'value' })
    expect(kubernetes.objects.values().next().value?.metadata).toMatchObject(marks)
    await store.forget()
    expect(texts()).toEqual({ other: 'value' })
  })

  test('is not written when nothing changes', async () => {
    const { open, writes } = scene()
    const store = open()
    await store.promote(first)
    await store.savePending(INTENT)
    const before = writes().length
    await store.load()
    await store.loadPending()
    await store.savePending(INTENT)
    await store.check()
    expect(writes().length).toBe(before)
  })

  test('lays a damaged journal aside when the next one is written', async () => {
    const { open, put, texts } = scene()
    await put({ 'runtime-agent.pending.json': '{"version":1,' })
    const store = open()
    expect(store.loadPending()).rejects.toMatchObject({ code: 'identity_unreadable' })
    await store.savePending(INTENT)
    expect(texts()['runtime-agent.pending.damaged']).toBe('{"version":1,')
    expect(revealed(await store.loadPending())).toEqual(revealed(INTENT))
  })
})

describe('an identity that the Go agent wrote', () => {
  const legacy = () => Promise.resolve({ plane: PLANE, runtimeId: 'runtime-7' })

  test('is loaded with what its other objects tell, and nothing is written', async () => {
    const { open, put, kubernetes } = scene()
    await put(byGoAgent(first))
    const loaded = await open({ legacy }).load()
    expect(revealed(loaded)).toEqual(revealed({ identity: { ...first, runtimeId: 'runtime-7' } }))
    expect(kubernetes.calls).toEqual(['get secrets/cluster-client-certificates'])
  })

  test('is the way back once another one is current', async () => {
    const { open, put } = scene()
    await put(byGoAgent(first))
    const store = open({ legacy })
    await store.load()
    await store.promote(second)
    await put({ key: 'garbage' })
    const loaded = await open().load()
    expect(loaded?.identity).toMatchObject({
      fingerprint: first.fingerprint,
      runtimeId: 'runtime-7',
    })
  })

  test('after ours, by a renewal of its own, is current, and its objects tell where Compass is', async () => {
    const { open, put } = scene()
    await open().promote(first)
    await put(byGoAgent(second))
    const moved = { connectorUrl: 'https://c.example', directorUrl: 'https://d.example' }
    const told = () => Promise.resolve({ plane: moved, runtimeId: 'runtime-1' })
    expect((await open({ legacy: told }).load())?.identity).toMatchObject({
      fingerprint: second.fingerprint,
      plane: moved,
    })
    // Without its objects: a renewal is for the same runtime.
    expect((await open().load())?.identity).toMatchObject({
      fingerprint: second.fingerprint,
      plane: PLANE,
    })
  })

  test('without anything that tells where Compass is cannot be used, and is never lost', async () => {
    const { open, put, texts } = scene()
    await put(byGoAgent(first))
    for (const told of [
      undefined,
      { plane: { connectorUrl: '', directorUrl: '' }, runtimeId: 'runtime-1' },
    ]) {
      const store = open({ legacy: () => Promise.resolve(told) })
      expect(store.load()).rejects.toMatchObject({
        code: 'identity_unreadable',
        message: expect.stringContaining('it is not known where Compass answers'),
      })
    }
    const store = open()
    await store.load().catch(() => undefined)
    await store.promote(second)
    expect(texts()['runtime-agent.previous.json']).toContain(first.fingerprint)
  })
})

const DAMAGE: [string, Record<string, string | null>][] = [
  ['its key is gone', { key: null }],
  ['its key is cut', { key: toPkcs1(keyB.privateKeyPem).reveal().slice(0, 500) }],
  ['its key is of the one before', { key: toPkcs1(keyA.privateKeyPem).reveal() }],
  ['its chain is no PEM', { crtChain: 'hello' }],
  ['chain and certificate are gone', { crtChain: null, crt: null }],
  ['its chain is 300 kB', { crtChain: 'x'.repeat(300_000) }],
  ['all three keys are gone', { key: null, crt: null, crtChain: null }],
  ['all three keys are empty', { key: '', crt: '', crtChain: '' }],
  ['it was never known where Compass is', { 'runtime-agent.meta.json': '{}' }],
]

describe('when the current identity cannot be used', () => {
  test.each(DAMAGE)(
    'because %s, the one before is, with a problem that says so',
    async (_, damage) => {
      const { open, put, writes } = scene()
      const store = open()
      for (const identity of [first, second]) await store.promote(identity)
      await put(damage)
      const before = writes().length
      const loaded = await open().load()
      expect(loaded?.identity.fingerprint).toBe(first.fingerprint)
      expect(loaded?.fallback).toMatchObject({ code: 'identity_unreadable' })
      expect(loaded?.fallback?.message).toMatch(/; the one before is used instead$/)
      expect(loaded?.fallback?.message).not.toMatch(/PRIVATE|hello/)
      expect(writes().length).toBe(before)
    },
  )

  test.each(DAMAGE)(
    'because %s, the next one heals it and the usable one stays',
    async (_, damage) => {
      const { open, put } = scene()
      const store = open()
      for (const identity of [first, second]) await store.promote(identity)
      await put(damage)
      await store.check()
      await store.promote(third)
      expect(revealed(await open().load())).toEqual(revealed({ identity: third }))
      await put({ key: null })
      expect((await open().load())?.identity.fingerprint).toBe(first.fingerprint)
    },
  )

  test('and there is none before, nothing is deleted and both are named', async () => {
    const { open, put, texts } = scene()
    await open().promote(first)
    await put({ key: 'garbage' })
    const before = texts()
    expect(open().load()).rejects.toMatchObject({
      code: 'identity_unreadable',
      message: expect.stringMatching(
        /Cannot use the identity in the Secret .*; nor the one before: /,
      ),
    })
    expect(texts()).toEqual(before)
  })

  test('because only the certificate alone or our own note is gone, it still is', async () => {
    const { open, put } = scene()
    await open().promote(first)
    await put({ crt: null })
    expect((await open().load())?.fallback).toBeUndefined()
    await put({ 'runtime-agent.meta.json': null })
    const legacy = () => Promise.resolve({ plane: PLANE, runtimeId: 'runtime-1' })
    expect((await open({ legacy }).load())?.identity.fingerprint).toBe(first.fingerprint)
  })
})

describe('another writer', () => {
  test('that brings a newer identity keeps it: ours is refused, and taken after a new look', async () => {
    const { open, put, texts, foreign } = scene()
    const store = open()
    await store.promote(first)
    await put(byGoAgent(second))
    expect(store.promote(third)).rejects.toMatchObject({
      code: 'kubernetes_conflict',
      message: expect.stringContaining('the identity in it was changed by somebody else'),
    })
    expect(texts()).toMatchObject(byGoAgent(second))
    expect(foreign).toHaveLength(1)
    expect((await store.load())?.identity.fingerprint).toBe(second.fingerprint)
    await store.promote(third)
    expect(texts()).toMatchObject(byGoAgent(third))
  })

  test('that is faster between our look and our write keeps its identity too', async () => {
    const { open, put, texts, kubernetes } = scene()
    const store = open()
    await store.promote(first)
    kubernetes.before = async ({ verb }) => {
      if (verb !== 'patch') return
      kubernetes.before = () => undefined
      await put(byGoAgent(second))
    }
    expect(store.promote(third)).rejects.toMatchObject({ code: 'kubernetes_conflict' })
    expect(texts()).toMatchObject(byGoAgent(second))
  })

  test.each([
    ['adds a key', { note: 'x' }],
    ['labels it', null],
  ])('that only %s at the same time is no failure', async (_, values) => {
    const { open, put, texts, kubernetes } = scene()
    const store = open()
    await store.promote(first)
    let struck = 0
    kubernetes.before = async ({ verb }) => {
      if (verb !== 'patch' || (struck += 1) > 2) return
      if (values) await put({ note: `x${struck}` })
      else
        await kubernetes
          .another()
          .merge(SECRETS, SECRET, { metadata: { labels: { turn: `${struck}` } } })
    }
    await store.savePending(SIGNING)
    await store.promote(second)
    expect(revealed(await store.loadPending())).toEqual(revealed(SIGNING))
    expect(texts()).toMatchObject(byGoAgent(second))
  })

  test('that removes or makes the Secret in the same moment is no failure', async () => {
    const { open, kubernetes, put, texts } = scene()
    const store = open()
    await store.promote(first)
    kubernetes.before = async ({ verb }) => {
      if (verb !== 'patch') return
      kubernetes.before = () => undefined
      await kubernetes.another().remove(SECRETS, SECRET, {})
    }
    await store.promote(second)
    expect(texts()).toMatchObject(byGoAgent(second))
    await kubernetes.another().remove(SECRETS, SECRET, {})
    kubernetes.before = async ({ verb }) => {
      if (verb !== 'create') return
      kubernetes.before = () => undefined
      await put({ other: 'value' })
    }
    await store.promote(third)
    expect(texts()).toMatchObject({ ...byGoAgent(third), other: 'value' })
  })

  test('that goes on with the journal keeps it: of two agents that enrol, one may', async () => {
    const { open, kubernetes, foreign } = scene()
    const [one, two] = [open(), open({}, kubernetes.another())]
    expect([await one.loadPending(), await two.loadPending()]).toEqual([undefined, undefined])
    await two.savePending(SIGNING)
    expect(one.savePending(INTENT)).rejects.toMatchObject({ code: 'kubernetes_conflict' })
    expect(foreign).toHaveLength(1)
    expect(revealed(await one.loadPending())).toEqual(revealed(SIGNING))
    await one.savePending(RENEWED)
  })
})

describe('an API server that fails', () => {
  const down = failure('kubernetes_failed', 'it is down')

  test('is told apart from a Connector that does', () => {
    const { open, kubernetes } = scene()
    kubernetes.before = () => Promise.reject(down)
    expect(open().load()).rejects.toMatchObject({
      code: 'kubernetes_failed',
      detail: { store: 'identity' },
    })
  })

  test('in the moment when a token was spent loses nothing: what it brought is written with the next call', async () => {
    for (const lost of ['before', 'after'] as const) {
      const { open, kubernetes } = scene()
      const store = open()
      await store.loadPending()
      await store.savePending(INTENT)
      kubernetes[lost] = ({ verb }) => {
        if (verb === 'patch') throw down
      }
      expect(store.savePending(SIGNING)).rejects.toMatchObject({ code: 'kubernetes_failed' })
      if (lost === 'before') expect(store.loadPending()).rejects.toThrow('down')
      kubernetes[lost] = () => undefined
      expect(revealed(await store.loadPending())).toEqual(revealed(SIGNING))
      expect(revealed(await open().loadPending())).toEqual(revealed(SIGNING))
    }
  })

  test('and another agent that has gone on since: what could not be written is given up', async () => {
    const { open, kubernetes } = scene()
    const store = open()
    await store.loadPending()
    kubernetes.before = ({ verb }) => {
      if (verb === 'create') throw down
    }
    await store.savePending(SIGNING).catch(() => undefined)
    kubernetes.before = () => undefined
    await open({}, kubernetes.another()).savePending(RENEWED)
    expect(store.loadPending()).rejects.toMatchObject({ code: 'kubernetes_conflict' })
    expect(revealed(await store.loadPending())).toEqual(revealed(RENEWED))
  })
})

describe('before a token is spent', () => {
  test('all missing rights are named, those of others that the agent needs too', () => {
    const { open, kubernetes } = scene()
    // What the Go agent has (go-agent.md §2): create, get, update, delete of Secrets; no patch, no leases.
    kubernetes.forbidden.add('patch secrets').add('get leases')
    const rights = [
      {
        verb: 'get',
        resource: {
          group: 'coordination.k8s.io',
          version: 'v1',
          plural: 'leases',
          kind: 'Lease',
          namespaced: true,
        },
        namespace: 'kyma-system',
        name: 'runtime-agent',
      },
    ]
    expect(open({ rights }).check()).rejects.toMatchObject({
      code: 'kubernetes_forbidden',
      message:
        'Cannot work in this cluster: the service account may not patch secrets kyma-system/cluster-client-certificates; get leases.coordination.k8s.io kyma-system/runtime-agent',
    })
    expect(kubernetes.calls.filter((call) => !call.startsWith('get'))).toEqual([])
  })

  test('a Secret that is there need not be made', async () => {
    const { open, kubernetes, put } = scene()
    kubernetes.forbidden.add('create secrets')
    const store = open()
    expect(store.check()).rejects.toMatchObject({ code: 'kubernetes_forbidden' })
    kubernetes.forbidden.clear()
    await put({})
    kubernetes.forbidden.add('create secrets')
    await store.check()
  })

  test('a write is tried that stores nothing: a missing namespace or a full Secret is named', async () => {
    const { open, kubernetes, put, texts } = scene()
    kubernetes.namespaces = new Set()
    expect(open().check()).rejects.toMatchObject({ code: 'kubernetes_missing' })
    kubernetes.namespaces = undefined
    await put({ big: 'x'.repeat(1024 * 1024 - 100) })
    expect(open().check()).rejects.toMatchObject({ code: 'kubernetes_refused' })
    expect(Object.keys(texts())).toEqual(['big'])
  })
})

test('killed before or after any call, the old or the new identity is usable', async () => {
  for (const moment of ['before', 'after'] as const) {
    for (let at = 1; ; at += 1) {
      const { open, kubernetes } = scene()
      const store = open({ caSecret: CA_SECRET })
      await store.promote(first)
      let calls = 0
      kubernetes[moment] = () => {
        if ((calls += 1) >= at) throw new Error('killed')
      }
      const work = async (): Promise<void> => {
        await store.savePending(SIGNING)
        await store.promote(second)
        await store.clearPending()
      }
      const killed = await work().then(
        () => false,
        () => true,
      )
      kubernetes[moment] = () => undefined
      const again = open()
      const loaded = await again.load()
      expect(loaded?.fallback).toBeUndefined()
      expect([first.fingerprint, second.fingerprint]).toContain(loaded?.identity.fingerprint ?? '')
      await again.loadPending()
      if (!killed && calls < at) break
      expect(at).toBeLessThan(20)
    }
  }
})

describe('the Secret of an agent in charge', () => {
  test.each([
    ['removed', null],
    ['emptied', { key: null, crt: null, crtChain: null }],
    ['damaged', { key: 'garbage' }],
  ])('that somebody has %s is written again, and that is said', async (_, values) => {
    const { open, kubernetes, put, texts, warned } = scene()
    const store = open()
    await store.promote(first)
    await store.tend()
    expect(warned).toEqual([])
    if (values === null) await kubernetes.another().remove(SECRETS, SECRET, {})
    else await put(values)
    await store.tend()
    expect(texts()).toMatchObject(byGoAgent(first))
    expect(warned).toMatchObject([{ code: 'identity_unreadable' }])
    expect((await open().load())?.fallback).toBeUndefined()
    await store.tend()
    expect(warned).toHaveLength(1)
  })

  test('in which another identity has come says so, and keeps it', async () => {
    const { open, put, texts, foreign, warned } = scene()
    const store = open()
    await store.promote(first)
    await put(byGoAgent(second))
    await store.tend()
    expect(foreign).toHaveLength(1)
    expect(warned).toEqual([])
    expect(texts()).toMatchObject(byGoAgent(second))
  })

  test('that a backup sets back to an identity of before gets ours again, which is nowhere else', async () => {
    const { open, put, texts, foreign, warned } = scene()
    const newer = await makeIdentity({ key: keyB, notBefore: NOW + DAY })
    const store = open()
    await store.promote(first)
    const backup = texts()
    await store.promote(newer)
    await put({ 'runtime-agent.previous.json': null, ...backup })
    await store.tend()
    expect(texts()).toMatchObject(byGoAgent(newer))
    expect(warned).toMatchObject([{ message: expect.stringContaining('set back to an older one') }])
    await put({ 'runtime-agent.previous.json': null, ...backup })
    const newest = await makeIdentity({ key: keyC, notBefore: NOW + 2 * DAY })
    await store.promote(newest)
    expect(texts()).toMatchObject(byGoAgent(newest))
    expect(foreign).toEqual([])
  })

  test('that was disconnected, or never loaded, stays empty', async () => {
    const { open, texts, kubernetes } = scene()
    const store = open()
    await store.promote(first)
    await store.forget()
    await store.tend()
    expect(texts()).toEqual({})
    await store.promote(second)
    await kubernetes.another().remove(SECRETS, SECRET, {})
    await store.load()
    await store.tend()
    await open().tend()
    expect(texts()).toEqual({})
  })

  test('is not read while it is being written, and not when the API server is down', async () => {
    const { open, kubernetes, foreign } = scene()
    const store = open()
    await store.promote(first)
    kubernetes.after = async ({ verb }) => {
      if (verb === 'patch') await store.tend()
    }
    await store.promote(second)
    kubernetes.after = () => undefined
    expect(foreign).toEqual([])
    kubernetes.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
    await store.tend()
  })
})

describe('a term that begins', () => {
  test('has read the identity before: the first look of the loop asks nobody', async () => {
    const { open, kubernetes } = scene()
    await open().promote(first)
    const store = open()
    await store.begin()
    kubernetes.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
    expect(revealed(await store.load())).toEqual(revealed({ identity: first }))
    expect(store.load()).rejects.toMatchObject({ code: 'kubernetes_failed' })
  })

  test('does not begin while it cannot be read: without its identity an agent would spend a token', async () => {
    const { open, kubernetes, put } = scene()
    const store = open()
    kubernetes.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
    expect(store.begin()).rejects.toMatchObject({ code: 'kubernetes_failed' })
    kubernetes.before = () => undefined
    await put({ key: 'garbage' })
    await store.begin()
    expect(store.load()).rejects.toMatchObject({ code: 'identity_unreadable' })
  })

  test('knows nothing of what was there before it was changed', async () => {
    const { open } = scene()
    const store = open()
    await store.begin()
    await store.promote(first)
    expect((await store.load())?.identity.fingerprint).toBe(first.fingerprint)
    await store.begin()
    await store.forget()
    expect(await store.load()).toBeUndefined()
  })
})

describe('the CA Secret', () => {
  test('gets the issuers, keeps its other keys, and is not written again', async () => {
    const { open, texts, put, writes } = scene()
    await put({ other: 'value' }, CA_SECRET)
    const store = open({ caSecret: CA_SECRET })
    await store.promote(first)
    expect(texts(CA_SECRET)).toEqual({ other: 'value', cacert: splitPem(ca.certificate).join('') })
    const before = writes().length
    await store.keepCa()
    expect(writes().length).toBe(before)
    expect(store.caProblem()).toBeUndefined()
  })

  test('that was deleted comes back, and one that holds more authorities stays', async () => {
    const { open, texts, kubernetes, put, writes } = scene()
    const store = open({ caSecret: CA_SECRET })
    await store.promote(first)
    await kubernetes.another().remove(SECRETS, CA_SECRET, {})
    await store.keepCa()
    expect(texts(CA_SECRET)['cacert']).toBe(splitPem(ca.certificate).join(''))
    await put({ cacert: `# ours\n${ca.certificate}${ca.certificate}` }, CA_SECRET)
    const before = writes().length
    await store.keepCa()
    expect(writes().length).toBe(before)
  })

  test.each([
    [
      'no namespace',
      (kubernetes: FakeKubernetes) => (kubernetes.namespaces = new Set(['kyma-system'])),
    ],
    [
      'no right',
      (kubernetes: FakeKubernetes) => kubernetes.forbidden.add(`get secrets/${CA_SECRET.name}`),
    ],
  ])(
    'that cannot be written (%s) is a problem said once, and enrolment goes on',
    async (_, break_) => {
      const { open, kubernetes, warned } = scene()
      break_(kubernetes)
      const store = open({ caSecret: CA_SECRET })
      await store.check()
      await store.promote(first)
      await store.promote(second)
      expect(warned).toHaveLength(1)
      expect(store.caProblem()).toEqual(warned[0])
      kubernetes.namespaces = undefined
      kubernetes.forbidden.clear()
      await store.keepCa()
      expect(store.caProblem()).toBeUndefined()
      expect((await open().load())?.identity.fingerprint).toBe(second.fingerprint)
    },
  )
})
