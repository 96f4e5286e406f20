import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Application, Auth } from '../../src/model/application.ts'
import { Secret } from '../../src/model/secret.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/model/snapshot-codec.ts'
import { retain } from '../../src/model/snapshot.ts'
import type { RetainOptions, Retained, Snapshot } from '../../src/model/snapshot.ts'
import { DAY, HOUR } from '../../src/model/time.ts'
import { application, bare, basic, bundle, headers, numbers, oauth, RUNTIME } from './samples.ts'

const start = Date.UTC(2026, 10, 21)
const options: RetainOptions = {
  now: start,
  grace: DAY,
  ordinary: { count: 5, percent: 20 },
  approved: new Set(),
}

function fetch(
  last: Snapshot | undefined,
  applications: Application[],
  some: Partial<RetainOptions> = {},
): Retained {
  const all = { ...options, ...some }
  return retain(last, { runtimeId: RUNTIME, applications, fetchedAt: all.now }, all)
}

/** Applications a0, a1, … of one bundle each; those named in `hidden` show no credentials. */
function apps(count: number, hidden: number[] = []): Application[] {
  return numbers(count).map((n) =>
    application(`a${n}`, { bundles: [hidden.includes(n) ? bare(`b${n}`) : bundle(`b${n}`)] }),
  )
}

const authOf = (snapshot: Snapshot, id: string): Auth | undefined =>
  snapshot.applications.flatMap(({ bundles }) => bundles).find((b) => b.id === id)?.auth

const passwordOf = (snapshot: Snapshot, id: string): string | undefined => {
  const credential = authOf(snapshot, id)?.credential
  return credential?.type === 'basic' ? credential.password.reveal() : undefined
}

test('the first fetch is taken as it is', () => {
  const { snapshot, changed, held, problems } = fetch(undefined, apps(2))
  expect<Application[]>(snapshot.applications).toEqual(apps(2))
  expect({ changed, held, problems }).toEqual({ changed: true, held: [], problems: [] })
})

test('a fetch that says the same keeps every object and the digest, whatever its time', () => {
  const first = fetch(undefined, apps(3)).snapshot
  const again = fetch(first, apps(3), { now: start + HOUR })
  expect(again.changed).toBe(false)
  expect(again.snapshot.applications).toBe(first.applications)
  expect(again.snapshot).toMatchObject({ digest: first.digest, fetchedAt: start + HOUR })
})

test('a fetch that differs in one application keeps the objects of the others', () => {
  const first = fetch(undefined, apps(3)).snapshot
  const next = apps(3)
  next[1]!.bundles[0]!.auth = basic('user', 'rotated')
  const { snapshot, changed } = fetch(first, next)
  expect(changed).toBe(true)
  expect(snapshot.digest).not.toBe(first.digest)
  expect(passwordOf(snapshot, 'b1')).toBe('rotated')
  expect(snapshot.applications.map((app, n) => app === first.applications[n])).toEqual([
    true,
    false,
    true,
  ])
})

test('the snapshot of another runtime is not carried on', () => {
  const first = { ...fetch(undefined, apps(3)).snapshot, runtimeId: 'another' }
  expect(authOf(fetch(first, apps(3, [0])).snapshot, 'b0')).toBeUndefined()
})

describe('a credential that vanishes', () => {
  const first = fetch(undefined, apps(4)).snapshot

  test('is kept and said to be missing since then', () => {
    const { snapshot, changed, held, problems } = fetch(first, apps(4, [2]))
    expect(passwordOf(snapshot, 'b2')).toBe('pass')
    expect(snapshot.applications[2]!.bundles[0]!.authMissingSince).toBe(start)
    expect({ changed, held }).toEqual({ changed: true, held: [] })
    expect(problems).toMatchObject([
      {
        owner: { application: 'a2', bundle: 'b2' },
        withheld: false,
        problem: { code: 'credentials_missing' },
      },
    ])
  })

  test('stays unchanged, over restarts too, until its grace ends', () => {
    const missing = fetch(first, apps(4, [2])).snapshot
    const stored = decodeSnapshot(encodeSnapshot(missing)).snapshot
    const later = fetch(stored, apps(4, [2]), { now: start + DAY - 1 })
    expect(later.changed).toBe(false)
    expect(passwordOf(later.snapshot, 'b2')).toBe('pass')
  })

  test('is removed when its grace ends, with a note', () => {
    const missing = fetch(first, apps(4, [2])).snapshot
    const ended = fetch(missing, apps(4, [2]), { now: start + DAY })
    expect(ended.snapshot.applications[2]!.bundles[0]).toEqual(bare('b2'))
    expect(ended.problems).toEqual([])
    expect(ended.history).toMatchObject([{ level: 'warn', code: 'credentials_missing' }])
    expect(fetch(ended.snapshot, apps(4, [2]), { now: start + 2 * DAY }).changed).toBe(false)
  })

  test('is taken at once when it comes back, with a note', () => {
    const missing = fetch(first, apps(4, [2])).snapshot
    const { snapshot, problems, history } = fetch(missing, apps(4))
    expect(snapshot.applications).toEqual(first.applications)
    expect(problems).toEqual([])
    expect(history).toMatchObject([{ level: 'info' }])
  })

  test('goes with its bundle, without grace', () => {
    const missing = fetch(first, apps(4, [3])).snapshot
    expect(fetch(missing, apps(3)).snapshot.applications).toHaveLength(3)
  })

  test('is another thing than headers that vanish beside one that is shown', () => {
    const both = { ...basic(), ...headers({ 'X-Key': ['secret'] }) }
    const shown = fetch(undefined, [
      application('a', { bundles: [bundle('b', { auth: both })] }),
      application('c'),
    ]).snapshot
    const { snapshot } = fetch(shown, [
      application('a', { bundles: [bundle('b')] }),
      application('c'),
    ])
    expect(authOf(snapshot, 'b')).toEqual(basic())
  })

  test('may change its type, which is no vanishing', () => {
    const next = apps(4)
    next[0]!.bundles[0]!.auth = oauth()
    expect(authOf(fetch(first, next).snapshot, 'b0')?.credential?.type).toBe('oauth')
  })
})

describe('all credentials vanishing at once', () => {
  const first = fetch(undefined, apps(4)).snapshot
  const none = apps(4, [0, 1, 2, 3])

  test('are held without end, and a person is told what to look at', () => {
    const { snapshot, held, problems, history } = fetch(first, none)
    expect(held).toMatchObject([
      { target: 'credentials', kind: 'credentials', bundles: 4, applications: 4, since: start },
    ])
    expect(held[0]!.reason).toContain('scope missing?')
    expect(problems).toEqual([])
    expect(history).toMatchObject([{ level: 'error', code: 'credentials_held' }])
    const later = fetch(snapshot, none, { now: start + 365 * DAY })
    expect(later.changed).toBe(false)
    expect(later.held).toEqual(held)
    expect(later.history).toEqual([])
    expect(passwordOf(later.snapshot, 'b3')).toBe('pass')
  })

  test('are removed when a person approves the hash, which is then spent', () => {
    const { snapshot, held } = fetch(first, none)
    const done = fetch(snapshot, none, { approved: new Set([held[0]!.hash]) })
    expect<Application[]>(done.snapshot.applications).toEqual(none)
    expect(done).toMatchObject({ held: [], spent: [held[0]!.hash] })
    expect(done.snapshot.credentialsHeld).toBeUndefined()
  })

  test('are held too when some vanished before', () => {
    const { snapshot } = fetch(first, apps(4, [0]), { now: start - 2 * HOUR })
    expect(fetch(snapshot, none).held).toMatchObject([{ kind: 'credentials', bundles: 4 }])
  })

  test('begin a new grace when some come back, as nothing was known of the others', () => {
    const { snapshot } = fetch(first, none)
    const back = fetch(snapshot, apps(4, [3]), { now: start + 10 * DAY })
    expect(passwordOf(back.snapshot, 'b3')).toBe('pass')
    expect(back.snapshot.applications[3]!.bundles[0]!.authMissingSince).toBe(start + 10 * DAY)
    expect(back.held).toEqual([])
    const ended = fetch(back.snapshot, apps(4, [3]), { now: start + 11 * DAY })
    expect(authOf(ended.snapshot, 'b3')).toBeUndefined()
  })

  test('are not those of bundles that never had any', () => {
    const some = fetch(undefined, apps(4, [0, 1])).snapshot
    expect(fetch(some, none).held).toMatchObject([{ bundles: 2 }])
  })
})

test('more graces that end at once than the ordinary limit wait for a person', () => {
  const first = fetch(undefined, apps(40)).snapshot
  const nine = numbers(9)
  const missing = fetch(first, apps(40, nine)).snapshot
  const ended = fetch(missing, apps(40, nine), { now: start + DAY })
  expect(ended.held).toMatchObject([{ target: 'credentials', kind: 'mass', bundles: 9 }])
  expect(passwordOf(ended.snapshot, 'b8')).toBe('pass')
  const hash = ended.held[0]!.hash
  const later = { now: start + 2 * DAY }
  expect(fetch(ended.snapshot, apps(40, nine), later).held).toEqual(ended.held)
  const done = fetch(ended.snapshot, apps(40, nine), { ...later, approved: new Set([hash]) })
  expect(done.spent).toEqual([hash])
  expect<Application[]>(done.snapshot.applications).toEqual(apps(40, nine))
})

test('for any landscape, no pass within the grace loses a credential of a bundle that is still there', () => {
  const shown = fc.array(fc.boolean(), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(shown, fc.array(shown, { maxLength: 8 }), (initial, passes) => {
      const of = (flags: boolean[]) =>
        apps(
          initial.length,
          numbers(initial.length).filter((n) => flags[n] !== true),
        )
      let { snapshot } = fetch(undefined, of(initial))
      for (const [index, flags] of passes.entries()) {
        const known = numbers(initial.length).filter((n) => authOf(snapshot, `b${n}`))
        ;({ snapshot } = fetch(snapshot, of(flags), { now: start + index * HOUR }))
        for (const n of known) expect(passwordOf(snapshot, `b${n}`)).toBe('pass')
      }
    }),
  )
})

describe('the stored form', () => {
  const full = application('a', {
    providerName: 'P',
    description: 'D',
    labels: { nested: { list: [1, null, 'x'] }, __proto__: undefined },
    systemNumber: '7',
    localTenantId: 't',
    authIds: ['x'],
    bundles: [
      bundle('b', {
        description: 'bundle',
        inputSchema: '{}',
        events: [{ id: 'e', name: 'E', version: { value: '1', deprecated: true } }],
        auth: {
          ...oauth(),
          ...headers({ 'X-Key': ['h1', 'h2'] }),
          queryParams: { q: [new Secret('v')] },
          csrf: { tokenUrl: 'https://csrf.example', ...basic('csrf-user', 'csrf-pass') },
        },
      }),
      bundle('c', { auth: { credential: { type: 'unknown', typename: 'NewData' } } }),
      bundle('d', {
        auth: {
          credential: {
            type: 'certificate_oauth',
            clientId: new Secret('id'),
            certificate: new Secret('PEM'),
            tokenUrl: 'https://tokens.example',
          },
        },
      }),
      bare('e'),
      bare('f', {
        instanceAuths: [
          { id: 'i1', condition: 'PENDING' },
          { id: 'i2', condition: 'SUCCEEDED', runtimeId: 'r', bindingId: 'binding' },
        ],
      }),
    ],
  })
  const { snapshot } = fetch(undefined, [full])
  const text = encodeSnapshot(snapshot)

  test('holds everything, credentials included', () => {
    const decoded = decodeSnapshot(text)
    expect(decoded.problem).toBeUndefined()
    expect(decoded.snapshot).toEqual(snapshot)
    expect(encodeSnapshot(decoded.snapshot!)).toBe(text)
    expect(fetch(decoded.snapshot, [full]).changed).toBe(false)
  })

  test('is refused when it is cut anywhere, without an error and without quoting it', () => {
    for (const length of numbers(text.length - 1)) {
      const { snapshot: none, problem } = decodeSnapshot(text.slice(0, length))
      expect(none).toBeUndefined()
      expect(problem?.code).toBe('snapshot_damaged')
      expect(problem?.message).not.toContain('client-secret')
    }
  })

  test('is refused when a value, a type or the version was changed', () => {
    const changes = [
      text.replace('client-secret', 'client-secreT'),
      text.replace('"type":"unknown"', '"type":"other"'),
      text.replace('"version":1}', '"version":2}'),
      text.replace('"authIds":["x"]', '"authIds":[7]'),
      'null',
      '[]',
      '{}',
    ]
    for (const changed of changes) {
      expect(changed).not.toBe(text)
      expect(decodeSnapshot(changed).problem?.code).toBe('snapshot_damaged')
    }
  })
})

test('whether names are normalised is kept over a restart, and a change of it is stored', () => {
  const fetched = { runtimeId: RUNTIME, applications: apps(1), fetchedAt: start }
  const plain = retain(undefined, fetched, options).snapshot
  const marked = retain(plain, { ...fetched, namesNormalized: true }, options)
  expect(marked.changed).toBe(true)
  const stored = decodeSnapshot(encodeSnapshot(marked.snapshot)).snapshot
  expect(stored?.namesNormalized).toBe(true)
  expect(retain(stored, { ...fetched, namesNormalized: true }, options).changed).toBe(false)
  expect(retain(stored, fetched, options).changed).toBe(true)
  expect(plain.digest).toBe(fetch(undefined, apps(1)).snapshot.digest)
})
