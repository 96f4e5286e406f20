import { describe, expect, test } from 'bun:test'
import { openDirector } from '../../src/clients/director.ts'
import type { FetchedApplications } from '../../src/clients/applications.ts'
import type { Application } from '../../src/model/application.ts'
import { aBundle, basic, landscape, serveDirector, times } from './mini-director.ts'
import type { Asked, MiniDirector, World } from './mini-director.ts'
import { aCall, failureOf, json, sessionTo } from './server.ts'
import type { Reply } from './server.ts'

const fetchFrom = (server: MiniDirector): Promise<FetchedApplications> =>
  openDirector(sessionTo(server)).applications('runtime-1', aCall())

const idsOf = ({ applications }: FetchedApplications): string[] => applications.map(({ id }) => id)

/** A Director that gives applications in pages of at most `most`, whatever is asked for. */
async function directorOf(
  world: World,
  most: number,
  before: (asked: Asked) => Reply | undefined = () => undefined,
): Promise<MiniDirector> {
  return serveDirector(world, (asked) => {
    asked.variables['first'] = Math.min(Number(asked.variables['first']), most)
    return before(asked)
  })
}

const LAST = { endCursor: '', hasNextPage: false }
const MORE = { endCursor: btoa('DpKtJ4j9jDq2'), hasNextPage: true }
const app = (id: string): unknown => ({
  id,
  name: id,
  bundles: { data: [], pageInfo: LAST, totalCount: 0 },
})
const TWO = { data: [app('a'), app('b')], pageInfo: LAST, totalCount: 2 }

describe('pages of applications', () => {
  test('205 applications in 3 pages come whole, sorted, with the labels of the runtime', async () => {
    await using server = await directorOf(landscape(205, 1, 2), 100)
    const fetched = await fetchFrom(server)
    expect(idsOf(fetched)).toEqual(times(205, (n) => `app-${n}`))
    expect(fetched.labels).toEqual({ isNormalized: 'true' })
    expect(fetched.requests).toBe(3)
    expect(fetched.applications[7]!.bundles[0]!.apis.map(({ id }) => id)).toEqual([
      'app-0007-bundle-0000-api-0000',
      'app-0007-bundle-0000-api-0001',
    ])
  })

  test('the labels of the runtime are asked for once, not with each page', async () => {
    await using server = await directorOf(landscape(205), 100)
    await fetchFrom(server)
    expect(server.asked.map(({ query }) => query.includes('runtime(id:'))).toEqual([
      true,
      false,
      false,
    ])
  })

  test('bytes are those of all bodies', async () => {
    await using server = await directorOf(landscape(3), 2)
    const fetched = await fetchFrom(server)
    expect(fetched.requests).toBe(2)
    expect(fetched.bytes).toBeGreaterThan(600)
    expect(fetched.bytes).toBeLessThan(2000)
  })

  test('an application removed behind the cursor is noticed by the count, and all is read again', async () => {
    const world = landscape(12)
    await using server = await directorOf(world, 5, ({ count }) => {
      if (count === 2) world.applications.shift()
      return undefined
    })
    const fetched = await fetchFrom(server)
    expect(idsOf(fetched)).toEqual(times(12, (n) => `app-${n}`).slice(1))
    expect(fetched.requests).toBe(2 + 3)
  })

  test('an application added before the cursor, seen twice, is noticed too', async () => {
    const world = landscape(12)
    await using server = await directorOf(world, 5, ({ count }) => {
      if (count === 2) world.applications.unshift({ id: 'app-', name: 'first', bundles: [] })
      return undefined
    })
    expect(idsOf(await fetchFrom(server))).toEqual(['app-', ...times(12, (n) => `app-${n}`)])
  })

  test('one removed and one added at once, so that the count stays, is noticed by the ids', async () => {
    const world = landscape(12)
    await using server = await directorOf(world, 5, ({ count }) => {
      if (count !== 2) return undefined
      world.applications.pop()
      world.applications.unshift({ id: 'app-', name: 'first', bundles: [] })
      return undefined
    })
    expect(idsOf(await fetchFrom(server))).toEqual(['app-', ...times(11, (n) => `app-${n}`)])
  })

  test('a list that never stands still is answer_incomplete after three repeats', async () => {
    const world = landscape(12)
    await using server = await directorOf(world, 5, ({ count }) => {
      if (count % 2 === 0) world.applications.shift()
      return undefined
    })
    const error = await failureOf(fetchFrom(server))
    expect(error).toMatchObject({ code: 'answer_incomplete', class: 'retry' })
    expect(error.message).toMatch(
      /^Cannot read the applications at 127\.0\.0\.1:\d+: the list moves: its size went from 9 to 8 while it was read$/,
    )
    expect(server.asked).toHaveLength(8)
  })

  test.each([
    ['fewer rows than it counts', { data: [], totalCount: 3 }],
    ['more rows than it counts', { totalCount: 1 }],
    ['the same row twice', { data: [app('a'), app('a')], totalCount: 2 }],
    [
      'a next page without a cursor',
      { pageInfo: { endCursor: '', hasNextPage: true }, totalCount: 3 },
    ],
    ['an empty page with a next one', { data: [], pageInfo: MORE, totalCount: 3 }],
    ['a next page although all rows came', { pageInfo: MORE }],
    ['a count beyond belief', { totalCount: 1_000_000_000, pageInfo: MORE }],
  ])('a page with %s is never a landscape', async (_what, odd) => {
    await using server = await serveDirector(landscape(0), () =>
      json({ data: { runtime: { labels: {} }, applicationsForRuntime: { ...TWO, ...odd } } }),
    )
    expect(await failureOf(fetchFrom(server))).toMatchObject({ code: 'answer_incomplete' })
    expect(server.asked.length).toBeLessThanOrEqual(8)
  })

  test('a runtime that the Director does not show is never an empty landscape', async () => {
    await using server = await serveDirector({ ...landscape(0), runtimeLabels: null })
    const error = await failureOf(fetchFrom(server))
    expect(error).toMatchObject({ code: 'identity_refused', class: 'retry' })
  })

  test('an empty page without an error is what it says: no applications', async () => {
    await using server = await serveDirector(landscape(0))
    expect(await fetchFrom(server)).toMatchObject({ applications: [], requests: 1 })
  })

  test('hostile names are data: long, emoji, NUL, paths', async () => {
    const world = landscape(4)
    const names = ['n'.repeat(300), '🦀 café \u202e', 'nul\0nul', '../../../etc/x']
    names.forEach((name, index) => (world.applications[index]!.name = name))
    await using server = await serveDirector(world)
    expect((await fetchFrom(server)).applications.map(({ name }) => name)).toEqual(names)
  })
})

describe('nested lists', () => {
  test('450 bundles of one application are read again from their start, in pages of 200', async () => {
    const world = landscape(3, 2)
    world.applications[1]!.bundles = times(450, (n) => aBundle(`bundle-${n}`))
    await using server = await serveDirector(world)
    const fetched = await fetchFrom(server)
    expect(fetched.applications.map(({ bundles }) => bundles.length)).toEqual([2, 450, 2])
    expect(fetched.applications[1]!.bundles.map(({ id }) => id)).toEqual(
      times(450, (n) => `bundle-${n}`),
    )
    expect(fetched.requests).toBe(1 + 3)
    expect(server.asked.slice(1).map(({ variables }) => variables)).toEqual([
      { applicationId: 'app-0001', first: 200 },
      { applicationId: 'app-0001', first: 200, after: btoa('DpKtJ4j9jDq200') },
      { applicationId: 'app-0001', first: 200, after: btoa('DpKtJ4j9jDq400') },
    ])
  })

  test('450 APIs and 450 events of one bundle come whole, sorted by id', async () => {
    const world = landscape(2, 2, 3)
    world.applications[0]!.bundles[1] = aBundle('big', 450, 450)
    await using server = await serveDirector(world)
    const fetched = await fetchFrom(server)
    const [big] = fetched.applications[0]!.bundles.filter(({ id }) => id === 'big')
    expect(big!.apis.map(({ id }) => id)).toEqual(times(450, (n) => `big-api-${n}`))
    expect(big!.events.map(({ id }) => id)).toEqual(times(450, (n) => `big-event-${n}`))
    expect(fetched.requests).toBe(1 + 3 + 3)
  })

  test('a big bundle beyond the first 200 bundles comes whole as well', async () => {
    const world = landscape(1)
    world.applications[0]!.bundles = times(250, (n) => aBundle(`bundle-${n}`))
    world.applications[0]!.bundles[249] = aBundle('bundle-0249', 201, 0)
    await using server = await serveDirector(world)
    const fetched = await fetchFrom(server)
    expect(fetched.applications[0]!.bundles[249]!.apis).toHaveLength(201)
    expect(fetched.requests).toBe(1 + 2 + 2)
  })

  test('credentials stay those of the list of the runtime; only bundles that it did not show take the other ones', async () => {
    const world = landscape(1)
    world.applications[0]!.bundles = times(201, (n) => aBundle(`bundle-${n}`))
    await using server = await serveDirector(world, ({ count }) => {
      // The list of applications showed bundles 1 to 200 (its order is another one), with their first credentials.
      if (count > 1) {
        for (const bundle of world.applications[0]!.bundles)
          bundle.defaultInstanceAuth = basic('later')
      }
      return undefined
    })
    const [application] = (await fetchFrom(server)).applications
    const users = application!.bundles.map(({ auth }) =>
      auth?.credential?.type === 'basic' ? auth.credential.username.reveal() : undefined,
    )
    expect(users).toEqual(['later', ...times(201, (n) => `bundle-${n}`).slice(1)])
  })

  test('credentials that the list of the runtime did not show stay unknown', async () => {
    const world = landscape(1)
    world.applications[0]!.bundles = times(201, (n) => ({
      ...aBundle(`bundle-${n}`),
      defaultInstanceAuth: null,
    }))
    await using server = await serveDirector(world, ({ count }) => {
      if (count > 1) world.applications[0]!.bundles[200]!.defaultInstanceAuth = basic('later')
      return undefined
    })
    const [application] = (await fetchFrom(server)).applications
    expect(application!.bundles.filter((bundle) => 'auth' in bundle)).toEqual([])
  })

  test('the name is that of the list of the runtime, not the raw one', async () => {
    const world = landscape(1)
    world.applications[0]!.bundles = times(201, (n) => aBundle(`bundle-${n}`))
    await using server = await serveDirector(world)
    expect((await fetchFrom(server)).applications[0]!.name).toBe('mp-app-0000')
  })

  test('an application that leaves while its bundles are read makes the fetch begin again', async () => {
    const world = landscape(2)
    world.applications[0]!.bundles = times(201, (n) => aBundle(`bundle-${n}`))
    await using server = await serveDirector(world, ({ count }) => {
      if (count === 2) world.applications.shift()
      return undefined
    })
    const fetched = await fetchFrom(server)
    expect(idsOf(fetched)).toEqual(['app-0001'])
    expect(fetched.requests).toBe(3)
  })

  test('a bundle that leaves while its APIs are read makes the fetch begin again', async () => {
    const world = landscape(1)
    world.applications[0]!.bundles = [aBundle('big', 201), aBundle('small', 1)]
    await using server = await serveDirector(world, ({ count }) => {
      if (count === 2) world.applications[0]!.bundles.shift()
      return undefined
    })
    const [application] = (await fetchFrom(server)).applications
    expect(application!.bundles.map(({ id }) => id)).toEqual(['small'])
  })

  test('bundles that come and go at once are noticed within one application', async () => {
    const world = landscape(1)
    const { bundles } = world.applications[0]!
    bundles.push(...times(450, (n) => aBundle(`bundle-${n}`)))
    await using server = await serveDirector(world, ({ count }) => {
      if (count === 3) bundles.shift()
      return undefined
    })
    const fetched = await fetchFrom(server)
    expect(fetched.applications[0]!.bundles).toHaveLength(449)
    expect(fetched.requests).toBe(1 + 2 + 1 + 3)
  })
})

describe('instance auths', () => {
  const world = landscape(1, 1)
  world.applications[0]!.bundles[0]!.instanceAuths = [
    {
      id: 'auth-1',
      context: '{"binding_id": "b-1", "instance_id": "i-1"}',
      runtimeID: 'runtime-1',
      status: { condition: 'SUCCEEDED' },
    },
    { id: 'auth-2', context: 'no JSON', status: { condition: 'PENDING' } },
  ]

  test('are read when asked for, with the binding that a broker made', async () => {
    await using server = await serveDirector(world)
    const director = openDirector({ ...sessionTo(server), instanceAuths: true })
    const { applications } = await director.applications('runtime-1', aCall())
    expect(applications[0]!.bundles[0]!.instanceAuths).toEqual([
      { id: 'auth-1', runtimeId: 'runtime-1', bindingId: 'b-1', condition: 'SUCCEEDED' },
      { id: 'auth-2', condition: 'PENDING' },
    ])
  })

  test('are not asked for otherwise', async () => {
    await using server = await serveDirector(world)
    const fetched = await fetchFrom(server)
    expect(fetched.applications[0]!.bundles[0]).not.toHaveProperty('instanceAuths')
    expect(server.asked[0]!.query).not.toContain('instanceAuths')
  })
})

describe('the size of pages', () => {
  const sizes = (server: MiniDirector): unknown[] =>
    server.asked.map(({ variables }) => variables['first'])
  const error28 = json({
    errors: [{ message: 'operation has timed out', extensions: { error_code: 28 } }],
    data: null,
  })

  test('is halved when the Director times out, from the same place, and stays so', async () => {
    await using server = await serveDirector(landscape(205), ({ variables }) =>
      Number(variables['first']) > 50 ? error28 : undefined,
    )
    const director = openDirector(sessionTo(server))
    const fetched = await director.applications('runtime-1', aCall())
    expect(idsOf(fetched)).toHaveLength(205)
    expect(sizes(server)).toEqual([200, 100, 50, 50, 50, 50, 50])
    await director.applications('runtime-1', aCall())
    expect(sizes(server).slice(7)).toEqual([50, 50, 50, 50, 50])
  })

  test('is halved when no answer comes in time', async () => {
    await using server = await serveDirector(landscape(120), ({ variables }) =>
      Number(variables['first']) > 100 ? new Promise(() => undefined) : undefined,
    )
    const director = openDirector(sessionTo(server, { limits: { time: 500 } }))
    expect(idsOf(await director.applications('runtime-1', aCall()))).toHaveLength(120)
    expect(sizes(server)).toEqual([200, 100, 100])
  })

  test('does not sink below 25: a Director that is always too slow is timed_out', async () => {
    await using server = await serveDirector(landscape(205), () => error28)
    expect(await failureOf(fetchFrom(server))).toMatchObject({ code: 'timed_out', class: 'retry' })
    expect(sizes(server)).toEqual([200, 100, 50, 25])
  })

  test('grows again after 20 fetches without trouble', async () => {
    let slow = true
    await using server = await serveDirector(landscape(3), ({ variables }) =>
      slow && Number(variables['first']) > 100 ? error28 : undefined,
    )
    const director = openDirector(sessionTo(server))
    for (let pass = 0; pass < 20; pass++) await director.applications('runtime-1', aCall())
    slow = false
    await director.applications('runtime-1', aCall())
    expect(sizes(server)).toEqual([200, ...Array<number>(20).fill(100), 200])
  })

  test('is learned: a first page that is far too large is given up, those of the next fetch stay below 4 MB', async () => {
    const world = landscape(100)
    for (const application of world.applications) application.name = 'n'.repeat(100_000)
    await using server = await serveDirector(world)
    const director = openDirector(sessionTo(server))
    const first = await director.applications('runtime-1', aCall())
    expect(first.applications).toHaveLength(100)
    // 10 MB in one page are given up; a page of 50 rows then tells what a row weighs.
    expect(sizes(server)).toEqual([200, 50, 39, 39])
    const fetched = await director.applications('runtime-1', aCall())
    expect(fetched.applications).toHaveLength(100)
    expect(sizes(server).slice(4)).toEqual([39, 39, 39])
  })

  test('shrinks when an answer is larger than may be read, down to a single application', async () => {
    const world = landscape(3)
    for (const application of world.applications) application.name = 'n'.repeat(3000)
    await using server = await serveDirector(world)
    const director = openDirector(sessionTo(server, { limits: { bytes: 4000 } }))
    expect((await director.applications('runtime-1', aCall())).applications).toHaveLength(3)
    expect(sizes(server).slice(-3)).toEqual([1, 1, 1])
    world.applications[0]!.name = 'n'.repeat(5000)
    expect(await failureOf(director.applications('runtime-1', aCall()))).toMatchObject({
      code: 'answer_too_large',
      class: 'operator',
    })
  })
})

test('an abort ends the fetch with the reason of the abort', async () => {
  const stop = new AbortController()
  const reason = new Error('asked to stop')
  await using server = await serveDirector(landscape(205), ({ count }) => {
    if (count === 1) return undefined
    stop.abort(reason)
    return new Promise(() => undefined)
  })
  const fetching = openDirector(sessionTo(server)).applications('runtime-1', aCall(stop.signal))
  expect(await fetching.catch((thrown: unknown) => thrown)).toBe(reason)
})

describe('the same page again', () => {
  test('gives the same objects, and one that differs new ones', async () => {
    const world = landscape(5, 1)
    await using server = await directorOf(world, 3)
    const director = openDirector(sessionTo(server))
    const first = await director.applications('runtime-1', aCall())
    const again = await director.applications('runtime-1', aCall())
    expect(again).toEqual(first)
    expect(again.applications.every((one, index) => one === first.applications[index])).toBeTrue()
    world.applications[4]!.name = 'renamed'
    const changed = await director.applications('runtime-1', aCall())
    expect(changed.labels).toEqual(first.labels)
    expect(changed.applications[4]!.name).toBe('renamed')
    expect(first.applications[4]!.name).not.toBe('renamed')
    expect(changed.applications.map((one, index) => one === first.applications[index])).toEqual(
      [true, true, true, false, false], // two pages
    )
    expect(server.asked).toHaveLength(6)
  })

  test('or another one: an application that is the same as in the last snapshot is that object', async () => {
    const world = landscape(5, 1)
    await using server = await directorOf(world, 3)
    const call = () => director.applications('runtime-1', aCall(), last)
    let last: Application[] = []
    let director = openDirector(sessionTo(server))
    last = (await call()).applications
    world.applications[1]!.name = 'renamed'
    world.applications.unshift(
      ...landscape(1).applications.map((one) => ({ ...one, id: 'app-new' })),
    )
    // As after a restart.
    director = openDirector(sessionTo(server))
    const { applications } = await call()
    expect(applications.filter((one) => last.includes(one)).map(({ id }) => id)).toEqual(
      last.filter((_, index) => index !== 1).map(({ id }) => id),
    )
    expect((await call()).applications).toEqual(applications)
  })

  test('is read again when it took further answers, which may differ', async () => {
    const world = landscape(5, 2)
    world.applications[0]!.bundles = times(201, (n) => aBundle(`bundle-${n}`))
    await using server = await serveDirector(world, (asked) => {
      if ('runtimeId' in asked.variables) asked.variables['first'] = 3
      return undefined
    })
    const director = openDirector(sessionTo(server))
    const first = await director.applications('runtime-1', aCall())
    world.applications[0]!.bundles[0]!.name = 'only the second answer shows it'
    const again = await director.applications('runtime-1', aCall())
    expect(again.applications[0]!.bundles.map(({ name }) => name)).toContain(
      'only the second answer shows it',
    )
    expect(again.applications[4]).toBe(first.applications[4])
    expect(again.requests).toBe(first.requests)
  })

  test('for another runtime is read again', async () => {
    await using server = await serveDirector(landscape(3))
    const director = openDirector(sessionTo(server))
    const first = await director.applications('runtime-1', aCall())
    const other = await director.applications('runtime-2', aCall())
    expect(other.applications[0]).not.toBe(first.applications[0]!)
  })
})
