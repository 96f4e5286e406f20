import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { relieveMemory } from '../runtime/relieve.ts'
import type { Live } from './live.ts'

/*
 * Agents that wait for news. Time is counted in ticks of one timer for all of them: ten thousand timers cost more, and a
 * clock that is set back makes nobody wait longer.
 */

type Waiter = { etag: string; cn: string; until: number; wake: () => void }

export interface Waiters {
  /** Resolves when the runtime is to get something else, when the time is over, or when too many others came after it. */
  wait(runtime: string, has: { etag: string; cn: string }, length: Duration): Promise<void>
  readonly count: number
  /** Wakes and ends all waiting when the signal says so. */
  run(signal: AbortSignal): Promise<void>
}

/** Of one runtime: an agent has one, and another one while it is being replaced. */
const MOST = 4
/** Ticks. What thousands of handshakes leave behind would stay resident while nothing else happens. */
const RELIEVE_EVERY = 20
const SLACK = 32 * 1024 * 1024
/** So many are looked at before others get their turn. */
const TURN = 500

export function openWaiters(live: Live, clock: Clock): Waiters {
  const waiting = new Map<string, readonly Waiter[]>()
  let count = 0
  let tick = 0
  let ended = false
  const never = new AbortController().signal
  const wakeWhere = async (isDue: (runtime: string, waiter: Waiter) => boolean): Promise<void> => {
    let looked = 0
    for (const [runtime, waiters] of waiting) {
      const due = waiters.filter((waiter) => isDue(runtime, waiter))
      if (due.length > 0) {
        const left = waiters.filter((waiter) => !due.includes(waiter))
        if (left.length > 0) waiting.set(runtime, left)
        else waiting.delete(runtime)
        count -= due.length
        for (const { wake } of due) wake()
      }
      looked += 1
      if (looked % TURN === 0 && !ended) await clock.sleep(1, never)
    }
  }
  return {
    get count() {
      return count
    },
    wait(runtime, { etag, cn }, length) {
      const others = waiting.get(runtime) ?? []
      if (ended) return Promise.resolve()
      // The oldest goes: most likely its agent is gone, and nobody would tell us.
      const left = others.length < MOST ? others : others.slice(1)
      if (left !== others) {
        count -= 1
        others[0]?.wake()
      }
      count += 1
      return new Promise((wake) => {
        const until = tick + Math.ceil(length / SECOND)
        waiting.set(runtime, [...left, { etag, cn, until, wake }])
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
        if (tick % RELIEVE_EVERY === 0 && count > 0) relieveMemory(SLACK)
        await wakeWhere((_runtime, { until }) => until <= tick)
      }
      ended = true
      stop()
      await wakeWhere(() => true)
    },
  }
}
