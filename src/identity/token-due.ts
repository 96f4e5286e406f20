import type { TokenIntent } from '../model/identity.ts'
import { HOUR, MINUTE, SECOND, type Duration, type Instant } from '../model/time.ts'

/** Life of a token that names no end of its own (reference/connector.md §6). */
export const TOKEN_LIFE: Duration = HOUR

/** A token is sent at most so often within an hour (design §6 Enrolment). */
const PER_HOUR = 6

/** Between two tries: soon at first, for a Compass that restarts, then so that the six cover the hour. */
const PAUSES: readonly Duration[] = [5 * SECOND, 25 * SECOND, 2 * MINUTE, 10 * MINUTE, 20 * MINUTE]

/**
 * When a token may be sent again. `spent`: an answer proved that it is gone. `over`: the time in which it could live has
 * passed, or will have before it may be sent again. A token that was never sent is due at once, even if its own end has
 * passed: the clock that says so may be wrong, and one try costs nothing.
 */
export function tokenDue(intent: TokenIntent, now: Instant): { at: Instant } | 'spent' | 'over' {
  if (intent.spent === true) return 'spent'
  // Tries in the future were made before the clock was set back: they must not block the token for as long.
  const attempts = intent.attempts.map((at) => Math.min(at, now)).sort((a, b) => a - b)
  const last = attempts.at(-1)
  if (last === undefined) return { at: now }
  const pause = PAUSES[attempts.length - 1] ?? PAUSES.at(-1) ?? HOUR
  const sixth = attempts.at(-PER_HOUR)
  const at = Math.max(last + pause, sixth === undefined ? 0 : sixth + HOUR, now)
  return at >= intent.until ? 'over' : { at }
}
