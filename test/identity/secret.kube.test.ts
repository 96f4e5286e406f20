/** The identity in a Secret of a real API server: what its compare and swap, its rights and its dry run really do. */
import { afterAll, expect, setDefaultTimeout } from 'bun:test'
import { LEASES, SECRETS, type Kubernetes } from '../../src/clients/kubernetes/api.ts'
import { identityRights, openSecretStore, type SecretStore } from '../../src/identity/secret.ts'
import type { SecretStoreOptions } from '../../src/identity/secret.ts'
import { openSecretDigestKey } from '../../src/identity/secret-digest-key.ts'
import type { Problem } from '../../src/model/problem.ts'
import { textOfBase64, toBase64 } from '../../src/runtime/base64.ts'
import { toPkcs1 } from '../../src/runtime/keys.ts'
import { needsKube, startKube, type Kube } from '../kube.ts'
import { keyA, keyB, keyC, makeIdentity, NOW } from './fixtures.ts'
import { revealed, SIGNING, storeContract } from './store.contract.ts'

setDefaultTimeout(60_000)

let started: Promise<Kube> | undefined
/** One server for all tests of this file, from the first that needs it. */
const cluster = (): Promise<Kube> => (started ??= startKube())
afterAll(async () => (await started)?.stop())

const { signal } = new AbortController()
const [first, second, third] = await Promise.all([
  makeIdentity({ key: keyA }),
  makeIdentity({ key: keyB }),
  makeIdentity({ key: keyC }),
])

let places = 0

/** A namespace of its own. */
async function scene(options: Partial<SecretStoreOptions> = {}) {
  const kube = await cluster()
  const namespace = `identity-${(places += 1)}`
  await kube.namespace(namespace)
  const secret = { namespace, name: 'cluster-client-certificates' }
  const warned: Problem[] = []
  const open = (client: Kubernetes = kube.client): SecretStore =>
    openSecretStore({
      kubernetes: client,
      secret,
      warn: (problem) => warned.push(problem),
      now: () => NOW,
      ...options,
    })
  const read = async () => {
    const found = await kube.client.get(SECRETS, secret, signal)
    const data = Object.entries((found?.['data'] ?? {}) as Record<string, string>)
    return {
      texts: Object.fromEntries(data.map(([key, value]) => [key, textOfBase64(value)])),
      metadata: found?.metadata,
    }
  }
  return { kube, namespace, secret, open, read, warned }
}

/** A service account with these verbs on Secrets of a namespace. */
async function account(kube: Kube, namespace: string, name: string, verbs: string[]) {
  const metadata = { name, namespace }
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' }
  await kube.applyManifests([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      ...rbac,
      kind: 'Role',
      metadata,
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs }],
    },
    {
      ...rbac,
      kind: 'RoleBinding',
      metadata,
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    },
  ])
  return kube.as(metadata)
}

storeContract(
  'Secret',
  async () => {
    const { open } = await scene()
    return { store: open(), reopen: () => open() }
  },
  needsKube,
)

needsKube('each change of the identity is one write, and others keep what is theirs', async () => {
  const { kube, secret, open, read } = await scene()
  const marks = { labels: { team: 'a' }, annotations: { note: 'b' } }
  await kube.client.create(
    SECRETS,
    { metadata: { ...secret, ...marks }, data: { other: toBase64('value') } },
    signal,
  )
  const mark = kube.auditMark()
  const store = open()
  await store.promote(first)
  await store.promote(second)
  const writes = kube.auditLog(mark).filter(({ verb }) => verb !== 'get')
  expect(writes.map(({ verb, resource, code }) => [verb, resource, code])).toEqual(
    Array(2).fill(['patch', 'secrets', 200]),
  )
  const { texts, metadata } = await read()
  expect(metadata).toMatchObject(marks)
  expect(texts).toMatchObject({
    other: 'value',
    key: toPkcs1(second.key).reveal(),
    crtChain: second.chain,
  })
})

needsKube(
  'of two writers that promote at the same time one is told, and one whole identity is there',
  async () => {
    const { open, read } = await scene()
    await open().promote(first)
    for (let round = 0; round < 5; round += 1) {
      const [one, two] = [open(), open()]
      await Promise.all([one.load(), two.load()])
      const chain = (await read()).texts['crtChain']
      const [left, right] = [first, second, third].filter((one) => one.chain !== chain)
      if (left === undefined || right === undefined) throw new Error('another identity is there')
      const settled = await Promise.allSettled([one.promote(left), two.promote(right)])
      const codes = settled.map((one) =>
        one.status === 'fulfilled' ? '' : String(one.reason.code),
      )
      const { texts } = await read()
      const winner = codes[0] === '' && texts['crtChain'] === left.chain ? left : right
      expect(texts).toMatchObject({ crtChain: winner.chain, key: toPkcs1(winner.key).reveal() })
      expect(codes.filter((code) => code !== '')).toEqual(['kubernetes_conflict'])
    }
  },
)

needsKube('a foreign writer in the middle of many of ours never loses a key', async () => {
  const { kube, secret, open, read } = await scene()
  const store = open()
  await store.promote(first)
  let ended = false
  const noise = (async () => {
    let turns = 0
    while (!ended) {
      turns += 1
      const data = { noise: toBase64(String(turns)) }
      await kube.client.merge(SECRETS, secret, { data }, signal)
    }
    return turns
  })()
  let done = 0
  for (let round = 0; round < 10; round += 1) {
    const identity = round % 2 === 0 ? second : first
    const turn = await store.promote(identity).then(
      () => (done += 1),
      (thrown: unknown) => thrown,
    )
    if (typeof turn !== 'number') expect(turn).toMatchObject({ code: 'kubernetes_conflict' })
    expect((await open().load())?.fallback).toBeUndefined()
  }
  ended = true
  const turns = await noise
  expect((await read()).texts['noise']).toBe(String(turns))
  expect(done).toBeGreaterThan(0)
})

needsKube(
  'under the RBAC of the Go agent it stops before a token is spent and names what is missing',
  async () => {
    const { kube, namespace, secret } = await scene()
    const goAgent = await account(kube, namespace, 'go', ['create', 'get', 'update', 'delete'])
    const lease = { resource: LEASES, namespace, name: 'runtime-agent' }
    const rights = ['get', 'patch'].map((verb) => ({ verb, ...lease }))
    const options = { secret, rights, warn: () => undefined, now: () => NOW }
    const store = openSecretStore({ kubernetes: goAgent, ...options })
    expect(store.check()).rejects.toMatchObject({
      code: 'kubernetes_forbidden',
      message: `Cannot work in this cluster: the service account may not patch secrets ${namespace}/cluster-client-certificates; get, patch leases.coordination.k8s.io ${namespace}/runtime-agent`,
    })
  },
)

needsKube('the rights that it names are enough, and not one of them is too many', async () => {
  const { kube, namespace, secret } = await scene()
  const verbs = identityRights(secret).map(({ verb }) => verb)
  const whole = async (name: string, given: string[], inNamespace: string): Promise<void> => {
    const kubernetes = await account(kube, inNamespace, name, given)
    const store = openSecretStore({
      kubernetes,
      secret: { ...secret, namespace: inNamespace },
      warn: () => undefined,
      now: () => NOW,
    })
    await store.check()
    await store.savePending(SIGNING)
    await store.promote(first)
    await store.promote(second)
    await store.clearPending()
    expect(revealed(await store.load())).toEqual(revealed({ identity: second }))
    await store.forget()
  }
  await whole('all', verbs, namespace)
  for (const left of verbs) {
    const other = `${namespace}-${left}`
    await kube.namespace(other)
    const given = verbs.filter((verb) => verb !== left)
    expect(whole('less', given, other)).rejects.toMatchObject({ code: 'kubernetes_forbidden' })
  }
})

needsKube(
  'the try before a token stores nothing, and finds a Secret that cannot be written',
  async () => {
    const { kube, secret, open, read } = await scene()
    await open().check()
    expect((await read()).metadata).toBeUndefined()
    await kube.client.create(SECRETS, { metadata: secret, data: {} }, signal)
    const { metadata } = await read()
    await open().check()
    expect((await read()).metadata?.resourceVersion).toBe(metadata?.resourceVersion)
    const full = toBase64('x'.repeat(1024 * 1024 - 1000))
    await kube.client.merge(SECRETS, secret, { data: { full } }, signal)
    expect(open().check()).rejects.toMatchObject({ code: 'kubernetes_refused' })
    await kube.client.merge(SECRETS, secret, { data: { full: null }, immutable: true }, signal)
    expect(open().check()).rejects.toMatchObject({ code: 'kubernetes_refused' })
  },
)

needsKube('a namespace that is missing is named before a token is spent', async () => {
  const { kube } = await scene()
  const secret = { namespace: 'not-there', name: 'x' }
  const store = openSecretStore({
    kubernetes: kube.client,
    secret,
    warn: () => undefined,
    now: () => NOW,
  })
  expect(store.check()).rejects.toMatchObject({
    code: 'kubernetes_missing',
    message: expect.stringContaining('not-there'),
  })
})

needsKube(
  'without istio-system the CA Secret is a problem said once, and all else works',
  async () => {
    const caSecret = { namespace: 'istio-system', name: 'kyma-gateway-certs-cacert' }
    const { kube, open, warned } = await scene({ caSecret })
    const store = open()
    await store.check()
    await store.promote(first)
    await store.promote(second)
    expect(warned).toMatchObject([{ code: 'kubernetes_missing' }])
    await kube.namespace('istio-system')
    await store.keepCa()
    expect(store.caProblem()).toBeUndefined()
    const found = await kube.client.get(SECRETS, caSecret, signal)
    expect(Object.keys(found?.['data'] ?? {})).toEqual(['cacert'])
  },
)

needsKube('two agents that make a digest key at the same time end with the same', async () => {
  const { kube, secret, read } = await scene()
  const keys = [1, 2, 3].map(() => openSecretDigestKey(kube.client, secret))
  expect(() => keys[0]?.key.reveal()).toThrow('was not read yet')
  await Promise.all(keys.map((key) => key.keep()))
  const late = openSecretDigestKey(kube.client, secret)
  await late.load()
  const values = [...keys, late].map(({ key }) => key.reveal())
  expect(new Set(values).size).toBe(1)
  expect((await read()).texts['runtime-agent.digest.key']).toBe(values[0] ?? '')
  expect(String(keys[0]?.key)).toBe('[secret]')
})
