import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import type { Owned } from '../../src/agent/ports.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { AgentError } from '../../src/model/problem.ts'
import { MINUTE, SECOND } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import type { MemoryTarget } from '../../src/targets/memory.ts'
import { INTERVAL, World } from './harness.ts'
import { openStores } from './stores.ts'

/* What takes its time goes on beside the loop, and whoever is not in charge stands by. */

const LANDSCAPE = makeLandscape({ applications: 3, bundles: 1, apis: 1, events: 0 })

let world: World
beforeAll(async () => {
  world = await World.open(LANDSCAPE)
  await world.identity()
})
afterEach(() => world.plane.reset())
afterAll(() => world[Symbol.asyncDispose]())

type Hanging = MemoryTarget & { hangs: boolean; release(): void; passes: number }

/** A target that does not come back from `apply` while it hangs, unless it is told to or the agent ends. */
function hangingTarget(name = 'hanging'): Hanging {
  const memory = openMemory(name)
  const apply = memory.apply
  let release = (): void => undefined
  const target: Hanging = Object.assign(memory, {
    hangs: false,
    passes: 0,
    release: () => release(),
    apply: async (...[plan, signal]: Parameters<typeof apply>) => {
      target.passes += 1
      if (target.hangs) {
        await new Promise<void>((resolve) => {
          release = resolve
          signal.addEventListener('abort', () => resolve(), { once: true })
        })
      }
      signal.throwIfAborted()
      return apply(plan, signal)
    },
  })
  return target
}

describe('a target that hangs', () => {
  test('holds up neither the Director, nor another target, nor a renewal, nor a verb, and is shown', async () => {
    const [hanging, alive] = [hangingTarget(), openMemory('alive')]
    await using agent = await world.healthy({ targets: [hanging, alive] })
    hanging.hangs = true
    await world.clock.elapse(INTERVAL)
    await agent.until(({ running }) => running.some(({ part }) => part === 'target hanging'))
    const { fingerprint } = agent.status.identity!
    const [key] = [...alive.objects.keys()]
    alive.objects.delete(key!)
    const mark = world.mark()
    for (let i = 0; i < 5; i++) await world.clock.elapse(MINUTE)
    expect(world.requests(mark).length).toBeGreaterThan(0)
    expect(alive.objects.has(key!)).toBe(true)
    void agent.ask({ kind: 'renew' })
    await agent.until(({ identity }) => identity?.fingerprint !== fingerprint)
    void agent.ask({ kind: 'pause' })
    await agent.until(({ paused }) => paused)
    void agent.ask({ kind: 'resume' })
    await agent.until(({ paused }) => !paused)
    expect(agent.status).toMatchObject({ state: 'sync' })
    const [running] = agent.status.running
    expect(running).toMatchObject({ part: 'target hanging', state: 'sync' })
    expect(agent.status.at - running!.since).toBeGreaterThan(4 * MINUTE)
    hanging.hangs = false
    hanging.release()
    await agent.atRest()
    expect(agent.status.running).toEqual([])
  })

  test('is begun again when it ends, with what came meanwhile', async () => {
    const hanging = hangingTarget()
    await using agent = await world.healthy({ targets: [hanging] })
    hanging.hangs = true
    await world.clock.elapse(INTERVAL)
    await agent.until(({ running }) => running.some(({ part }) => part === 'target hanging'))
    const before = LANDSCAPE.applications[0]!.name
    world.edit((draft) => void draft.applications.splice(0, 1))
    for (let i = 0; i < 4; i++) await world.clock.elapse(MINUTE)
    await agent.until(({ applications }) => applications.every(({ name }) => name !== before))
    expect(hanging.objects.size).toBe(6)
    hanging.hangs = false
    hanging.release()
    await agent.atRest()
    expect(hanging.objects.size).toBe(4)
    world.edit((draft) => void draft.applications.unshift(LANDSCAPE.applications[0]!))
  })

  test('while it tries again after a failure is begun again with what came meanwhile', async () => {
    const hanging = hangingTarget()
    const { apply } = hanging
    await using agent = await world.healthy({ targets: [hanging] })
    hanging.apply = () => Promise.reject(new AgentError('disk_failed', 'Cannot write: EIO'))
    await agent.sync()
    expect(agent.codes).toEqual(['disk_failed'])
    hanging.apply = apply
    hanging.hangs = true
    await world.clock.elapse(MINUTE)
    await agent.until(({ running }) => running.some(({ part }) => part === 'target hanging'))
    world.edit((draft) => void draft.applications.splice(0, 1))
    for (let i = 0; i < 4; i++) await world.clock.elapse(MINUTE)
    await agent.until(({ applications }) => applications.length === 2)
    hanging.hangs = false
    hanging.release()
    await agent.atRest()
    expect(agent.codes).toEqual([])
    expect(hanging.objects.size).toBe(4)
    world.edit((draft) => void draft.applications.unshift(LANDSCAPE.applications[0]!))
  })

  test('ends with the agent', async () => {
    const hanging = hangingTarget()
    await using agent = await world.healthy({ targets: [hanging] })
    hanging.hangs = true
    await world.clock.elapse(INTERVAL)
    await agent.until(({ running }) => running.length > 0)
    await agent.stop()
    expect(agent.status).toMatchObject({ state: 'idle', why: 'stopped', running: [] })
  })
})

describe('a Director that does not answer', () => {
  test('holds up neither a renewal nor a new token, and a due target for 15 s at most', async () => {
    const target = openMemory('memory')
    await using agent = await world.healthy({ targets: [target] })
    const { fingerprint } = agent.status.identity!
    await world.plane.set({ delay: { value: 60 * SECOND, operation: 'applications' } })
    const [key] = [...target.objects.keys()]
    target.objects.delete(key!)
    await world.clock.elapse(INTERVAL)
    await agent.until(({ running }) => running.some(({ part }) => part === 'director'))
    agent.token = await world.token()
    await world.clock.elapse(5 * SECOND)
    expect(agent.status.token).toBe('unspent')
    expect(target.objects.has(key!)).toBe(false)
    await world.clock.elapse(11 * SECOND)
    expect(target.objects.has(key!)).toBe(true)
    void agent.ask({ kind: 'renew' })
    await agent.until(({ running }) => running.some(({ part }) => part === 'identity'))
    await world.plane.reset()
    await agent.until(({ identity }) => identity?.fingerprint !== fingerprint)
  })
})

describe('an agent that is not in charge', () => {
  type Seat = { owned: PromiseWithResolvers<Owned>; waiting: (why: string) => void }

  function seats(): {
    taken: Seat[]
    acquire: (s: AbortSignal, w: Seat['waiting']) => Promise<Owned>
  } {
    const taken: Seat[] = []
    return {
      taken,
      acquire: (signal, waiting) => {
        const owned = Promise.withResolvers<Owned>()
        signal.addEventListener('abort', () => owned.reject(signal.reason), { once: true })
        taken.push({ owned, waiting })
        waiting('agent-1 holds the Lease')
        return owned.promise
      },
    }
  }

  const inCharge = (
    lost = new AbortController().signal,
    release = (): void => undefined,
  ): Owned => ({
    lost,
    release: () => {
      release()
      return Promise.resolve()
    },
  })

  test('stands by: it shows for whom, asks Compass nothing, does what it is asked for not at all, and is ready', async () => {
    const ownership = seats()
    const agent = await world.start({ stores: openStores(await world.identity()), ownership })
    const mark = world.mark()
    await agent.until(({ standby }) => standby)
    await world.clock.advance(INTERVAL)
    expect(agent.status).toMatchObject({
      state: 'idle',
      why: 'agent-1 holds the Lease',
      standby: true,
    })
    expect(world.requests(mark)).toEqual([])
    const { refused } = await agent.ask({ kind: 'sync' })
    expect(refused?.code).toBe('already_running')
    ownership.taken[0]!.owned.resolve(inCharge(undefined, () => (agent.released = true)))
    await agent.until(({ standby, applications }) => !standby && applications.length === 3)
    await agent.stop()
  })

  test('that lost its charge ends what it does at once, stands by, and begins anew with what is stored then', async () => {
    const ownership = seats()
    const target = hangingTarget()
    const stores = openStores(await world.identity())
    const agent = await world.start({ stores, ownership, targets: [target] })
    await agent.until(({ standby }) => standby)
    const lost = new AbortController()
    let released = 0
    ownership.taken[0]!.owned.resolve(inCharge(lost.signal, () => (released += 1)))
    await agent.until(({ standby }) => !standby)
    await agent.atRest()
    target.hangs = true
    const { writes } = target
    const [key] = [...target.objects.keys()]
    target.objects.delete(key!)
    await world.clock.elapse(INTERVAL)
    await agent.until(({ running }) => running.some(({ part }) => part === 'target hanging'))
    lost.abort(new AgentError('already_running', 'Cannot renew the Lease'))
    await agent.until(({ why }) => why === 'agent-1 holds the Lease')
    expect(released).toBe(1)
    expect(target.writes).toBe(writes)
    target.hangs = false
    ownership.taken[1]!.owned.resolve(inCharge(undefined, () => (agent.released = true)))
    await agent.until(({ standby }) => !standby)
    await agent.atRest()
    expect(target.objects.has(key!)).toBe(true)
    await agent.stop()
  })

  test('stops at once', async () => {
    const ownership = seats()
    const agent = await world.start({ ownership })
    await agent.until(({ standby }) => standby)
    agent.released = true
    await agent.stop()
    expect(agent.status).toMatchObject({ why: 'stopped' })
  })
})
