import type { Clock } from '../../src/runtime/clock.ts'
import { DAY } from '../../src/model/time.ts'
import type { Duration, Instant } from '../../src/model/time.ts'

type Sleeper = { at: Instant; wake: () => void }

/** Real time in which a loop must come to rest; only a test that fails waits for so long. */
const PATIENCE = 15_000

/**
 * A clock in step with one loop: time passes only while the loop waits and nothing goes on beside it, however long its
 * real requests take.
 *
 * TLS looks at the real clock. A certificate that is signed by this clock's time works on the wire as long as the real
 * time lies in its life; hence the start in the past, two thirds of the 90 days that a certificate lives.
 */
export class LoopClock implements Clock {
  #now: Instant
  #sleeper: Sleeper | undefined
  #arrived: (() => void)[] = []
  /** Jobs go on beside the loop, as it last reported: its waiting is no rest. */
  busy = false

  constructor(start: Instant = Date.now() - 60 * DAY) {
    this.#now = start
  }

  now(): Instant {
    return this.#now
  }

  sleep(length: Duration, signal: AbortSignal): Promise<void> {
    if (signal.aborted || !(length > 0)) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = (): void => {
        if (this.#sleeper === sleeper) this.#sleeper = undefined
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const sleeper: Sleeper = { at: this.#now + length, wake }
      if (this.#sleeper !== undefined) throw new Error('two loops share one clock')
      this.#sleeper = sleeper
      signal.addEventListener('abort', wake, { once: true })
      if (!this.busy) this.#arrive()
    })
  }

  #arrive(): void {
    for (const arrived of this.#arrived.splice(0)) arrived()
  }

  /** Lets time pass although jobs go on, which take no notice of it. */
  async elapse(length: Duration): Promise<void> {
    const end = this.#now + length
    for (;;) {
      // The loop is on its way to its next wait.
      while (this.#sleeper === undefined) await Bun.sleep(1)
      if (this.#sleeper.at > end) break
      this.#now = Math.max(this.#now, this.#sleeper.at)
      this.#sleeper.wake()
    }
    this.#now = end
  }

  /** Resolves when the loop waits and no job goes on: everything that was due is done. */
  async atRest(): Promise<void> {
    if (this.#sleeper !== undefined && !this.busy) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve, reject) => {
      this.#arrived.push(resolve)
      timer = setTimeout(() => reject(new Error('the loop did not come to rest')), PATIENCE)
    })
    clearTimeout(timer)
  }

  /** Lets time pass as the loop lives through it: it wakes at each of its own times. */
  async advance(length: Duration): Promise<void> {
    const end = this.#now + length
    for (;;) {
      await this.atRest()
      const next = this.#sleeper
      if (next === undefined || next.at > end) break
      this.#now = Math.max(this.#now, next.at)
      next.wake()
    }
    this.#now = end
  }

  /** Moves the clock at once, as suspending a machine or NTP does, forward or back, and wakes the loop. */
  async jump(length: Duration): Promise<void> {
    await this.atRest()
    this.set(this.#now + length)
    this.#sleeper?.wake()
    await this.atRest()
  }

  /** Sets the clock while no loop runs. */
  set(now: Instant): void {
    this.#now = now
  }
}

/** The same clock as a machine shows it whose time is wrong by so much: `skewed(clock, -2 * HOUR)` is two hours behind. */
export function skewed(clock: LoopClock, by: Duration): Clock {
  return { now: () => clock.now() + by, sleep: (length, signal) => clock.sleep(length, signal) }
}
