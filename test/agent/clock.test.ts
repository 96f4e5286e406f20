import { describe, expect, test } from 'bun:test'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { DAY, HOUR, MINUTE } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import { INTERVAL, World } from './harness.ts'
import { LoopClock, skewed } from './loop-clock.ts'
import { openStores } from './stores.ts'

/* Wall clocks are wrong, are set, and jump when a machine wakes up. */

const LANDSCAPE = makeLandscape({ applications: 6, bundles: 1, apis: 1, events: 0 })
const PASS = ['applications+runtime']

describe.each([
  ['behind', -2 * HOUR],
  ['ahead of', 2 * HOUR],
])('with a clock that is two hours %s that of Compass', (side, by) => {
  /** A certificate that lives for an hour, so that the clock here is wrong by more than its life. */
  const open = (): Promise<World> =>
    World.open(LANDSCAPE, {
      clock: new LoopClock(Date.now() - 20 * MINUTE),
      lifetimes: { certificate: HOUR },
    })

  test('the agent enrols, syncs, and says so; it renews no more than every tenth of a life', async () => {
    await using world = await open()
    const target = openMemory('memory')
    const clock = skewed(world.clock, by)
    await using agent = await world.start({
      clock,
      token: await world.token(),
      targets: [target],
    })
    await world.clock.advance(18 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toEqual(['clock_skewed'])
    expect(agent.status.problems[0]?.message).toMatch(
      new RegExp(`^The clock here is (2h|1h 59m|2h 0m) ${side} that of Compass$`),
    )
    expect(Math.abs(agent.status.clockSkew! + by)).toBeLessThanOrEqual(1000)
    expect(agent.status.identity?.condition).toBe('valid')
    expect(target.objects.size).toBe(12)
    expect(target.writes).toBe(12)
    const signings = world.requests().filter((operation) => operation === 'sign')
    expect(signings.length).toBeLessThanOrEqual(1 + 18 / 6)
  })

  test('an agent that restarts with a certificate that seems not valid uses it all the same', async () => {
    await using world = await open()
    const stores = openStores(await world.identity())
    const target = openMemory('memory')
    await using agent = await world.start({
      clock: skewed(world.clock, by),
      stores,
      targets: [target],
    })
    await agent.atRest()
    expect(agent.codes).toEqual(['clock_skewed'])
    expect(agent.status.identity?.condition).toBe('valid')
    expect(target.objects.size).toBe(12)
    expect(agent.status.token).toBe('none')
  })

  test('tokens are tried no more often than six times an hour, and not given up early', async () => {
    await using world = await open()
    await world.plane.set({ directorDown: { operation: 'token' } })
    await using agent = await world.start({
      clock: skewed(world.clock, by),
      token: (await world.issueToken()).token,
      settings: { connectorUrl: world.plane.tokenUrl },
    })
    const mark = world.mark()
    await world.clock.advance(18 * MINUTE)
    await agent.atRest()
    expect(world.requests(mark).length).toBeWithin(2, 6)
    await world.plane.reset()
    await world.plane.set({ certificateOffset: -HOUR, certificateLifetime: DAY })
    await world.clock.advance(41 * MINUTE)
    await agent.atRest()
    expect(agent.status.identity).toBeDefined()
  })
})

describe('a certificate that has expired by our clock and by the server’s', () => {
  test('is tried once after a restart and then waits for a token', async () => {
    await using world = await World.open(LANDSCAPE)
    const stores = openStores(await world.identity())
    world.clock.set(world.clock.now() + 91 * DAY)
    const mark = world.mark()
    await using agent = await world.start({ stores })
    await world.clock.advance(20 * MINUTE)
    await agent.atRest()
    expect(agent.codes).toContain('identity_expired')
    expect(agent.status).toMatchObject({ state: 'idle', why: 'waiting for a one-time token' })
    expect(world.requests(mark).length).toBeLessThanOrEqual(4)
  })

  test('does not keep a new token waiting, whether Compass can be asked or not', async () => {
    await using world = await World.open(LANDSCAPE)
    const stores = openStores(await world.identity())
    world.clock.set(world.clock.now() + 91 * DAY)
    await world.plane.set({ certificateOffset: -40 * DAY })
    await using agent = await world.start({ stores, token: await world.token() })
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(agent.status.identity?.condition).toBe('valid')
  })
})

describe('a clock that is set', () => {
  test('back by hours or years: the agent syncs within an interval, not when the old time comes again', async () => {
    await using world = await World.open(LANDSCAPE)
    await using agent = await world.healthy()
    for (const back of [2 * HOUR, 40 * DAY]) {
      await world.clock.jump(-back)
      const mark = world.mark()
      await world.clock.advance(INTERVAL)
      await agent.atRest()
      expect(world.requests(mark)).toEqual(PASS)
      expect(agent.codes).toEqual([])
    }
  })

  test('back: what backs off is tried again as soon as it would have been', async () => {
    await using world = await World.open(LANDSCAPE)
    await using agent = await world.healthy()
    await world.plane.set({ directorDown: true })
    await agent.sync()
    await world.plane.reset()
    await world.clock.jump(-DAY)
    await world.clock.advance(5000)
    await agent.atRest()
    expect(agent.codes).toEqual([])
  })

  test('back: neither the renewal nor the guard is hurried, and no signing call is made', async () => {
    await using world = await World.open(LANDSCAPE)
    const target = openMemory('memory')
    await using agent = await world.healthy({ targets: [target] })
    await agent.ask({ kind: 'renew' })
    const mark = world.mark()
    await world.plane.set({ nullCredentials: ['Bundle 000'] })
    for (let jump = 0; jump < 5; jump += 1) {
      await world.clock.jump(-DAY)
      await world.clock.advance(INTERVAL)
    }
    await agent.atRest()
    expect(world.requests(mark)).not.toContain('sign')
    expect(agent.status.identity?.renewAt).toBeGreaterThan(world.clock.now() + 50 * DAY)
  })

  test('forward by a week, as a machine wakes up: everything that became due is done at once, once', async () => {
    await using world = await World.open(LANDSCAPE)
    await using agent = await world.healthy()
    const mark = world.mark()
    await world.clock.jump(7 * DAY)
    expect(world.requests(mark)).toEqual(PASS)
    expect(agent.codes).toEqual([])
  })

  test('to and fro for a while: the loop neither spins nor stops', async () => {
    await using world = await World.open(LANDSCAPE)
    await using agent = await world.healthy()
    const mark = world.mark()
    for (const jump of [HOUR, -3 * HOUR, 10 * MINUTE, -MINUTE, 2 * DAY, -2 * DAY])
      await world.clock.jump(jump)
    expect(world.requests(mark).length).toBeLessThanOrEqual(6)
    await world.clock.advance(3 * INTERVAL)
    await agent.atRest()
    expect(world.requests(mark).length).toBeGreaterThanOrEqual(3)
    expect(agent.codes).toEqual([])
  })
})

describe('skew', () => {
  test('of some seconds is noise: nothing is said, nothing is planned anew', async () => {
    await using world = await World.open(LANDSCAPE)
    await using agent = await world.healthy({ clock: skewed(world.clock, 1500) })
    const { renewAt } = agent.status.identity!
    for (let pass = 0; pass < 3; pass += 1) await agent.sync()
    expect(agent.codes).toEqual([])
    expect(agent.status.identity!.renewAt).toBe(renewAt)
  })

  test('that ends is no longer shown after the next answer', async () => {
    await using world = await World.open(LANDSCAPE)
    await using agent = await world.healthy()
    await world.plane.set({ dateOffset: 2 * HOUR })
    await agent.sync()
    expect(agent.codes).toEqual(['clock_skewed'])
    await world.plane.reset()
    await agent.sync()
    expect(agent.codes).toEqual([])
  })
})
