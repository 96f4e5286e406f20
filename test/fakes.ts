import type { Clock } from '../src/runtime/clock.ts'
import type { Duration, Instant } from '../src/model/time.ts'

type Sleeper = { at: Instant; wake: () => void }

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  #now: Instant
  #sleepers: Sleeper[] = []

  constructor(start: Instant = Date.UTC(2026, 10, 21)) {
    this.#now = start
  }

  now(): Instant {
    return this.#now
  }

  /** How many sleep now. */
  get sleeping(): number {
    return this.#sleepers.length
  }

  sleep(length: Duration, signal: AbortSignal): Promise<void> {
    if (signal.aborted || !(length > 0)) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const sleeper: Sleeper = { at: this.#now + length, wake }
      this.#sleepers.push(sleeper)
      signal.addEventListener('abort', wake, { once: true })
    })
  }

  /** Moves time, waking sleepers in order of their time and letting each run until it waits again. */
  async advance(length: Duration): Promise<void> {
    const end = this.#now + length
    await settle()
    for (;;) {
      const next = this.#sleepers.toSorted((a, b) => a.at - b.at)[0]
      if (!next || next.at > end) break
      this.#now = Math.max(this.#now, next.at)
      next.wake()
      await settle()
    }
    this.#now = end
  }

  /** Sets the wall clock without waking anybody, as an operator or NTP does. */
  set(now: Instant): void {
    this.#now = now
  }
}

/** Lets everything that is ready run, promises and immediates. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
