import { afterAll, beforeAll, expect } from 'bun:test'
import fc from 'fast-check'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { AgentError } from '../../src/model/problem.ts'
import { HOUR, MINUTE, SECOND } from '../../src/model/time.ts'
import type { Instant } from '../../src/model/time.ts'
import { openMemory } from '../../src/targets/memory.ts'
import type { MemoryTarget } from '../../src/targets/memory.ts'
import { slow } from '../skip.ts'
import { World } from './harness.ts'
import type { TestAgent } from './harness.ts'
import { openStores } from './stores.ts'

/*
 * Lives made up of trouble: whatever answers, time, disk, operators and restarts do in whatever order, nothing that is
 * deployed goes and the identity stays; and when all trouble is over, the agent is in step again by itself.
 */

const TROUBLE: KnobSettings[] = [
  { html: 200 },
  { html: 503 },
  { cut: 0.6 },
  { errorBesideData: 10 },
  { error: 22 },
  { scopes: [] },
  { emptyPage: true },
  { nullCredentials: true },
  { hollow: 'object' },
  { hollow: 'field' },
  { status: 500 },
  { refuse: 0 },
  { refuse: 502 },
  { databaseDown: true },
  { directorDown: true },
  { connectorDown: true },
  { hydratorDown: true },
  { tooMany: 30 },
  { wrongTenant: 'existing' },
  { redirect: true },
  { dateOffset: 3 * HOUR },
  { certificate: 'otherKey' },
  { certificate: 'notPem' },
  { keyAlgorithm: 'unknown' },
  { directorDown: { operation: 'viewer' } },
  { status: { value: 500, operation: 'sign' } },
]

type Act =
  | { do: 'knobs'; knobs: KnobSettings }
  | { do: 'calm' }
  | { do: 'pass' | 'jump'; time: number }
  | { do: 'ask'; kind: 'sync' | 'renew' | 'pause' | 'resume' }
  | { do: 'restart' }
  | { do: 'drift'; index: number }
  | { do: 'fullDisk'; saves: number }
  | { do: 'deadTarget'; passes: number }
  | { do: 'revoke' }

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('knobs' as const), knobs: fc.constantFrom(...TROUBLE) }),
  },
  { weight: 2, arbitrary: fc.constant<Act>({ do: 'calm' }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      time: fc.integer({ min: SECOND, max: 15 * MINUTE }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('jump' as const),
      time: fc.integer({ min: -26 * HOUR, max: 30 * HOUR }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('ask' as const),
      kind: fc.constantFrom('sync' as const, 'renew' as const, 'pause' as const, 'resume' as const),
    }),
  },
  { weight: 2, arbitrary: fc.constant<Act>({ do: 'restart' }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drift' as const), index: fc.nat(23) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('fullDisk' as const),
      saves: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('deadTarget' as const),
      passes: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Act>({ do: 'revoke' }) },
)

class Life {
  readonly world: World
  readonly stores = openStores()
  readonly target: MemoryTarget = openMemory('memory')
  agent!: TestAgent
  #deadPasses = 0
  #revoked = false

  constructor(world: World) {
    this.world = world
    const { apply } = this.target
    this.target.apply = (plan, signal) => {
      if (this.#deadPasses-- > 0) return Promise.reject(new AgentError('disk_full', 'Cannot write'))
      return apply(plan, signal)
    }
  }

  async begin(token?: string): Promise<void> {
    const { stores, target } = this
    this.agent = await this.world.start({ stores, targets: [target], token })
    await this.agent.atRest()
  }

  async live(one: Act): Promise<void> {
    const { world, agent, target, stores } = this
    switch (one.do) {
      case 'knobs':
        return world.plane.set(one.knobs)
      case 'calm':
        return world.plane.reset()
      case 'pass':
        return world.clock.advance(one.time)
      case 'jump':
        return world.clock.jump(one.time)
      case 'ask':
        await agent.ask({ kind: one.kind })
        return
      case 'restart':
        await agent.stop()
        return this.begin()
      case 'drift':
        target.objects.delete([...target.objects.keys()][one.index]!)
        return
      case 'fullDisk':
        stores.states.failures = one.saves
        stores.snapshots.failures = one.saves
        return
      case 'deadTarget':
        this.#deadPasses = one.passes
        return
      case 'revoke':
        this.#revoked = true
        await world.plane.revoke({ fingerprint: agent.status.identity!.fingerprint })
        return
    }
  }

  /** All trouble ends, the time is the real one again, and who was revoked gets a new token. */
  async calm(began: Instant): Promise<void> {
    const { world } = this
    await world.clock.jump(Math.max(0, began - world.clock.now()))
    await world.plane.reset()
    this.#deadPasses = 0
    this.stores.states.failures = 0
    this.stores.snapshots.failures = 0
    await this.agent.ask({ kind: 'resume' })
    if (this.#revoked) this.agent.token = await world.token()
    await world.clock.advance(12 * MINUTE)
    await this.agent.atRest()
  }
}

let world: World
beforeAll(async () => {
  world = await World.open(makeLandscape({ applications: 8, bundles: 2, apis: 1, events: 0 }))
})
afterAll(() => world[Symbol.asyncDispose]())

slow('nothing is lost in any life, and every one ends in step by itself', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 8, maxLength: 16 }), async (acts) => {
      await world.plane.reset()
      const began = world.clock.now()
      const life = new Life(world)
      await life.begin(await world.token())
      try {
        const before = new Map(life.target.objects)
        const { writes } = life.target
        let drifted = 0
        for (const one of acts) {
          await life.live(one)
          if (one.do === 'drift') drifted += 1
          const gone = [...before.keys()].filter((key) => !life.target.objects.has(key))
          expect(gone.length).toBeLessThanOrEqual(drifted)
          expect(await life.stores.identity.load()).toBeDefined()
        }
        await life.calm(began)
        expect(life.agent.codes).toEqual([])
        expect(life.agent.status.identity?.condition).not.toBe('expired')
        expect(new Map(life.target.objects)).toEqual(before)
        // What was not lost was not written either, but for what somebody changed.
        expect(life.target.writes - writes).toBeLessThanOrEqual(drifted)
      } finally {
        await life.agent.stop()
        world.clock.set(began)
      }
    }),
    { numRuns: Number(process.env['CHAOS'] ?? 10) },
  )
})
