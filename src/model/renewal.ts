import { sha256 } from './digest.ts'
import type { Duration, Instant } from './time.ts'
import type { Window } from './window.ts'
import { nextWindow } from './window.ts'

/** From NotBefore to NotAfter of a certificate. */
export type Validity = { notBefore: Instant; notAfter: Instant }

export type RenewalSettings = {
  /** Share of the life left at which to renew: `renewal.threshold`. */
  threshold: number
  /** −0.1 to 0.1, see {@link renewalOffset}: spreads agents that were enrolled together. */
  offset: number
  /** None: at any time. */
  windows: readonly Window[]
}

/** Below this share of the life left nothing is waited for. */
const EMERGENCY = 0.05
const SPREAD = 0.1
/** Never renewed more often than this share of the life, whatever the clocks say. */
const SHORTEST = 0.1

/** The same number between −0.1 and 0.1 for the same id, evenly spread over ids. */
export function renewalOffset(id: string): number {
  const unit = parseInt(sha256(id).slice(0, 8), 16) / 0xffffffff
  return (unit * 2 - 1) * SPREAD
}

/**
 * When to renew: at `threshold` of the life left, ten percent of that earlier or later, moved into the next window;
 * windows are ignored once five percent of the life are left.
 *
 * @testing without clocks
 */
export function renewAt(validity: Validity, settings: RenewalSettings): Instant {
  const { threshold, offset, windows } = settings
  const left = lifeOf(validity) * threshold * (1 + offset)
  const wanted = Math.max(validity.notBefore, validity.notAfter - left)
  return Math.min(nextWindow(windows, wanted), emergencyAt(validity))
}

/** When five percent of the life are left. */
function emergencyAt(validity: Validity): Instant {
  return validity.notAfter - lifeOf(validity) * EMERGENCY
}

export type RenewalClock = {
  /** Our wall clock. */
  now: Instant
  /** Server time minus ours; undefined before the first answer. */
  skew?: Duration | undefined
  /** When the identity was obtained, by our wall clock: keeps a wrong clock from renewing without end. */
  obtainedAt?: Instant | undefined
}

/**
 * The instant by our wall clock from which renewal is due: when our clock or the server's says so, as renewing early
 * costs little and late costs the identity. Never within a tenth of the life after the last renewal, so that a wrong
 * clock makes no loop.
 */
export function nextRenewal(
  validity: Validity,
  settings: RenewalSettings,
  { now, skew = 0, obtainedAt }: RenewalClock,
): Instant {
  const at = renewAt(validity, settings)
  // The server's clock reaches `at` when ours shows `at - skew`.
  const due = Math.min(at, at - skew)
  // A renewal that lies ahead was made before the clock was set back: its time says nothing.
  if (obtainedAt === undefined || obtainedAt > now) return due
  return Math.max(due, obtainedAt + lifeOf(validity) * SHORTEST)
}

/** What is left of the life, by the clock that leaves less. Not below 0. */
export function remainingLife(
  validity: Validity,
  { now, skew = 0 }: Pick<RenewalClock, 'now' | 'skew'>,
): Duration {
  return Math.max(0, validity.notAfter - Math.max(now, now + skew))
}

/**
 * Expired only when our clock and the server's both say so: a wrong clock must not make the agent give up an identity
 * that works. Before the first answer only ours is known.
 */
export function isExpired({ notAfter }: Validity, now: Instant, skew: Duration = 0): boolean {
  return now >= notAfter && now + skew >= notAfter
}

/** Not negative, whatever a certificate says. */
function lifeOf({ notBefore, notAfter }: Validity): Duration {
  return Math.max(0, notAfter - notBefore)
}
