import type { Duration } from './time.ts'
import { HOUR, MINUTE, SECOND } from './time.ts'

export type Backoff = {
  /** Length of the first wait at most. */
  base: Duration
  /** Longest wait. */
  cap: Duration
  /** What the server asked for with Retry-After. */
  retryAfter?: Duration | undefined
}

export const BACKOFF: Backoff = { base: SECOND, cap: 5 * MINUTE }

/** A server that names a longer time is asked again after this. */
const LONGEST_RETRY_AFTER = HOUR

/**
 * How long to wait after the n-th failure in a row (n ≥ 1): full jitter, random(0, min(cap, base·2ⁿ⁻¹)), and never
 * less than what the server asked for, up to an hour (spread by a tenth, as it asked everybody).
 *
 * @param random a number in [0, 1)
 */
export function delay(failures: number, backoff: Backoff, random: () => number): Duration {
  const ceiling = Math.min(backoff.cap, backoff.base * 2 ** Math.max(0, failures - 1))
  const wait = random() * ceiling
  const asked = Math.min(Math.max(0, backoff.retryAfter ?? 0), LONGEST_RETRY_AFTER)
  return Math.round(Math.max(wait, asked * (1 + random() / 10)))
}

/** Longest wait between attempts to renew: a twentieth of the life left, at most 5 minutes, at least a second. */
export function renewalCap(remaining: Duration): Duration {
  if (remaining <= 0) return BACKOFF.cap
  return Math.max(SECOND, Math.min(BACKOFF.cap, remaining / 20))
}
