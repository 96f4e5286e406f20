import { describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { openSnapshotParts } from '../../src/agent/snapshot-parts.ts'
import { initialState, type AgentState } from '../../src/agent/state.ts'
import {
  openConfigurationSecrets,
  openSnapshotSecrets,
  openStateSecret,
  stateRights,
} from '../../src/agent/state-secrets.ts'
import { SECRETS, type KubeObject } from '../../src/clients/kubernetes/api.ts'
import type { Application } from '../../src/model/application.ts'
import { digestConfiguration, type ConfigurationSnapshot } from '../../src/model/configuration.ts'
import { isSame } from '../../src/model/equal.ts'
import { Secret } from '../../src/model/secret.ts'
import { digestSnapshot, markComplete, type Snapshot } from '../../src/model/snapshot.ts'
import { textOfBase64, toBase64 } from '../../src/runtime/base64.ts'
import { failure, FakeKubernetes } from '../fake-kubernetes.ts'
import { application, bundle, landscape, RUNTIME } from '../model/samples.ts'

const PLACE = { namespace: 'agents', prefix: 'runtime-agent' }
const PART = 2_000

function snapshotOf(applications: Application[]): Snapshot {
  const content = { runtimeId: RUNTIME, applications: markComplete(applications) }
  return { ...content, fetchedAt: 1000, digest: digestSnapshot(content) }
}

const [first, second, third] = [2, 3, 4].map((count) => snapshotOf(landscape(count))) as [
  Snapshot,
  Snapshot,
  Snapshot,
]

function scene() {
  const kubernetes = new FakeKubernetes()
  const foreign: string[] = []
  const options = { ...PLACE, kubernetes, foreign: (why: string) => foreign.push(why) }
  const names = (): string[] =>
    [...kubernetes.objects.keys()].map((key) => key.replace('secrets/agents/', '')).sort()
  const object = (name: string): KubeObject => kubernetes.objects.get(`secrets/agents/${name}`)!
  /** What somebody else does. */
  const put = (name: string, data: Record<string, string | null>) =>
    kubernetes.another().merge(SECRETS, { namespace: 'agents', name }, { data })
  return { kubernetes, options, foreign, names, object, put }
}

const POOL = new Uint8Array(randomBytes(17 * PART))

/** Bytes that cannot be packed; others for each seed. */
function noise(length: number, seed = 0): Uint8Array {
  return POOL.subarray(seed, seed + length)
}

describe('the snapshot in Secrets', () => {
  test('is read as it was saved, also after a restart, and is not there at first', async () => {
    const { options, names } = scene()
    const store = openSnapshotSecrets(options)
    expect(await store.load()).toEqual({})
    for (const snapshot of [first, second, third]) {
      expect(await store.save(snapshot)).toBeUndefined()
      for (const view of [store, openSnapshotSecrets(options)]) {
        expect((await view.load()).snapshot?.digest).toBe(snapshot.digest)
      }
    }
    // Two slots in turn; what is old goes.
    expect(names()).toEqual(['runtime-agent-snapshot', 'runtime-agent-snapshot-0'])
  })

  test('is written once: equal content is no call at all', async () => {
    const { options, kubernetes } = scene()
    const store = openSnapshotSecrets(options)
    await store.save(first)
    const calls = kubernetes.calls.length
    await store.save({ ...first, fetchedAt: 2000 })
    expect(kubernetes.calls.length).toBe(calls)
    const next = openSnapshotSecrets(options)
    await next.load()
    const after = kubernetes.calls.length
    await next.save(first)
    expect(kubernetes.calls.length).toBe(after)
  })

  test('is packed, private in nothing but a Secret, and never listed', async () => {
    const { options, kubernetes, object } = scene()
    const store = openSnapshotSecrets(options)
    await store.save(first)
    await store.load()
    expect(
      kubernetes.calls.every((call) => /^(get|create|patch|delete) secrets\//.test(call)),
    ).toBe(true)
    const head = textOfBase64(
      (object('runtime-agent-snapshot')['data'] as Record<string, string>)['head.json']!,
    )
    expect(JSON.parse(head)).toEqual({
      version: 1,
      parts: [{ slot: 0, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }],
    })
  })

  const damages: [string, (it: ReturnType<typeof scene>) => Promise<unknown>, RegExp][] = [
    [
      'a part is changed',
      ({ put }) => put('runtime-agent-snapshot-0', { part: toBase64('x') }),
      /part 0 was changed/,
    ],
    [
      'a part is empty',
      ({ put }) => put('runtime-agent-snapshot-0', { part: null }),
      /part 0 was changed/,
    ],
    [
      'a part is gone',
      ({ kubernetes }) =>
        kubernetes
          .another()
          .remove(SECRETS, { namespace: 'agents', name: 'runtime-agent-snapshot-0' }, {}),
      /part 0 is missing/,
    ],
    [
      'its head is garbage',
      ({ put }) => put('runtime-agent-snapshot', { 'head.json': toBase64('{') }),
      /its head cannot be read/,
    ],
    [
      'its head names slots that are none',
      ({ put }) =>
        put('runtime-agent-snapshot', {
          'head.json': toBase64('{"version":1,"parts":[{"slot":77,"sha256":"x"}]}'),
        }),
      /its head cannot be read/,
    ],
  ]
  test.each(damages)(
    'of which %s is a named problem, and the next save heals it',
    async (_, damage, why) => {
      const it = scene()
      await openSnapshotSecrets(it.options).save(first)
      await damage(it)
      const store = openSnapshotSecrets(it.options)
      const { snapshot, problem } = await store.load()
      expect(snapshot).toBeUndefined()
      expect(problem).toMatchObject({
        code: 'snapshot_damaged',
        message: expect.stringMatching(why),
      })
      // The fetch that follows may bring just what was there before.
      expect(await store.save(first)).toBeUndefined()
      expect((await openSnapshotSecrets(it.options).load()).snapshot?.digest).toBe(first.digest)
    },
  )

  test('that cannot be read or stored is a problem and no failure; it is stored when that is over', async () => {
    const { options, kubernetes } = scene()
    const store = openSnapshotSecrets(options)
    kubernetes.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
    expect((await store.load()).problem).toMatchObject({ code: 'kubernetes_failed' })
    expect(await store.save(first)).toMatchObject({
      code: 'kubernetes_failed',
      message: 'Cannot keep the snapshot over a restart: cannot ask the fake: it is down',
    })
    kubernetes.before = () => undefined
    expect(await store.save(first)).toBeUndefined()
    expect((await openSnapshotSecrets(options).load()).snapshot?.digest).toBe(first.digest)
  })

  test('that needs more than 16 parts is a problem, and the one before stays', async () => {
    const { options, names } = scene()
    const parts = openSnapshotParts({ ...options, partBytes: PART })
    await parts.save(noise(PART))
    const before = names()
    expect(parts.save(noise(PART * 16 + 1))).rejects.toMatchObject({
      code: 'snapshot_too_large',
      message:
        'Cannot keep the snapshot in 16 Secrets: it has 32001 bytes packed, of at most 32000',
    })
    expect(names()).toEqual(before)
    expect(await openSnapshotParts({ ...options, partBytes: PART }).load()).toEqual(noise(PART))
    await parts.save(noise(PART * 16))
    expect(names()).toHaveLength(17)
  })
})

/** Runs `work` killed before or after its n-th call, for every n, and `then` looks at what is left. */
async function killedAnywhere(
  prepare: (it: ReturnType<typeof scene>) => Promise<void>,
  work: (it: ReturnType<typeof scene>) => Promise<unknown>,
  then: (it: ReturnType<typeof scene>, at: number) => Promise<void>,
): Promise<number> {
  let moments = 0
  for (const moment of ['before', 'after'] as const) {
    for (let at = 1; ; at += 1) {
      const it = scene()
      await prepare(it)
      let calls = 0
      it.kubernetes[moment] = () => {
        if ((calls += 1) >= at) throw new Error('killed')
      }
      await work(it).catch(() => undefined)
      it.kubernetes[moment] = () => undefined
      if (calls < at) break
      moments += 1
      await then(it, at)
    }
  }
  return moments
}

describe('killed before or after any call', () => {
  test.each([
    ['one part each', 1, 1],
    ['many parts', 7, 8],
    ['fewer parts', 8, 2],
  ])('what is read is what was there or what was to come: %s', async (_, before, after) => {
    const [old, next] = [noise(PART * before - 5, 3), noise(PART * after - 5, 4)]
    const moments = await killedAnywhere(
      ({ options }) => openSnapshotParts({ ...options, partBytes: PART }).save(old),
      ({ options }) => openSnapshotParts({ ...options, partBytes: PART }).save(next),
      async ({ options, names }) => {
        const left = await openSnapshotParts({ ...options, partBytes: PART }).load()
        expect([Bun.hash(old), Bun.hash(next)]).toContain(Bun.hash(left!))
        // Whatever was left, the next save and the one after are whole, and leave nothing behind but what was not known.
        const again = openSnapshotParts({ ...options, partBytes: PART })
        await again.load()
        await again.save(old)
        expect(Bun.hash((await openSnapshotParts({ ...options, partBytes: PART }).load())!)).toBe(
          Bun.hash(old),
        )
        expect(names().length).toBeLessThanOrEqual(17)
      },
    )
    expect(moments).toBeGreaterThan(8)
  })

  test('with more parts than there are slots for both, it is that or a named problem, never another', async () => {
    const [old, next] = [noise(PART * 10, 3), noise(PART * 9, 4)]
    let damaged = 0
    await killedAnywhere(
      ({ options }) => openSnapshotParts({ ...options, partBytes: PART }).save(old),
      ({ options }) => openSnapshotParts({ ...options, partBytes: PART }).save(next),
      async ({ options }) => {
        const left = await openSnapshotParts({ ...options, partBytes: PART })
          .load()
          .catch((thrown: unknown) => thrown)
        if (left instanceof Uint8Array)
          expect([Bun.hash(old), Bun.hash(next)]).toContain(Bun.hash(left))
        else {
          damaged += 1
          expect(left).toMatchObject({ code: 'snapshot_damaged' })
        }
        const again = openSnapshotParts({ ...options, partBytes: PART })
        await again.load().catch(() => undefined)
        await again.save(next)
        expect(Bun.hash((await openSnapshotParts({ ...options, partBytes: PART }).load())!)).toBe(
          Bun.hash(next),
        )
      },
    )
    expect(damaged).toBeGreaterThan(0)
  })

  test('of the first save nothing is there, or all of it', async () => {
    await killedAnywhere(
      () => Promise.resolve(),
      ({ options }) => openSnapshotParts({ ...options, partBytes: PART }).save(noise(PART * 3)),
      async ({ options }) => {
        const left = await openSnapshotParts({ ...options, partBytes: PART }).load()
        if (left !== undefined) expect(Bun.hash(left)).toBe(Bun.hash(noise(PART * 3)))
      },
    )
  })
})

describe('two agents', () => {
  test('that both save: the one that knows less is told, and what is stored is whole', async () => {
    const { options, kubernetes, foreign } = scene()
    const old = openSnapshotSecrets(options)
    await old.save(first)
    const fresh = openSnapshotSecrets({ ...options, kubernetes: kubernetes.another() })
    await fresh.load()
    await fresh.save(second)
    expect(await old.save(third)).toMatchObject({ code: 'kubernetes_conflict' })
    expect(foreign).toHaveLength(1)
    expect((await openSnapshotSecrets(options).load()).snapshot?.digest).toBe(second.digest)
  })

  test('one reads while the other saves: it gets one of both', async () => {
    const { options, kubernetes } = scene()
    const writer = openSnapshotSecrets({ ...options, kubernetes: kubernetes.another() })
    await writer.save(first)
    let reads = 0
    kubernetes.after = async ({ ref }) => {
      if (ref.name === 'runtime-agent-snapshot' && (reads += 1) === 1) await writer.save(second)
    }
    expect((await openSnapshotSecrets(options).load()).snapshot?.digest).toBe(second.digest)
  })

  test('of which one has changed the state: the other is told, and changes nothing', async () => {
    const { options, kubernetes, foreign } = scene()
    const paused: AgentState = { ...initialState, paused: true }
    const [one, two] = [
      openStateSecret(options),
      openStateSecret({ ...options, kubernetes: kubernetes.another() }),
    ]
    await one.load()
    await two.load()
    await two.save(paused)
    expect(one.save({ ...initialState, enrolledWith: 'x' })).rejects.toMatchObject({
      code: 'kubernetes_conflict',
    })
    expect(foreign).toHaveLength(1)
    expect(await one.load()).toEqual(paused)
    await one.save(initialState)
  })
})

describe('the state in a Secret', () => {
  test('is read as it was saved, is the initial one without, and is written only when it changes', async () => {
    const { options, names, kubernetes, put } = scene()
    const store = openStateSecret(options)
    expect(await store.load()).toEqual(initialState)
    const state: AgentState = { ...initialState, paused: true, approvals: [{ hash: 'h', at: 1 }] }
    await store.save(state)
    expect(names()).toEqual(['runtime-agent-state'])
    expect(await openStateSecret(options).load()).toEqual(state)
    const writes = kubernetes.calls.length
    await store.save(state)
    expect(kubernetes.calls.slice(writes)).toEqual(['get secrets/runtime-agent-state'])
    await put('runtime-agent-state', { note: toBase64('mine') })
    await store.save(initialState)
    await kubernetes
      .another()
      .remove(SECRETS, { namespace: 'agents', name: 'runtime-agent-state' }, {})
    await store.save(state)
    expect(await openStateSecret(options).load()).toEqual(state)
  })

  test('that cannot be read is a failure: nothing is done in ignorance of a pause', () => {
    const { options, kubernetes } = scene()
    kubernetes.forbidden.add('get secrets')
    expect(openStateSecret(options).load()).rejects.toMatchObject({ code: 'kubernetes_forbidden' })
  })
})

test('the rights that must be there are those on the state; others are a problem of the snapshot', async () => {
  expect(stateRights(PLACE).map(({ verb, name }) => [verb, name])).toEqual([
    ['get', 'runtime-agent-state'],
    ['patch', 'runtime-agent-state'],
    ['create', undefined],
  ])
  const { options, kubernetes } = scene()
  kubernetes.forbidden.add('create secrets/runtime-agent-snapshot-0')
  expect(await openSnapshotSecrets(options).save(first)).toMatchObject({
    code: 'kubernetes_forbidden',
    message: expect.stringMatching(/^Cannot keep the snapshot over a restart: cannot /),
  })
})

test('parts that may not be removed stay, and are written over', async () => {
  const { options, kubernetes, names } = scene()
  for (const slot of Array.from({ length: 16 }, (_, index) => index))
    kubernetes.forbidden.add(`delete secrets/runtime-agent-snapshot-${slot}`)
  const store = openSnapshotSecrets(options)
  for (const snapshot of [first, second, third, first])
    expect(await store.save(snapshot)).toBeUndefined()
  expect((await openSnapshotSecrets(options).load()).snapshot?.digest).toBe(first.digest)
  expect(names()).toHaveLength(3)
})

describe('a term that begins', () => {
  test('has read snapshot and state before: the first look of the loop asks nobody', async () => {
    const { options, kubernetes } = scene()
    await openSnapshotSecrets(options).save(first)
    await openStateSecret(options).save({ ...initialState, paused: true })
    const [snapshots, states] = [openSnapshotSecrets(options), openStateSecret(options)]
    await snapshots.begin()
    await states.begin()
    kubernetes.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
    expect((await snapshots.load()).snapshot?.digest).toBe(first.digest)
    expect(await states.load()).toMatchObject({ paused: true })
    expect((await snapshots.load()).problem).toMatchObject({ code: 'kubernetes_failed' })
    expect(states.load()).rejects.toMatchObject({ code: 'kubernetes_failed' })
  })

  test('does not begin while the API server is down, but with a snapshot that is damaged or forbidden', async () => {
    const { options, kubernetes, put } = scene()
    await openSnapshotSecrets(options).save(first)
    const store = openSnapshotSecrets(options)
    kubernetes.before = () => Promise.reject(failure('unreachable', 'it is down'))
    expect(store.begin()).rejects.toMatchObject({ code: 'unreachable' })
    expect(openStateSecret(options).begin()).rejects.toMatchObject({ code: 'unreachable' })
    kubernetes.before = () => undefined
    await put('runtime-agent-snapshot-0', { part: toBase64('x') })
    await store.begin()
    expect((await store.load()).problem).toMatchObject({ code: 'snapshot_damaged' })
    kubernetes.forbidden.add('get secrets')
    await store.begin()
    expect((await store.load()).problem).toMatchObject({ code: 'kubernetes_forbidden' })
  })
})

test('secrets of an application are in no message', async () => {
  const { options, put } = scene()
  await openSnapshotSecrets(options).save(
    snapshotOf([application('a', { bundles: [bundle('b')] })]),
  )
  await put('runtime-agent-snapshot-0', { part: toBase64('hunter2') })
  const { problem } = await openSnapshotSecrets(options).load()
  expect(JSON.stringify(problem)).not.toMatch(/hunter2|pass/)
})

describe('the configuration in Secrets', () => {
  const configurationOf = (text: string): ConfigurationSnapshot => {
    const kind = { apiVersion: 'v1', kind: 'ConfigMap' }
    const document = { ...kind, data: { password: new Secret(text) } }
    const id = 'core/ConfigMap//a'
    const documents = markComplete([{ id, ...kind, name: 'a', document }])
    const content = { runtimeId: RUNTIME, documents, refused: [], rules: 'r' }
    return { ...content, fetchedAt: 1000, digest: digestConfiguration(content) }
  }

  test('is kept beside the snapshot, under names of its own, and read back as it was', async () => {
    const { options, names } = scene()
    await openSnapshotSecrets(options).save(first)
    const store = openConfigurationSecrets(options)
    expect(await store.load()).toEqual({})
    for (const text of ['one', 'two', 'three'])
      expect(await store.save(configurationOf(text))).toBeUndefined()
    const { configuration } = await openConfigurationSecrets(options).load()
    expect(isSame(configuration, configurationOf('three'))).toBe(true)
    expect((await openSnapshotSecrets(options).load()).snapshot?.digest).toBe(first.digest)
    expect(names()).toEqual([
      'runtime-agent-configuration',
      'runtime-agent-configuration-0',
      'runtime-agent-snapshot',
      'runtime-agent-snapshot-0',
    ])
  })

  test('that does not fit into its four Secrets is in memory only, and a problem', async () => {
    const { options, names } = scene()
    const store = openConfigurationSecrets(options)
    const large = configurationOf(Buffer.from(randomBytes(3_000_000)).toString('latin1'))
    const problem = await store.save(large)
    expect(problem?.code).toBe('snapshot_too_large')
    expect(problem?.message).toContain('the configuration in 4 Secrets')
    expect(names()).toEqual([])
  })

  test('that was damaged, or cannot be read, is a problem and none', async () => {
    const { options, put, kubernetes } = scene()
    await openConfigurationSecrets(options).save(configurationOf('hidden-text'))
    await put('runtime-agent-configuration-0', { part: toBase64('x') })
    const { configuration, problem } = await openConfigurationSecrets(options).load()
    expect([configuration, problem?.code]).toEqual([undefined, 'snapshot_damaged'])
    kubernetes.forbidden.add('get secrets/runtime-agent-configuration')
    expect((await openConfigurationSecrets(options).load()).problem?.code).toBe(
      'kubernetes_forbidden',
    )
  })
})
