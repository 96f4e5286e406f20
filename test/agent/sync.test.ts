import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { defaultRuntime, landscapeOf } from '../../src/devplane/landscape.ts'
import type { Landscape, LandscapeBundle } from '../../src/devplane/landscape.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { bindingName } from '../../src/model/names.ts'
import { openMemory } from '../../src/targets/memory.ts'
import { changedPaths, Disk } from './disk.ts'
import { INTERVAL, World } from './harness.ts'
import { openStores } from './stores.ts'

const small = (): Landscape => makeLandscape({ applications: 8, bundles: 3, apis: 2, events: 1 })
const PASS = ['applications+runtime']

let world: World
beforeAll(async () => {
  world = await World.open(small())
})
afterAll(() => world[Symbol.asyncDispose]())

describe('the first sync', () => {
  test('follows enrolment at once: no time passes between the token and the bindings', async () => {
    await using fresh = await World.open(small())
    using disk = new Disk(fresh)
    const token = await fresh.token()
    const began = fresh.clock.now()
    await using agent = await fresh.start({
      stores: disk.stores(),
      targets: [disk.target()],
      token,
      ownKeys: true,
    })
    await agent.atRest()
    expect(fresh.clock.now()).toBe(began)
    expect(fresh.requests()).toEqual(['configuration', 'sign', 'viewer', ...PASS])
    expect(agent.status).toMatchObject({ state: 'idle', runtimeId: fresh.runtimeId, problems: [] })
    expect(agent.status.applications.map(({ condition }) => condition)).toEqual(
      Array.from({ length: 8 }, () => 'synced' as const),
    )
    const types = [...disk.files().keys()].filter((path) => path.endsWith('/type'))
    expect(types).toHaveLength(24)
  })

  test('is reported step by step: connect, sync, idle', async () => {
    await using agent = await world.start({ token: await world.token() })
    await agent.atRest()
    const states = agent.statuses.map(({ state }) => state)
    expect(states.filter((state, i) => state !== states[i - 1])).toEqual([
      'connect',
      'sync',
      'idle',
    ])
  })

  test('puts a request id of this runtime on every request over mTLS, another one a pass', async () => {
    await using agent = await world.healthy()
    const mark = world.mark()
    await agent.sync()
    await agent.sync()
    const ids = world.plane.events(mark).map(({ requestId }) => requestId)
    expect(ids).toHaveLength(2)
    expect(new Set(ids).size).toBe(2)
    for (const id of ids) expect(id).toMatch(new RegExp(`^${world.runtimeId}_[0-9a-f-]{36}$`))
  })
})

describe('a pass over an unchanged landscape', () => {
  test('writes nothing to target, snapshot and state, and asks the Director once and the Connector never', async () => {
    const target = openMemory('memory')
    await using agent = await world.healthy({ targets: [target] })
    const { snapshots, states } = agent.stores
    const before = [target.writes, snapshots.saves, states.saves, agent.statuses.length]
    const mark = world.mark()
    for (let pass = 0; pass < 5; pass += 1) await world.clock.advance(INTERVAL)
    expect([target.writes, snapshots.saves, states.saves]).toEqual(before.slice(0, 3))
    expect(world.requests(mark)).toEqual([...PASS, ...PASS, ...PASS, ...PASS, ...PASS])
    expect(agent.status.targets[0]).toMatchObject({ changes: 0, failures: 0 })
  })

  test('leaves every file of output and state as it is: same inode, same time', async () => {
    using disk = new Disk(world)
    await using agent = await world.healthy({
      stores: { ...disk.stores(), identity: (await identityOnly()).identity },
      targets: [disk.target()],
    })
    const before = disk.traces()
    expect(before.length).toBeGreaterThan(100)
    for (let pass = 0; pass < 3; pass += 1) await world.clock.advance(INTERVAL)
    await agent.sync()
    expect(disk.traces()).toEqual(before)
  })

  test('happens once an interval, counted from the end of the last one', async () => {
    await using agent = await world.healthy({ settings: { interval: 10_000 } })
    const mark = world.mark()
    await world.clock.advance(9_999)
    expect(world.requests(mark)).toEqual([])
    await world.clock.advance(1)
    await agent.atRest()
    expect(world.requests(mark)).toEqual(PASS)
  })
})

describe('labels', () => {
  const labels = {
    runtime_eventServiceUrl: 'https://gateway.example',
    runtime_consoleUrl: 'https://console.example',
    team: { name: 'orders', on: ['call', 1] },
  }
  const sent = (mark: number): number => world.requests(mark).filter((r) => r === 'label').length
  const inDirector = (): Record<string, unknown> => world.plane.runtimes()[0]!.labels

  test('that differ are sent, each once, right after the first sync', async () => {
    const mark = world.mark()
    await using agent = await world.healthy({ settings: { labels } })
    expect(world.requests(mark).slice(-4)).toEqual([...PASS, 'label', 'label', 'label'])
    expect(inDirector()).toMatchObject(labels)
    expect(agent.status.labels.every(({ inStep }) => inStep)).toBe(true)
  })

  test('that the Director has already are not sent, not after a restart either, whatever the order of their members', async () => {
    const mark = world.mark()
    const team = { on: ['call', 1], name: 'orders' }
    await using agent = await world.healthy({ settings: { labels: { ...labels, team } } })
    for (let pass = 0; pass < 3; pass += 1) await agent.sync()
    expect(sent(mark)).toBe(0)
  })

  test('of which somebody changed one in the Director: that one is sent, no other', async () => {
    await using other = await world.healthy({ settings: { labels: { team: 'another' } } })
    await other.stop()
    const mark = world.mark()
    await using agent = await world.healthy({ settings: { labels } })
    expect(sent(mark)).toBe(1)
    expect(inDirector()).toMatchObject(labels)
    expect(agent.codes).toEqual([])
  })

  test('that nobody asked for stay as they are', async () => {
    await using agent = await world.healthy({ settings: { labels: { mine: 1 } } })
    await agent.stop()
    expect(inDirector()).toMatchObject({ ...labels, mine: 1 })
  })

  test('that the Director refuses are a problem of their own: applications go on, and once it takes them all is well', async () => {
    await world.plane.set({ error: { value: 22, operation: 'label' } })
    const target = openMemory('memory')
    await using agent = await world.healthy({
      targets: [target],
      settings: { labels: { fresh: 'value' } },
    })
    expect(agent.codes).toEqual(['label_refused'])
    expect(agent.status.sources[0]?.failures).toBe(0)
    expect(target.objects.size).toBe(32)
    expect(agent.status.labels).toEqual([{ key: 'fresh', wanted: 'value', inStep: false }])
    await world.plane.reset()
    await world.clock.advance(6 * 60_000)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(inDirector()).toMatchObject({ fresh: 'value' })
  })
})

describe('a change of the landscape is mirrored exactly:', () => {
  /** One agent on disk; gives the paths below `current` that a change of the landscape changed in one pass. */
  async function changed(change: (draft: Landscape) => void): Promise<{
    paths: string[]
    landscape: Landscape
    status: string[]
  }> {
    await using own = await World.open(small())
    using disk = new Disk(own)
    await using agent = await own.start({
      stores: disk.stores(),
      targets: [disk.target()],
      token: await own.token(),
    })
    await agent.atRest()
    const before = disk.files()
    const generations = disk.generations.length
    const { landscape } = own.plane
    own.edit(change)
    await agent.sync()
    expect(disk.generations.length).toBe(generations + 1)
    return { paths: changedPaths(before, disk.files()), landscape, status: agent.codes }
  }

  const folders = (paths: string[]): string[] => [
    ...new Set(paths.map((path) => /bindings\/([^/]*)/.exec(path)?.[1] ?? path)),
  ]

  test('removing one application removes its bindings, env and JSON files, and nothing else, in the same pass', async () => {
    const { paths, landscape } = await changed((draft) => void draft.applications.splice(3, 1))
    const gone = landscape.applications[3]!
    const names = gone.bundles.map((bundle) => nameOf(gone.name, bundle))
    for (const path of paths)
      expect(path).toMatch(new RegExp(`${names.join('|')}|mp-application-0003`))
    expect(paths.filter((path) => path.endsWith('/type'))).toHaveLength(3)
    expect(paths.filter((path) => path.startsWith('env/'))).toHaveLength(3)
    expect(paths.filter((path) => path.startsWith('applications/'))).toHaveLength(1)
  })

  test('rotating one password rewrites one binding', async () => {
    let name = ''
    const { paths } = await changed(({ applications }) => {
      const bundle = applications[2]!.bundles[0]!
      name = nameOf(applications[2]!.name, bundle)
      bundle.auth = {
        credential: { type: 'basic', username: 'user-new', password: 'rotated-password' },
      }
    })
    expect(paths).toEqual(
      [
        `bindings/${name}/password`,
        `bindings/${name}/ucl-revision`,
        `bindings/${name}/username`,
        `env/${name}.env`,
        `json/${name}.json`,
      ].sort(),
    )
  })

  test('a rename changes no name: the bindings of an application stay where they are', async () => {
    const { paths } = await changed(({ applications }) => {
      applications[1]!.name = 'Another Name'
    })
    expect(paths).toHaveLength(1)
    expect(paths[0]).toMatch(/^applications\/mp-application-0001-[0-9a-f]{8}\.json$/)
  })

  test('a bundle that comes is added beside the others', async () => {
    const { paths } = await changed(({ applications }) => {
      const { bundles } = applications[0]!
      bundles.push({ ...bundles[0]!, id: 'b0b0b0b0-0000-4000-8000-000000000001', name: 'Late' })
    })
    expect(folders(paths).filter((name) => /^ucl-/.test(name))).toEqual([
      expect.stringMatching(/^ucl-mp-application-0000-late-[0-9a-f]{8}$/),
    ])
  })

  test('a new API shows in its binding and in the file of its application, nowhere else', async () => {
    const { paths } = await changed(({ applications }) => {
      const { apis } = applications[4]!.bundles[1]!
      apis.push({ ...apis[0]!, id: 'a0a0a0a0-0000-4000-8000-000000000001', name: 'New API' })
    })
    expect(folders(paths.filter((path) => path.startsWith('bindings/')))).toHaveLength(1)
    expect(paths.filter((path) => path.startsWith('applications/'))).toHaveLength(1)
  })
})

test('450 applications, one with 450 bundles, one bundle with 450 APIs and 450 events: all of it arrives, none twice', async () => {
  const large = makeLandscape({
    applications: 450,
    bundles: 1,
    apis: 1,
    events: 1,
    largest: { bundles: 450, apis: 450, events: 450 },
  })
  await using own = await World.open(large)
  const target = openMemory('memory')
  await using agent = await own.start({ token: await own.token(), targets: [target] })
  await agent.atRest()
  expect(agent.codes).toEqual([])
  expect(agent.status.sources[0]).toMatchObject({ applications: 450, bundles: 450 + 449 })
  const keys = large.applications.flatMap(({ id, bundles }) => [
    `application/${id}`,
    ...bundles.map((bundle) => `binding/${bundle.id}`),
  ])
  expect([...target.objects.keys()].sort()).toEqual(keys.sort())
  const snapshot = (await agent.stores.snapshots.load()).snapshot!
  const first = snapshot.applications.find(({ id }) => id === large.applications[0]!.id)!
  const largest = first.bundles.find(({ id }) => id === large.applications[0]!.bundles[0]!.id)!
  const ids = (list: { id: string }[]): string[] => list.map(({ id }) => id).sort()
  expect(ids(largest.apis)).toEqual(ids(large.applications[0]!.bundles[0]!.apis))
  expect(ids(largest.events)).toEqual(ids(large.applications[0]!.bundles[0]!.events))
  const before = target.writes
  await agent.sync()
  expect([target.writes, agent.stores.snapshots.saves]).toEqual([before, 1])
})

test('a runtime in no formation gets nothing, says so, and needs no deletion', async () => {
  const landscape = landscapeOf(small().applications)
  landscape.runtimes = [{ ...defaultRuntime(), formations: [] }]
  await using own = await World.open(landscape)
  const target = openMemory('memory')
  await using agent = await own.start({ token: await own.token(), targets: [target] })
  await agent.atRest()
  expect(agent.status).toMatchObject({ state: 'idle', applications: [], problems: [] })
  expect(target.writes).toBe(0)
})

function nameOf(application: string, bundle: LandscapeBundle): string {
  return bindingName(`mp-${application}`, bundle)
}

/** A store with the shared identity. */
async function identityOnly(): Promise<{ identity: ReturnType<typeof openStores>['identity'] }> {
  return { identity: openStores(await world.identity()).identity }
}
