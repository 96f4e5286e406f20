import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Live } from './live.ts'

/*
 * Agents that wait for news. Time is counted in ticks of one timer for all of them: ten thousand timers cost more, and a
 * clock that is set back makes nobody wait longer.
 */

type Waiter = { etag: string; cn: string; until: number; wake: () => void }

export interface Waiters {
  /** Resolves when the runtime is to get something else, when the time is over, or at once when too many wait for it already. */
  wait(runtime: string, has: { etag: string; cn: string }, length: Duration): Promise<void>
  readonly count: number
  /** Wakes and ends all waiting when the signal says so. */
  run(signal: AbortSignal): Promise<void>
}

/** Of one runtime: an agent has one, and another one while it is being replaced. */
const MOST = 4
/** So many are looked at before others get their turn. */
const TURN = 500

export function openWaiters(live: Live, clock: Clock): Waiters {
  const waiting = new Map<string, Set<Waiter>>()
  let count = 0
  let tick = 0
  let ended = false
  const never = new AbortController().signal
  const wakeWhere = async (isDue: (runtime: string, waiter: Waiter) => boolean): Promise<void> => {
    let looked = 0
    for (const [runtime, waiters] of waiting) {
      for (const waiter of waiters) if (isDue(runtime, waiter)) waiter.wake()
      looked += 1
      if (looked % TURN === 0 && !ended) await clock.sleep(1, never)
    }
  }
  return {
    get count() {
      return count
    },
    wait(runtime, { etag, cn }, length) {
      const waiters = waiting.get(runtime) ?? new Set<Waiter>()
      if (ended || waiters.size >= MOST) return Promise.resolve()
      waiting.set(runtime, waiters)
      count += 1
      return new Promise((resolve) => {
        const waiter: Waiter = {
          ...{ etag, cn, until: tick + Math.ceil(length / SECOND) },
          wake() {
            if (!waiters.delete(waiter)) return
            if (waiters.size === 0) waiting.delete(runtime)
            count -= 1
            resolve()
          },
        }
        waiters.add(waiter)
      })
    },
    async run(signal) {
      const stop = live.onChange(() => {
        void wakeWhere(
          (runtime, { etag, cn }) => live.etag(runtime) !== etag || live.ownerOf(cn) !== runtime,
        )
      })
      while (!signal.aborted) {
        await clock.sleep(SECOND, signal)
        tick += 1
        await wakeWhere((_runtime, { until }) => until <= tick)
      }
      ended = true
      stop()
      await wakeWhere(() => true)
    },
  }
}
