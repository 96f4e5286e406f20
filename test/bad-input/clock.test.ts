import { afterAll, beforeAll, describe, expect } from 'bun:test'
import type { Status } from '../../src/model/status.ts'
import { MINUTE } from '../../src/model/time.ts'
import { inStep } from '../e2e/support/agent-home.ts'
import { seenIn } from '../e2e/support/bindings.ts'
import { SLOW } from '../e2e/support/program.ts'
import { fakeWallClock, withClock as run } from './support/clock.ts'
import { onlyProblem, openScene, startWrong } from './support/scene.ts'
import type { Scene } from './support/scene.ts'

const HOURS = 3600

let scene: Scene

beforeAll(async () => {
  // Shorter than the clocks are wrong by: such a certificate looks expired, or not valid yet, from its first moment.
  scene = await openScene(['behind', 'ahead', 'jumps'], { lifetimes: { certificate: 60 * MINUTE } })
}, SLOW)

afterAll(() => scene.close())

function signedFor(status: Status): number {
  const fingerprints = scene.plane
    .runtimes()
    .find(({ id }) => id === status.runtimeId)!.certificates
  return fingerprints.length
}

describe('a clock that is two hours off', () => {
  run.concurrent.each([
    ['behind', -2 * HOURS, /^The clock here is 2h behind that of Compass$/],
    ['ahead', 2 * HOURS, /^The clock here is 2h ahead of that of Compass$/],
  ])(
    '%s is named with its value, and everything works all the same',
    async (runtime, seconds, text) => {
      const home = scene.home()
      home.giveToken(await scene.token(runtime))
      const clock = fakeWallClock(seconds)
      const { agent, problem } = await startWrong(home, { env: clock.env })
      expect(problem).toMatchObject({ code: 'clock_skewed', turn: 'operator' })
      expect(problem.message).toMatch(text)
      const status = await agent.until(
        'the bindings are there',
        ({ targets }) => targets[0]?.objects === 6,
      )
      expect(status.identity!.condition).toBe('valid')
      const syncs = () => home.log().filter(({ message }) => message.startsWith('fetched')).length
      const before = syncs()
      await agent.until('it goes on', () => syncs() > before + 3)
      // No loop of renewals, whatever the dates of the certificate look like from here.
      expect(signedFor(status)).toBe(1)
      expect((await agent.stop()).how).toBe(0)

      const again = home.start({ env: clock.env })
      const restarted = await again.until(
        'the Director has answered',
        ({ clockSkew }) => clockSkew !== undefined,
      )
      expect(restarted.token).toBe('spent')
      expect((await onlyProblem(again, home)).code).toBe('clock_skewed')
      expect(signedFor(status)).toBeLessThanOrEqual(2)
      clock.set(0)
      await again.until('it is in step', inStep)
      expect(signedFor(status)).toBeLessThanOrEqual(2)
      await again.stop()
    },
    SLOW,
  )

  run.concurrent(
    'is noticed when it begins to be, and forgotten when it is set right, while the agent runs',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('jumps'))
      const clock = fakeWallClock(0)
      const agent = home.start({ env: clock.env })
      const first = await agent.until('it is in step', inStep)
      const bindings = seenIn(home.path('out'))
      for (const seconds of [30 * 24 * HOURS, -5 * HOURS, 300 * 24 * HOURS, 0]) {
        clock.set(seconds)
        const status = await agent.until(
          `the clock shows ${seconds} s`,
          ({ clockSkew = 0, state, problems }) =>
            Math.abs(clockSkew + seconds * 1000) < 5000 &&
            state === 'idle' &&
            problems.every(({ code }) => code === 'clock_skewed'),
        )
        expect(status.problems.length).toBe(seconds === 0 ? 0 : 1)
      }
      expect(seenIn(home.path('out'))).toEqual(bindings)
      // Each jump may make it renew once, out of caution; none makes it lose its identity or loop.
      expect(signedFor(first)).toBeLessThanOrEqual(4)
      await scene.healed(agent, home, 'jumps')
      await agent.stop()
    },
    SLOW,
  )
})
