import { HOUR } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'

/** Time as a parameter: the real one here, one that tests move in test/fakes.ts. */
export interface Clock {
  now(): Instant
  /** Resolves after `length`, or at once when `signal` is aborted; never rejects. */
  sleep(length: Duration, signal: AbortSignal): Promise<void>
}

/** JavaScript timers beyond 24.8 days fire at once, and a suspended machine stops them: none is longer than this. */
const LONGEST_TIMER: Duration = HOUR

/**
 * The wall clock of this machine.
 *
 * A long sleep is a chain of timers that looks at both clocks in between: it ends in time after the machine was suspended
 * (which stops timers) or its clock was set forward, and takes no longer when the clock was set back.
 */
export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(length, signal) {
    const [end, steady] = [Date.now() + length, performance.now() + length]
    while (!signal.aborted) {
      const left = Math.min(end - Date.now(), steady - performance.now())
      if (!(left > 0)) return
      await timer(Math.min(left, LONGEST_TIMER, length), signal)
    }
  },
}

function timer(length: Duration, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(handle)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const handle = setTimeout(done, length)
    signal.addEventListener('abort', done, { once: true })
  })
}
