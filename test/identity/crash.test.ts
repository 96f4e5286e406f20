/**
 * Enrolment and renewal are killed at every boundary: before and after each call to store, Connector and Director, and
 * before, in the middle of and after each change of a file. Then the agent starts again, on what is really there.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { ParsedToken } from '../../src/clients/token.ts'
import { openDiskStore } from '../../src/identity/disk.ts'
import { enrol } from '../../src/identity/enrolment.ts'
import type { Files } from '../../src/identity/generation.ts'
import { openMemoryStore } from '../../src/identity/memory.ts'
import { renew } from '../../src/identity/renewal.ts'
import { openSecretStore } from '../../src/identity/secret.ts'
import type { IdentityStore } from '../../src/identity/store.ts'
import type { Identity } from '../../src/model/identity.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { DAY, MINUTE, SECOND } from '../../src/model/time.ts'
import * as runtimeFiles from '../../src/runtime/files.ts'
import { failure, FakeKubernetes } from '../fake-kubernetes.ts'
import { FakeCompass } from './fake-compass.ts'
import { keyA, keyB, keyC, makeIdentity, NOW } from './fixtures.ts'

const base = fs.mkdtempSync(join(tmpdir(), 'agent-crash-'))
afterAll(() => fs.rmSync(base, { recursive: true, force: true }))
let places = 0
const place = (): string => join(base, String((places += 1)))

const call = { requestId: 'request-1', signal: new AbortController().signal }
const old = await makeIdentity({ key: keyA })
const token = (text: string): ParsedToken => ({
  token: new Secret(text),
  digest: text,
  form: 'plain',
})

/** What kills a process: nobody handles it. */
class Killed extends Error {}

/** Kills at the `at`-th boundary; from then on nothing that is wrapped does anything any more. */
class Killer {
  readonly at: number
  label = ''
  #step = 0
  #dead = false

  constructor(at: number) {
    this.at = at
  }

  get hasStruck(): boolean {
    return this.#dead
  }

  pass(label: string): void {
    if (!this.#dead && (this.#step += 1) !== this.at) return
    if (!this.#dead) this.label = label
    this.#dead = true
    throw new Killed(label)
  }

  /** The same object, with a boundary before and after each of its calls. */
  around<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const method: unknown = Reflect.get(object, name)
        if (typeof method !== 'function') return method
        return async (...given: unknown[]) => {
          const label = [String(name), stageOf(given[0])].filter(Boolean).join(' ')
          this.pass(`before ${label}`)
          const result: unknown = await Reflect.apply(method, object, given)
          this.pass(`after ${label}`)
          return result
        }
      },
    })
  }
}

function stageOf(value: unknown): string {
  if (typeof value !== 'object' || value === null || !('stage' in value)) return ''
  return String(value.stage)
}

/** Runs until the killer finds no boundary any more; `each` gets every killer. */
async function atEveryBoundary(each: (killer: Killer) => Promise<void>): Promise<number> {
  for (let at = 1; ; at += 1) {
    const killer = new Killer(at)
    await each(killer)
    if (!killer.hasStruck) return at - 1
    if (at > 1000) throw new Error('it never ends')
  }
}

function startEnrol(compass: FakeCompass, store: IdentityStore, text: string, killer?: Killer) {
  const wrap = <T extends object>(target: T): T => killer?.around(target) ?? target
  return enrol({
    store,
    token: token(text),
    connector: wrap(compass.connector),
    prove: wrap({ prove: compass.prove }).prove,
    now: () => compass.time,
    call,
    makeKey: () => Promise.resolve(keyB.privateKeyPem),
  })
}

function startRenew(
  compass: FakeCompass,
  store: IdentityStore,
  identity: Identity,
  killer?: Killer,
) {
  const wrap = <T extends object>(target: T): T => killer?.around(target) ?? target
  return renew({
    store,
    identity,
    connector: wrap(compass.connector),
    prove: wrap({ prove: compass.prove }).prove,
    now: () => compass.time,
    call,
    makeKey: () => Promise.resolve(keyC.privateKeyPem),
  })
}

async function killedOrDone(work: Promise<Identity>): Promise<void> {
  await work.catch((thrown: unknown) => {
    if (!(thrown instanceof Killed)) throw thrown
  })
}

/** Starts again and again with the same token while there is no identity; how it ends without a person. */
async function healAlone(
  compass: FakeCompass,
  store: IdentityStore,
): Promise<'enrolled' | 'named'> {
  compass.time += 30 * SECOND
  while (!(await store.load())) {
    try {
      await startEnrol(compass, store, 'token-1')
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown
      if (thrown.code === 'token_spent') return 'named'
      expect(thrown.code).toBe('token_refused')
      compass.time += thrown.retryAfter ?? MINUTE
    }
  }
  return 'enrolled'
}

const newCompass = (): FakeCompass => {
  const compass = new FakeCompass()
  for (const text of ['token-1', 'token-2']) compass.addToken(text)
  return compass
}

const STORES: [string, () => () => IdentityStore][] = [
  [
    'memory',
    () => {
      const store = openMemoryStore()
      return () => store
    },
  ],
  [
    'disk',
    () => {
      const directory = place()
      return () => openDiskStore({ directory })
    },
  ],
  [
    'Secret',
    () => {
      const kubernetes = new FakeKubernetes()
      return () => openSecret(kubernetes.another())
    },
  ],
]

const openSecret = (kubernetes: FakeKubernetes): IdentityStore =>
  openSecretStore({
    kubernetes,
    secret: { namespace: 'kyma-system', name: 'identity' },
    caSecret: { namespace: 'istio-system', name: 'ca' },
    warn: () => undefined,
    now: () => NOW,
  })

/** The two answers that nobody can have again (connector.md §6), until they are in the journal. */
const LOST = [
  'after configuration',
  'before savePending signing',
  'after sign',
  'before savePending signed',
]

setDefaultTimeout(60_000)

describe.each(STORES)('killed between two calls, with the %s store', (_name, place) => {
  test('an enrolment ends enrolled by itself unless an answer was lost, else a new token heals it', async () => {
    const named: string[] = []
    const boundaries = await atEveryBoundary(async (killer) => {
      const [compass, open] = [newCompass(), place()]
      await killedOrDone(startEnrol(compass, killer.around(open()), 'token-1', killer))
      if ((await healAlone(compass, open())) === 'named') {
        named.push(killer.label)
        await startEnrol(compass, open(), 'token-2')
      }
      expect((await open().load())?.identity.runtimeId).toBe('runtime-1')
      expect(compass.count('configuration token-1')).toBeLessThanOrEqual(6)
      expect(compass.count('sign token-1+')).toBeLessThanOrEqual(6)
    })
    expect(boundaries).toBeGreaterThanOrEqual(20)
    expect(named).toEqual(LOST)
  })

  test('an enrolment that replaces an identity leaves it usable until the new one is', async () => {
    await atEveryBoundary(async (killer) => {
      const [compass, open] = [newCompass(), place()]
      await open().promote(old)
      await killedOrDone(startEnrol(compass, killer.around(open()), 'token-1', killer))
      const loaded = await open().load()
      expect(loaded?.fallback).toBeUndefined()
      const isOld = loaded?.identity.fingerprint === old.fingerprint
      expect(isOld || loaded?.identity.key.equals(keyB.privateKeyPem)).toBe(true)
      if (isOld) expect(['after promote', 'before clearPending']).not.toContain(killer.label)
    })
  })

  test('a renewal ends renewed by itself, with at most two signing calls', async () => {
    const boundaries = await atEveryBoundary(async (killer) => {
      const [compass, open] = [newCompass(), place()]
      await open().promote(old)
      compass.time = NOW + 63 * DAY
      await killedOrDone(startRenew(compass, killer.around(open()), old, killer))
      const loaded = await open().load()
      expect(loaded?.fallback).toBeUndefined()
      if (loaded?.identity.fingerprint === old.fingerprint) await startRenew(compass, open(), old)
      const end = await open().load()
      expect(end?.identity.key.equals(keyC.privateKeyPem)).toBe(true)
      expect(compass.count('sign')).toBeLessThanOrEqual(2)
      expect(compass.count('configuration')).toBeLessThanOrEqual(2)
    })
    expect(boundaries).toBeGreaterThanOrEqual(18)
  })
})

const CHANGES = [
  'ensureDirectory',
  'removeFile',
  'removeTemporary',
  'removeTree',
  'rename',
  'replaceSymlink',
  'syncDirectory',
  'syncHandle',
  'writeAtomic',
  'writeNew',
] as const satisfies (keyof Files)[]

/** Files whose changes are boundaries; a write is also struck in its middle: half a file, or half a temporary one. */
function dyingFiles(killer: Killer): Files {
  const files: Files = { ...runtimeFiles }
  for (const name of CHANGES) {
    const real: (...given: never[]) => Promise<void> = files[name]
    const dying = async (path: string, ...rest: unknown[]): Promise<void> => {
      const label = `${name} ${basename(path)}`
      killer.pass(`before ${label}`)
      if (typeof rest[0] === 'string' && name.startsWith('write')) {
        const temporary = join(dirname(path), `.${basename(path)}.0123456789ab.tmp`)
        const half = rest[0].slice(0, rest[0].length / 2)
        try {
          killer.pass(`in ${label}`)
        } catch (thrown) {
          fs.writeFileSync(name === 'writeNew' ? path : temporary, half)
          throw thrown
        }
      }
      await Reflect.apply(real, files, [path, ...rest])
      killer.pass(`after ${label}`)
    }
    Object.assign(files, { [name]: dying })
  }
  return files
}

describe('killed at a change of a file', () => {
  test('a renewal leaves the old or the new identity, whole, and ends renewed by itself', async () => {
    const boundaries = await atEveryBoundary(async (killer) => {
      const [compass, directory] = [newCompass(), place()]
      await openDiskStore({ directory }).promote(old)
      compass.time = NOW + 63 * DAY
      const dying = openDiskStore({ directory }, dyingFiles(killer))
      await killedOrDone(startRenew(compass, dying, old))
      const store = openDiskStore({ directory })
      const loaded = await store.load()
      expect(loaded?.fallback).toBeUndefined()
      if (loaded?.identity.fingerprint === old.fingerprint) await startRenew(compass, store, old)
      expect((await store.load())?.identity.key.equals(keyC.privateKeyPem)).toBe(true)
      expect(compass.count('sign')).toBeLessThanOrEqual(2)
      await expectTidy(directory)
    })
    expect(boundaries).toBeGreaterThanOrEqual(45)
  })

  test('an enrolment leaves nothing or the new identity, whole, and ends enrolled or named', async () => {
    const boundaries = await atEveryBoundary(async (killer) => {
      const [compass, directory] = [newCompass(), place()]
      const dying = openDiskStore({ directory }, dyingFiles(killer))
      await killedOrDone(startEnrol(compass, dying, 'token-1'))
      const store = openDiskStore({ directory })
      const loaded = await store.load()
      // The first generation may be whole and not current yet; then it is used, with a problem that says so.
      expect(loaded?.identity.key.equals(keyB.privateKeyPem) ?? true).toBe(true)
      if ((await healAlone(compass, store)) === 'named') await startEnrol(compass, store, 'token-2')
      expect((await store.load())?.identity.runtimeId).toBe('runtime-1')
      await expectTidy(directory)
    })
    expect(boundaries).toBeGreaterThanOrEqual(45)
  })
})

/** After the check of the next start nothing is left of what was killed, and all of it is private. */
async function expectTidy(directory: string): Promise<void> {
  await openDiskStore({ directory }).check()
  const names = fs.readdirSync(join(directory, 'identity')).sort()
  const expected = /^(current|enrolment\.json|gen-\d{6})$/
  expect(names.filter((name) => !expected.test(name))).toEqual([])
  for (const name of fs.readdirSync(join(directory, 'identity'), {
    recursive: true,
    encoding: 'utf8',
  })) {
    const stat = fs.lstatSync(join(directory, 'identity', name))
    if (!stat.isSymbolicLink()) expect(stat.mode & 0o077).toBe(0)
  }
}

/** Files that fail as a full disk does, from the `from`-th change on for `length` changes. */
function failingFiles(from: number, length: number): { files: Files; struck: () => boolean } {
  let step = 0
  let struck = false
  const files: Files = { ...runtimeFiles }
  for (const name of CHANGES) {
    const real: (...given: never[]) => Promise<void> = files[name]
    const failing = async (...given: unknown[]): Promise<void> => {
      step += 1
      if (step >= from && step < from + length) {
        struck = true
        throw new AgentError(
          'disk_full',
          `Cannot write ${String(given[0])}: no space left on device`,
        )
      }
      await Reflect.apply(real, files, given)
    }
    Object.assign(files, { [name]: failing })
  }
  return { files, struck: () => struck }
}

describe.each([
  ['one change of a file', 1],
  ['all changes from one on', Number.POSITIVE_INFINITY],
])('a disk that refuses %s', (_what, length) => {
  test('leaves the old identity usable, names itself, and the renewal is done when it is over', async () => {
    for (let from = 1; ; from += 1) {
      const [compass, directory] = [newCompass(), place()]
      await openDiskStore({ directory }).promote(old)
      compass.time = NOW + 63 * DAY
      const { files, struck } = failingFiles(from, length)
      const failed = await startRenew(compass, openDiskStore({ directory }, files), old).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      if (!struck()) break
      if (failed !== undefined) expect(failed).toMatchObject({ code: 'disk_full' })
      const store = openDiskStore({ directory })
      const loaded = await store.load()
      expect(loaded?.fallback).toBeUndefined()
      if (loaded?.identity.fingerprint === old.fingerprint) await startRenew(compass, store, old)
      expect((await store.load())?.identity.key.equals(keyC.privateKeyPem)).toBe(true)
      await expectTidy(directory)
    }
  })

  test('costs an enrolment at most its token, and never more than that', async () => {
    for (let from = 1; ; from += 1) {
      const [compass, directory] = [newCompass(), place()]
      const { files, struck } = failingFiles(from, length)
      const failed = await startEnrol(compass, openDiskStore({ directory }, files), 'token-1').then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      if (!struck()) break
      if (failed !== undefined) expect(failed).toMatchObject({ code: 'disk_full' })
      const store = openDiskStore({ directory })
      if ((await healAlone(compass, store)) === 'named') await startEnrol(compass, store, 'token-2')
      expect((await store.load())?.identity.runtimeId).toBe('runtime-1')
      await expectTidy(directory)
    }
  })
})

/** An API that is struck before and after each of its calls. */
function dyingApi(killer: Killer, kubernetes: FakeKubernetes): FakeKubernetes {
  const dying = kubernetes.another()
  const label = ({ verb, ref }: { verb: string; ref: { name: string } }): string =>
    `${verb} ${ref.name}`
  dying.before = (call) => killer.pass(`before ${label(call)}`)
  dying.after = (call) => killer.pass(`after ${label(call)}`)
  return dying
}

describe('killed at a call of the Kubernetes API', () => {
  test('a renewal leaves the old or the new identity, whole, and ends renewed by itself', async () => {
    const boundaries = await atEveryBoundary(async (killer) => {
      const [compass, kubernetes] = [newCompass(), new FakeKubernetes()]
      await openSecret(kubernetes.another()).promote(old)
      compass.time = NOW + 63 * DAY
      await killedOrDone(startRenew(compass, openSecret(dyingApi(killer, kubernetes)), old))
      const store = openSecret(kubernetes.another())
      const loaded = await store.load()
      expect(loaded?.fallback).toBeUndefined()
      if (loaded?.identity.fingerprint === old.fingerprint) await startRenew(compass, store, old)
      expect((await store.load())?.identity.key.equals(keyC.privateKeyPem)).toBe(true)
      expect(compass.count('sign')).toBeLessThanOrEqual(2)
    })
    expect(boundaries).toBeGreaterThanOrEqual(24)
  })

  test('an enrolment leaves nothing or the new identity, whole, and ends enrolled or named', async () => {
    const named: string[] = []
    const boundaries = await atEveryBoundary(async (killer) => {
      const [compass, kubernetes] = [newCompass(), new FakeKubernetes()]
      await killedOrDone(startEnrol(compass, openSecret(dyingApi(killer, kubernetes)), 'token-1'))
      const store = openSecret(kubernetes.another())
      const loaded = await store.load()
      expect(loaded?.identity.key.equals(keyB.privateKeyPem) ?? true).toBe(true)
      if ((await healAlone(compass, store)) === 'named') {
        named.push(killer.label)
        await startEnrol(compass, store, 'token-2')
      }
      expect((await store.load())?.identity.runtimeId).toBe('runtime-1')
    })
    expect(boundaries).toBeGreaterThanOrEqual(28)
    // Where an answer was there and its write was not: the look before the write, or the write itself was not made.
    expect(new Set(named)).toEqual(
      new Set(['before get identity', 'after get identity', 'before patch identity']),
    )
  })
})

describe.each([
  ['refuses one call', 1, 'before'],
  ['loses one answer', 1, 'after'],
  ['is down from one call on for ten', 10, 'before'],
  ['loses ten answers', 10, 'after'],
] as const)('a Kubernetes API that %s', (_what, length, moment) => {
  /** The store of one process that lives on. */
  const failing = (kubernetes: FakeKubernetes, from: number) => {
    const client = kubernetes.another()
    let [step, struck] = [0, false]
    client[moment] = () => {
      step += 1
      if (step < from || step >= from + length) return
      struck = true
      throw failure('kubernetes_failed', 'it is down')
    }
    return { store: openSecret(client), struck: () => struck }
  }

  test('costs an enrolment not even its token, as long as the process lives', async () => {
    for (let from = 1; ; from += 1) {
      const [compass, kubernetes] = [newCompass(), new FakeKubernetes()]
      const { store, struck } = failing(kubernetes, from)
      for (let tries = 0; tries < 40; tries += 1) {
        const failed = await startEnrol(compass, store, 'token-1').then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
        if (failed === undefined) break
        // A token that was about to be sent counts as tried.
        const wait = failed instanceof AgentError ? failed.retryAfter : undefined
        compass.time += wait ?? 30 * SECOND
        if (wait === undefined) expect(failed).toMatchObject({ code: 'kubernetes_failed' })
      }
      expect((await openSecret(kubernetes.another()).load())?.identity.runtimeId).toBe('runtime-1')
      expect(compass.count('configuration')).toBe(1)
      expect(compass.count('sign')).toBe(1)
      if (!struck()) break
    }
  })

  test('leaves the old identity usable, names itself, and the renewal is done when it is over', async () => {
    for (let from = 1; ; from += 1) {
      const [compass, kubernetes] = [newCompass(), new FakeKubernetes()]
      await openSecret(kubernetes.another()).promote(old)
      compass.time = NOW + 63 * DAY
      const { store, struck } = failing(kubernetes, from)
      for (let tries = 0; tries < 40; tries += 1) {
        const failed = await startRenew(compass, store, old).then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
        expect((await openSecret(kubernetes.another()).load())?.fallback).toBeUndefined()
        if (failed === undefined) break
        expect(failed).toMatchObject({ code: 'kubernetes_failed', detail: { store: 'identity' } })
      }
      const end = await openSecret(kubernetes.another()).load()
      expect(end?.identity.key.equals(keyC.privateKeyPem)).toBe(true)
      // The end of the journal may be lost: then this process begins anew with what it has in memory.
      expect(compass.count('sign')).toBeLessThanOrEqual(2)
      if (!struck()) break
    }
  })
})
