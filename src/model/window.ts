import type { Instant } from './time.ts'
import { DAY, MINUTE } from './time.ts'

/**
 * A span of time that comes again every week, in UTC: `Sat 02:00-04:00 UTC`.
 *
 * `from` is inside, `to` is not. A window that crosses midnight (`22:00-02:00`) belongs to the day on which it begins.
 */
export type Window = {
  /** As written in agent.yaml. */
  readonly text: string
  /** Days on which it begins: 0 is Sunday, 6 Saturday. At least one. */
  readonly days: readonly number[]
  /** Minutes after midnight UTC, 0 to 1439. */
  readonly from: number
  /** Minutes after the midnight that begins the day of `from`: more than `from`, at most `from` + 1440. */
  readonly to: number
}

/** The first instant from `at` on (itself included) that lies in a window; `at` when there are no windows. */
export function nextWindow(windows: readonly Window[], at: Instant): Instant {
  if (windows.length === 0) return at
  return Math.min(...windows.map((window) => nextOpening(window, at)))
}

/** UTC has no daylight saving and JavaScript no leap seconds, so every day begins at a multiple of 24 hours. */
function nextOpening(window: Window, at: Instant): Instant {
  const today = Math.floor(at / DAY)
  // From yesterday, whose window may reach into today, to the same weekday of next week.
  for (let day = today - 1; day <= today + 7; day++) {
    if (!window.days.includes(weekday(day))) continue
    const opens = day * DAY + window.from * MINUTE
    const closes = day * DAY + window.to * MINUTE
    if (at < closes) return Math.max(at, opens)
  }
  throw new RangeError(`Cannot find the next '${window.text}': the window has no days`)
}

/** 1970-01-01 was a Thursday. */
function weekday(day: number): number {
  return (((day + 4) % 7) + 7) % 7
}
