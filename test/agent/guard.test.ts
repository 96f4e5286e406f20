import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import type { Landscape } from '../../src/devplane/landscape.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import type { Held } from '../../src/model/guard.ts'
import type { Status } from '../../src/model/status.ts'
import type { ObservedObject } from '../../src/model/target.ts'
import { bindingName } from '../../src/model/names.ts'
import { HOUR, MINUTE } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import type { MemoryTarget } from '../../src/targets/memory.ts'
import { changedPaths, Disk } from './disk.ts'
import { INTERVAL, World } from './harness.ts'
import type { AgentOptions, TestAgent } from './harness.ts'
import { openStores } from './stores.ts'
import type { Stores } from './stores.ts'

/* What the Director says completely and without an error may still be wrong: an empty list, credentials that are null. */

const SCOPES_WITHOUT_CREDENTIALS = ['runtime:read', 'application:read', 'runtime.auths:read']

let many: World
let few: World
beforeAll(async () => {
  many = await World.open(makeLandscape({ applications: 12, bundles: 2, apis: 1, events: 0 }))
  few = await World.open(makeLandscape({ applications: 4, bundles: 2, apis: 1, events: 0 }))
})
afterAll(async () => {
  await many[Symbol.asyncDispose]()
  await few[Symbol.asyncDispose]()
})

/** Lets go of all knobs and changes after each test. */
const original = new Map<World, Landscape>()
afterEach(async () => {
  for (const [world, landscape] of original) {
    await world.plane.reset()
    world.plane.edit((draft) => void Object.assign(draft, landscape))
  }
})

type Scene = AsyncDisposable & {
  agent: TestAgent
  target: MemoryTarget
  before: Map<string, ObservedObject>
}

async function inStep(world: World, options: AgentOptions = {}): Promise<Scene> {
  original.set(world, world.plane.landscape)
  const target = openMemory('memory')
  const agent = await world.healthy({ targets: [target], ...options })
  const before = new Map(target.objects)
  return { agent, target, before, [Symbol.asyncDispose]: () => agent.stop() }
}

function heldBy({ targets }: Status): Held[] {
  return targets.flatMap(({ held = [] }) => held)
}

function keys(target: MemoryTarget): string[] {
  return [...target.objects.keys()].sort()
}

describe('an empty page for more than five applications', () => {
  test('is held for a person, however often it comes, and nothing else is wrong', async () => {
    await using scene = await inStep(many)
    const { agent, target, before } = scene
    await many.plane.set({ emptyPage: true })
    for (let pass = 0; pass < 4; pass += 1) await agent.sync()
    await many.clock.advance(25 * MINUTE)
    await many.clock.jump(72 * HOUR)
    await agent.atRest()
    expect(target.objects).toEqual(before)
    expect(agent.codes).toEqual(['deletions_held'])
    expect(agent.status.problems[0]).toMatchObject({ turn: 'operator', subject: 'memory' })
    const [held] = heldBy(agent.status)
    expect(held).toMatchObject({ kind: 'mass', applications: 12, bundles: 24 })
    expect(agent.status.problems[0]?.hint).toContain(`agent approve ${held!.hash}`)
  })

  test('that was a mistake heals by itself', async () => {
    await using scene = await inStep(many)
    const { agent, target, before } = scene
    await many.plane.set({ emptyPage: true })
    await agent.sync()
    await many.plane.reset()
    await agent.sync()
    expect(agent.codes).toEqual([])
    expect(heldBy(agent.status)).toEqual([])
    expect([target.objects, target.writes]).toEqual([before, before.size])
  })

  test('is released by the approval of its hash, once, and by no other', async () => {
    await using scene = await inStep(many)
    const { agent, target, before } = scene
    await many.plane.set({ emptyPage: true })
    await agent.sync()
    const { hash } = heldBy(agent.status)[0]!
    const other = await agent.ask({ kind: 'approve', hash: '000000000000' })
    expect(other.refused?.code).toBe('approval_unknown')
    expect(target.objects).toEqual(before)
    const { status, refused } = await agent.ask({ kind: 'approve', hash })
    expect(refused).toBeUndefined()
    expect(target.objects.size).toBe(0)
    expect([status.problems, heldBy(status)]).toEqual([[], []])
    // Spent: the same set that comes back and goes again is held again.
    await many.plane.reset()
    await agent.sync()
    expect(target.objects).toEqual(before)
    await many.plane.set({ emptyPage: true })
    await agent.sync()
    expect(heldBy(agent.status)[0]?.hash).toBe(hash)
    expect(target.objects).toEqual(before)
  })

  test('is released in exactly the set that was approved: when another one vanishes, that is held', async () => {
    await using scene = await inStep(many)
    const { agent, target } = scene
    many.edit((draft) => void draft.applications.splice(0, 8))
    await agent.sync()
    const { hash } = heldBy(agent.status)[0]!
    const before = keys(target)
    many.edit((draft) => void draft.applications.splice(0, 1))
    await agent.ask({ kind: 'approve', hash })
    expect(keys(target)).toEqual(before)
    expect(heldBy(agent.status)[0]).toMatchObject({ applications: 9 })
    expect(heldBy(agent.status)[0]?.hash).not.toBe(hash)
  })

  test('does not hold up what is new or changed', async () => {
    await using scene = await inStep(many)
    const { agent, target } = scene
    const count = target.objects.size
    many.edit(({ applications }) => {
      applications.splice(0, 8)
      applications[0]!.bundles[0]!.auth = { headers: { key: ['another-value'] } }
      applications.push({
        ...applications[0]!,
        id: '11111111-0000-4000-8000-000000000000',
        name: 'New',
        bundles: [],
      })
    })
    await agent.sync()
    expect(heldBy(agent.status)[0]).toMatchObject({ kind: 'mass', applications: 8 })
    expect(agent.status.targets[0]).toMatchObject({ objects: count + 1, changes: 2 })
  })

  test('is held by a restarted agent too, under the same hash', async () => {
    const stores = openStores(await many.identity())
    await using scene = await inStep(many, { stores })
    const { agent, target, before } = scene
    await many.plane.set({ emptyPage: true })
    await agent.sync()
    const { hash } = heldBy(agent.status)[0]!
    await agent.stop()
    await using again = await many.healthy({ stores, targets: [target] })
    expect(heldBy(again.status)[0]?.hash).toBe(hash)
    expect(target.objects).toEqual(before)
    await again.ask({ kind: 'approve', hash })
    expect(target.objects.size).toBe(0)
  })

  test('is approved while an agent that has just begun still looks, and a hash that nobody knows is refused then', async () => {
    const stores = openStores(await many.identity())
    await using scene = await inStep(many, { stores })
    const { agent, target } = scene
    await many.plane.set({ emptyPage: true })
    await agent.sync()
    const { hash } = heldBy(agent.status)[0]!
    await agent.stop()
    await using again = await many.start({ stores, targets: [target] })
    const known = again.ask({ kind: 'approve', hash })
    const unknown = await again.ask({ kind: 'approve', hash: '000000000000' })
    expect(unknown.refused?.code).toBe('approval_unknown')
    expect((await known).refused).toBeUndefined()
    expect(target.objects.size).toBe(0)
  })

  test('waits for its fetch after the approval, over a restart if need be, for an hour at most', async () => {
    const stores = openStores(await many.identity())
    await using scene = await inStep(many, { stores })
    const { agent, target, before } = scene
    await many.plane.set({ emptyPage: true })
    await agent.sync()
    const { hash } = heldBy(agent.status)[0]!
    const failing = target.apply
    target.apply = () => Promise.reject(new Error('the target is dead'))
    await agent.ask({ kind: 'approve', hash })
    expect(target.objects).toEqual(before)
    await agent.stop()
    target.apply = failing
    await using again = await many.healthy({ stores, targets: [target] })
    expect(target.objects.size).toBe(0)
    expect(again.codes).toEqual([])
  })

  test('is void an hour after the approval', async () => {
    await using scene = await inStep(many)
    const { agent, target, before } = scene
    await many.plane.set({ emptyPage: true })
    await agent.sync()
    const { hash } = heldBy(agent.status)[0]!
    const apply = target.apply
    target.apply = () => Promise.reject(new Error('the target is dead'))
    await agent.ask({ kind: 'approve', hash })
    target.apply = apply
    await many.clock.jump(61 * MINUTE)
    await agent.sync()
    expect(target.objects).toEqual(before)
    expect(heldBy(agent.status)[0]?.hash).toBe(hash)
  })

  test('goes after the time that the operator chose, or at once where the guard is off', async () => {
    const guard = { ordinary: { count: 5, percent: 20 }, credentialsGrace: 24 * HOUR }
    const after = { settings: { guard: { ...guard, massDeletion: { after: 2 * HOUR } } } }
    await using scene = await inStep(many, after)
    const { agent, target, before } = scene
    await many.plane.set({ emptyPage: true })
    await agent.sync()
    await many.clock.jump(119 * MINUTE)
    expect(target.objects).toEqual(before)
    await many.clock.jump(4 * MINUTE)
    expect(target.objects.size).toBe(0)
    await agent.stop()
    await many.plane.reset()
    const off = { settings: { guard: { ...guard, massDeletion: 'off' as const } } }
    await using unguarded = await inStep(many, off)
    await many.plane.set({ emptyPage: true })
    await unguarded.agent.sync()
    expect(unguarded.target.objects.size).toBe(0)
  })
})

describe('an empty page for at most five applications', () => {
  test('is done when three fetches over ten minutes agree, not before', async () => {
    await using scene = await inStep(few)
    const { agent, target, before } = scene
    await few.plane.set({ emptyPage: true })
    await agent.sync()
    expect(agent.codes).toEqual(['deletions_waiting'])
    expect(heldBy(agent.status)[0]).toMatchObject({ kind: 'last', applications: 4 })
    // Many fetches within ten minutes are not enough.
    for (let pass = 0; pass < 5; pass += 1) await agent.sync()
    await few.clock.advance(9 * MINUTE)
    await agent.atRest()
    expect(target.objects).toEqual(before)
    expect(heldBy(agent.status)[0]?.reason).toMatch(
      /^4 of 4 applications of memory would go, the last ones: 3 of 3 fetches agree, over [89]m(\d+s)? of 10m$/,
    )
    await few.clock.advance(2 * INTERVAL)
    await agent.atRest()
    expect(target.objects.size).toBe(0)
    expect(agent.codes).toEqual([])
  })

  test('is not done after ten minutes in which only two fetches were made', async () => {
    await using scene = await inStep(few, { settings: { interval: 11 * MINUTE } })
    const { agent, target, before } = scene
    await few.plane.set({ emptyPage: true })
    await agent.sync()
    await few.clock.advance(12 * MINUTE)
    await agent.atRest()
    expect(target.objects).toEqual(before)
    await few.clock.advance(11 * MINUTE)
    await agent.atRest()
    expect(target.objects.size).toBe(0)
  })

  test('is counted anew when the list was back in between', async () => {
    await using scene = await inStep(few)
    const { agent, target, before } = scene
    await few.plane.set({ emptyPage: true })
    await few.clock.advance(9 * MINUTE + 2 * INTERVAL - 30_000)
    await few.plane.reset()
    await agent.sync()
    await few.plane.set({ emptyPage: true })
    await few.clock.advance(9 * MINUTE)
    await agent.atRest()
    expect(target.objects).toEqual(before)
  })

  test('goes on counting over a restart', async () => {
    const stores = openStores(await few.identity())
    await using scene = await inStep(few, { stores })
    const { agent, target, before } = scene
    await few.plane.set({ emptyPage: true })
    await agent.sync()
    await few.clock.advance(INTERVAL)
    await agent.stop()
    few.clock.set(few.clock.now() + 8 * MINUTE)
    expect(target.objects).toEqual(before)
    await using again = await few.healthy({ stores, targets: [target] })
    expect(target.objects.size).toBe(0)
    expect(again.codes).toEqual([])
  })

  test('is not counted while the Director is down', async () => {
    await using scene = await inStep(few)
    const { agent, target, before } = scene
    await few.plane.set({ emptyPage: true })
    await agent.sync()
    await few.plane.set({ directorDown: true })
    await few.clock.advance(40 * MINUTE)
    await agent.atRest()
    expect(target.objects).toEqual(before)
    expect(agent.codes).toContain('deletions_waiting')
  })
})

describe('credentials that are null', () => {
  /** An agent that writes files: what readers see of bindings is what counts. */
  type Shown = AsyncDisposable & {
    agent: TestAgent
    disk: Disk
    bindings: () => Map<string, string>
  }

  async function shown(stores?: Stores): Promise<Shown> {
    original.set(many, many.plane.landscape)
    const disk = new Disk(many)
    const kept = stores ?? openStores(await many.identity())
    const agent = await many.healthy({ stores: kept, targets: [disk.target()] })
    return {
      agent,
      disk,
      bindings: () => {
        const files = [...disk.files()].filter(([path]) => !path.startsWith('applications/'))
        return new Map(files)
      },
      async [Symbol.asyncDispose]() {
        await agent.stop()
        disk[Symbol.dispose]()
      },
    }
  }

  test.each([
    ['all at once', { nullCredentials: true }],
    ['as the scope is missing', { scopes: { value: SCOPES_WITHOUT_CREDENTIALS } }],
  ] as const)('%s are held without end and come back by themselves', async (_, knobs) => {
    await using scene = await shown()
    const { agent, bindings } = scene
    const before = bindings()
    await many.plane.set(knobs)
    await agent.sync()
    await many.clock.jump(100 * HOUR)
    await agent.sync()
    expect(agent.codes).toEqual(['credentials_held'])
    expect(agent.status.problems[0]).toMatchObject({ turn: 'compass' })
    expect(agent.status.problems[0]?.message).toContain('scope missing?')
    expect(bindings()).toEqual(before)
    await many.plane.reset()
    await agent.sync()
    expect(agent.codes).toEqual([])
    expect(bindings()).toEqual(before)
  })

  test('all at once are held after a restart as before', async () => {
    const stores = openStores(await many.identity())
    await using scene = await shown(stores)
    const before = scene.bindings()
    await many.plane.set({ nullCredentials: true })
    await scene.agent.sync()
    await scene.agent.stop()
    many.clock.set(many.clock.now() + 30 * HOUR)
    await using again = await many.healthy({ stores, targets: [scene.disk.target()] })
    expect(again.codes).toEqual(['credentials_held'])
    expect(scene.bindings()).toEqual(before)
  })

  test('all at once go when a person approves, and only the credentials', async () => {
    await using scene = await shown()
    const { agent, bindings } = scene
    const before = bindings()
    await many.plane.set({ nullCredentials: true })
    await agent.sync()
    const hash = /agent approve ([0-9a-f]{12})/.exec(agent.status.problems[0]!.hint)![1]!
    await agent.ask({ kind: 'approve', hash })
    expect(agent.codes).toEqual([])
    const types = [...bindings()].filter(([path]) => path.endsWith('/credentials-type'))
    expect(types.map(([, text]) => text)).toEqual(Array<string>(24).fill('no_auth'))
    const gone = [...before.keys()].filter((path) => !bindings().has(path))
    expect(new Set(gone.map((path) => path.split('/').at(-1)))).toEqual(
      new Set(['username', 'password', 'client-id', 'client-secret', 'token-uri']),
    )
  })

  test('for one bundle are kept for the grace of a day, then removed; the others stay', async () => {
    await using scene = await shown()
    const { agent, bindings } = scene
    const before = bindings()
    const application = many.plane.landscape.applications[5]!
    const bundle = application.bundles[1]!
    await many.plane.set({ nullCredentials: [bundle.id] })
    await agent.sync()
    expect(agent.codes).toEqual(['credentials_missing'])
    const own = agent.status.applications.find(({ id }) => id === application.id)
    expect(own?.condition).toBe('stale')
    await many.clock.jump(23 * HOUR + 57 * MINUTE)
    await agent.sync()
    expect(agent.codes).toEqual(['credentials_missing'])
    expect(bindings()).toEqual(before)
    await many.clock.jump(4 * MINUTE)
    await agent.sync()
    expect(agent.codes).toEqual([])
    const name = bindingName(`mp-${application.name}`, bundle)
    const changed = changedPaths(before, bindings())
    expect(changed).toContain(`bindings/${name}/client-secret`)
    for (const path of changed) expect(path).toContain(name)
    expect(agent.status.history.map(({ message }) => message).join('\n')).toMatch(
      /Removed the credentials of .*Bundle 001: Compass has not shown them for/,
    )
  })

  test('for one bundle that come back within the grace change nothing', async () => {
    await using scene = await shown()
    const { agent, bindings, disk } = scene
    const before = disk.files()
    const bundle = many.plane.landscape.applications[5]!.bundles[1]!
    await many.plane.set({ nullCredentials: [bundle.id] })
    await agent.sync()
    expect(agent.codes).toEqual(['credentials_missing'])
    expect(bindings()).toEqual(new Map([...before].filter(([path]) => !/^applications/.test(path))))
    await many.plane.reset()
    await agent.sync()
    expect(agent.codes).toEqual([])
    expect(disk.files()).toEqual(before)
  })

  test('for more than the ordinary number of bundles are held for a person when their grace ends', async () => {
    await using scene = await shown()
    const { agent, bindings } = scene
    const before = bindings()
    await many.plane.set({ nullCredentials: ['Bundle 000'] })
    await agent.sync()
    await many.clock.jump(25 * HOUR)
    await agent.sync()
    expect(agent.codes).toContain('deletions_held')
    expect(bindings()).toEqual(before)
    const problem = agent.status.problems.find(({ code }) => code === 'deletions_held')
    const hash = /agent approve ([0-9a-f]{12})/.exec(problem!.hint)![1]!
    await agent.ask({ kind: 'approve', hash })
    expect(agent.codes).toEqual([])
    const changed = changedPaths(before, bindings()).filter((path) => path.endsWith('/password'))
    expect(changed).toHaveLength(12)
  })
})
