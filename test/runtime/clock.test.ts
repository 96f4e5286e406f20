import { describe, expect, test } from 'bun:test'
import { DAY, HOUR } from '../../src/model/time.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { FakeClock } from '../fakes.ts'

const never = new AbortController().signal

describe('a sleep', () => {
  test('ends after its time', async () => {
    const begin = performance.now()
    await systemClock.sleep(30, never)
    expect(performance.now() - begin).toBeGreaterThanOrEqual(28)
  })

  test('of more than a timer can hold does not end at once', async () => {
    const stop = new AbortController()
    let ended = false
    const sleep = systemClock.sleep(40 * DAY, stop.signal).then(() => (ended = true))
    await Bun.sleep(30)
    expect(ended).toBeFalse()
    stop.abort()
    await sleep
  })

  test('takes no longer when the wall clock is set back meanwhile', async () => {
    const { now } = Date
    const begin = performance.now()
    const sleep = systemClock.sleep(30, never)
    try {
      Date.now = () => now() - HOUR
      await sleep
    } finally {
      Date.now = now
    }
    expect(performance.now() - begin).toBeLessThan(5000)
  })

  test('of no time, of negative time or after an abort ends at once', async () => {
    await systemClock.sleep(0, never)
    await systemClock.sleep(-5, never)
    await systemClock.sleep(HOUR, AbortSignal.abort())
  })

  test('resolves when it is aborted, and leaves no listener behind', async () => {
    const stop = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = stop.signal
    stop.signal.addEventListener = (...args: [string, () => void]) => {
      listeners += 1
      addEventListener.apply(stop.signal, args)
    }
    stop.signal.removeEventListener = (...args: [string, () => void]) => {
      listeners -= 1
      removeEventListener.apply(stop.signal, args)
    }
    await systemClock.sleep(1, stop.signal)
    expect(listeners).toBe(0)
    const sleep = systemClock.sleep(HOUR, stop.signal)
    stop.abort()
    await sleep
    expect(listeners).toBe(0)
  })
})

describe('the fake clock', () => {
  test('wakes sleepers in order of their time, each at its time', async () => {
    const clock = new FakeClock(0)
    const woken: [string, number][] = []
    const sleeper = async (name: string, length: number): Promise<void> => {
      await clock.sleep(length, never)
      woken.push([name, clock.now()])
    }
    const all = Promise.all([sleeper('late', 20), sleeper('early', 10), sleeper('never', 99)])
    await clock.advance(50)
    expect(woken).toEqual([
      ['early', 10],
      ['late', 20],
    ])
    expect([clock.now(), clock.sleeping]).toEqual([50, 1])
    await clock.advance(49)
    await all
  })

  test('lets a loop sleep again within one step', async () => {
    const clock = new FakeClock(0)
    const times: number[] = []
    const stop = new AbortController()
    const loop = (async () => {
      while (!stop.signal.aborted) {
        await clock.sleep(10, stop.signal)
        times.push(clock.now())
      }
    })()
    await clock.advance(35)
    stop.abort()
    await loop
    expect(times).toEqual([10, 20, 30, 35])
  })
})
