import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { AgentError } from '../../src/model/problem.ts'
import { World } from './harness.ts'
import { openStores } from './stores.ts'

/* What was kept cannot be read just now: an API server or a disk that does not answer says nothing of what is there. */

let world: World
beforeAll(async () => {
  world = await World.open(makeLandscape({ applications: 2, bundles: 1, apis: 1, events: 0 }))
  await world.identity()
})
afterEach(() => world.plane.reset())
afterAll(() => world[Symbol.asyncDispose]())

describe('a store that does not answer at the start', () => {
  test.each(['load', 'loadPending'] as const)(
    'costs no token and no identity (%s)',
    async (method) => {
      const identity = await world.identity()
      const stores = openStores(identity)
      let failures = 3
      const read = stores.identity[method].bind(stores.identity)
      Object.assign(stores.identity, {
        [method]: () => {
          if (failures-- <= 0) return read()
          const why = 'Cannot read Secret a/b at 10.0.0.1:443: etcdserver: request timed out'
          return Promise.reject(new AgentError('kubernetes_failed', why))
        },
      })
      const mark = world.mark()
      await using agent = await world.start({ stores, token: await world.token() })
      await world.clock.advance(20_000)
      await agent.until(({ targets }) => targets[0]?.lastSuccess !== undefined)
      expect(world.requests(mark).filter((one) => /sign|configuration/.test(one))).toEqual([])
      expect((await stores.identity.load())?.identity.fingerprint).toBe(identity.fingerprint)
      expect(agent.log.filter((line) => line.includes('not in charge yet'))).toHaveLength(3)
      expect(agent.codes).toEqual([])
    },
  )
})
