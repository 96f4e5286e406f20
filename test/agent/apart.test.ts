import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { AgentError, problem } from '../../src/model/problem.ts'
import type { Change, ChangeResult, Plan } from '../../src/model/target.ts'
import { MINUTE } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import type { Target } from '../../src/targets/target.ts'
import { changedPaths, Disk } from './disk.ts'
import { INTERVAL, World } from './harness.ts'
import { openStores } from './stores.ts'

/* Sources and targets are due, fail and back off each on its own. */

const LANDSCAPE = makeLandscape({ applications: 6, bundles: 2, apis: 1, events: 0 })

let world: World
beforeAll(async () => {
  world = await World.open(LANDSCAPE)
  await world.identity()
})
afterEach(() => world.plane.reset())
afterAll(() => world[Symbol.asyncDispose]())

/** A target that is dead, from its first look on or when it is written. */
function deadTarget(where: 'observe' | 'apply', name = 'dead'): Target & { tries: number } {
  const dead = Object.assign(openMemory(name), { tries: 0 })
  const fail = (): Promise<never> => {
    dead.tries += 1
    return Promise.reject(new AgentError('disk_failed', 'Cannot write to the dead target: EIO'))
  }
  return Object.assign(dead, { [where]: fail })
}

/** A target that refuses everything of one application, as an admission webhook does. */
function pickyTarget(application: string): ReturnType<typeof openMemory> {
  const picky = openMemory('picky')
  const apply = picky.apply.bind(picky)
  const refused = problem('kubernetes_refused', 'Cannot write it: no')
  return Object.assign(picky, {
    async apply(plan: Plan, signal: AbortSignal): Promise<ChangeResult[]> {
      const isRefused = ({ owner }: Change): boolean =>
        owner.slice === 'applications' && owner.application === application
      const changes = plan.changes.filter((change) => !isRefused(change))
      const results = await apply({ ...plan, changes }, signal)
      const failed = plan.changes.filter(isRefused).map(({ key }) => ({ key, problem: refused }))
      return [...results, ...failed.map((one) => ({ ...one, outcome: 'failed' as const }))]
    },
  })
}

describe('an application that is refused', () => {
  test('keeps nothing new from the others, and does not make them look undone', async () => {
    await using own = await World.open(LANDSCAPE)
    const [first, ...others] = own.plane.landscape.applications
    const picky = pickyTarget(first!.id)
    await using agent = await own.start({
      stores: openStores(await own.identity()),
      targets: [picky],
      random: () => 0.999,
    })
    await agent.atRest()
    const conditions = (): string[] =>
      agent.status.applications.map(({ condition }) => condition).sort()
    expect(conditions()).toEqual(['problem', ...others.map(() => 'synced')])
    const [target, source] = [() => agent.status.targets[0]!, () => agent.status.sources[0]!]
    while (target().nextAt < source().nextAt + MINUTE) await own.clock.advance(MINUTE)
    const before = target().changes
    own.edit(({ applications }) => {
      applications[1]!.bundles[0]!.apis[0]!.targetUrl = 'https://new.example/'
    })
    await own.clock.advance(source().nextAt + 1000 - own.clock.now())
    await agent.atRest()
    expect([before, target().changes]).toEqual([0, 1])
    expect(conditions()).toEqual(['problem', ...others.map(() => 'synced')])
  })
})

describe('a dead target', () => {
  test.each(['observe', 'apply'] as const)(
    'does not slow the Director, nor another target (%s)',
    async (where) => {
      const dead = deadTarget(where)
      const alive = openMemory('alive')
      await using agent = await world.healthy({ targets: [dead, alive] })
      expect(alive.objects.size).toBe(18)
      const mark = world.mark()
      await world.clock.advance(10 * INTERVAL)
      await agent.atRest()
      expect(world.requests(mark)).toHaveLength(10)
      expect(agent.codes).toEqual(['disk_failed'])
      const [first, second] = agent.status.targets
      expect(first).toMatchObject({ name: 'dead', problem: { code: 'disk_failed' } })
      expect(second).toMatchObject({ name: 'alive', failures: 0, objects: 18, changes: 0 })
      expect(agent.status.sources[0]?.failures).toBe(0)
    },
  )

  test('is tried by its own back-off, at most a minute where a disk is at fault, and heals by itself', async () => {
    const dead = deadTarget('apply')
    const apply = dead.apply
    await using agent = await world.healthy({ targets: [dead], random: () => 0.999 })
    await world.clock.advance(60 * MINUTE)
    const first = dead.tries
    await world.clock.advance(60 * MINUTE)
    await agent.atRest()
    expect(dead.tries - first).toBeGreaterThanOrEqual(60)
    expect(dead.tries - first).toBeLessThanOrEqual(61)
    dead.apply = openMemory('dead').apply
    await world.clock.advance(MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(dead.apply).not.toBe(apply)
  })

  test('does not keep an approval, a renewal or a pause from being done', async () => {
    await using agent = await world.healthy({ targets: [deadTarget('observe')] })
    const { fingerprint } = agent.status.identity!
    await agent.ask({ kind: 'renew' })
    expect(agent.status.identity?.fingerprint).not.toBe(fingerprint)
    await agent.ask({ kind: 'pause' })
    expect(agent.status.paused).toBe(true)
  })

  test('with one change that fails keeps the others, and says which', async () => {
    const target = openMemory('memory')
    const { apply } = target
    const bad = `binding/${LANDSCAPE.applications[2]!.bundles[0]!.id}`
    target.apply = async (plan, signal) => {
      const changes = plan.changes.filter(({ key }) => key !== bad)
      const results = await apply({ ...plan, changes }, signal)
      if (changes.length === plan.changes.length) return results
      const failure = problem('application_invalid', 'Cannot write the binding: it is too large')
      return [...results, { key: bad, outcome: 'failed', problem: failure }]
    }
    await using agent = await world.healthy({ targets: [target] })
    expect(agent.codes).toEqual(['application_invalid'])
    expect(agent.status.targets[0]).toMatchObject({ objects: 17, failures: 1 })
    expect(target.objects.has(bad)).toBe(false)
    target.apply = apply
    await world.clock.advance(5 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(target.objects.has(bad)).toBe(true)
  })

  test('that finds after a pass that it must go back says so, and goes back', async () => {
    const target: Target = openMemory('memory')
    let restored = 0
    let refuses = true
    target.verify = () =>
      Promise.resolve(refuses ? [problem('hook_failed', 'Cannot reload: the sidecar refuses')] : [])
    target.restore = () => {
      restored += 1
      return Promise.resolve()
    }
    await using agent = await world.healthy({ targets: [target] })
    expect(agent.codes).toEqual(['hook_failed'])
    expect(restored).toBe(1)
    expect(agent.status.targets[0]).toMatchObject({ changes: 0, failures: 1 })
    refuses = false
    await world.clock.advance(5 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual([])
  })
})

describe('a defect of a target', () => {
  test('is shown as one of the agent, and ends nothing', async () => {
    const target = openMemory('memory')
    target.render = () => {
      throw new TypeError('undefined is not a function')
    }
    await using agent = await world.healthy({ targets: [target, openMemory('other')] })
    expect(agent.codes).toEqual(['internal'])
    expect(agent.status.targets[1]?.failures).toBe(0)
    expect(agent.log.join('')).toContain('"stack"')
  })
})

describe('a dead Director', () => {
  test('does not stop the repair of what drifted', async () => {
    const target = openMemory('memory')
    await using agent = await world.healthy({ targets: [target] })
    const before = new Map(target.objects)
    await world.plane.set({ directorDown: true })
    await agent.sync()
    const [key] = [...target.objects.keys()]
    target.objects.delete(key!)
    await world.clock.advance(INTERVAL)
    await agent.atRest()
    expect(new Map(target.objects)).toEqual(before)
    expect(agent.status.sources[0]?.problem?.code).toBe('server_failed')
    expect(agent.status.targets[0]?.failures).toBe(0)
  })

  test('is asked with a back-off of at most five minutes, and the interval counts again once it answers', async () => {
    await using agent = await world.healthy({ random: () => 0.999 })
    await world.plane.set({ directorDown: true })
    await world.clock.advance(60 * MINUTE)
    const mark = world.mark()
    await world.clock.advance(60 * MINUTE)
    await agent.atRest()
    expect(world.requests(mark).length).toBeWithin(12, 14)
    await world.plane.reset()
    await world.clock.advance(5 * MINUTE)
    const after = world.mark()
    await world.clock.advance(5 * INTERVAL)
    await agent.atRest()
    expect(world.requests(after)).toHaveLength(5)
  })

  test.each([
    [120, 120],
    [1800, 1800],
    [86_400, 3600],
  ])('that asks for %d s with Retry-After is left alone for %d s', async (asked, obeyed) => {
    await using agent = await world.healthy()
    await world.plane.set({ tooMany: asked })
    await agent.sync()
    expect(agent.codes).toEqual(['too_many_requests'])
    await world.plane.reset()
    const mark = world.mark()
    await world.clock.advance(obeyed * 1000 - 1)
    await agent.atRest()
    expect(world.requests(mark)).toEqual([])
    await world.clock.advance(obeyed * 50 + 1000)
    await agent.atRest()
    expect(world.requests(mark)).toHaveLength(1)
    expect(agent.codes).toEqual([])
  })

  test('does not stop the repair after a restart without any network, from what is on disk', async () => {
    const own = await World.open(LANDSCAPE, { clock: world.clock })
    using disk = new Disk(own)
    const stores = disk.stores()
    await using first = await own.start({
      stores,
      targets: [disk.target()],
      token: await own.token(),
    })
    await first.atRest()
    expect(first.codes).toEqual([])
    const before = disk.files()
    await first.stop()
    await own[Symbol.asyncDispose]()
    const binding = [...before.keys()].find((path) => path.endsWith('/password'))!
    writeFileSync(disk.path(binding), 'drifted')
    rmSync(disk.path(binding.replace('/password', '/username')))
    await using again = await own.start({ stores: disk.stores(), targets: [disk.target()] })
    await again.atRest()
    expect(again.status).toMatchObject({ runtimeId: own.runtimeId, state: 'idle' })
    expect(again.codes).toEqual(['unreachable'])
    const changed = changedPaths(before, disk.files()).filter((path) => /^bindings/.test(path))
    expect(changed).toEqual([])
    expect(again.status.targets[0]?.failures).toBe(0)
  })

  test('says so within one tick, and what is shown is the last that is known', async () => {
    const stores = openStores(await world.identity())
    await using agent = await world.healthy({ stores })
    await world.plane.set({ directorDown: true })
    await world.clock.advance(INTERVAL)
    await agent.atRest()
    expect(agent.status.sources[0]).toMatchObject({ failures: 1, applications: 6, bundles: 12 })
    expect(agent.status.applications).toHaveLength(6)
    expect(agent.status.history[0]).toMatchObject({ code: 'server_failed' })
    // News once: the history does not fill with the same.
    await world.clock.advance(30 * MINUTE)
    await agent.atRest()
    const told = agent.status.history.filter(({ code }) => code === 'server_failed')
    expect(told).toHaveLength(1)
  })
})
