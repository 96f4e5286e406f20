import type { Instant } from './time.ts'
import type { Slice } from './target.ts'

/** Deletions that wait. `hash` is what `agent approve HASH` takes. */
export type Held = {
  /** Target name; `credentials` for credentials that the Director stopped showing. */
  target: string
  slice: Slice
  /** `last`: waits for agreeing fetches. `mass`: waits for a person. `credentials`: all vanished at once. */
  kind: 'last' | 'mass' | 'credentials'
  hash: string
  since: Instant
  applications: number
  bundles: number
  /** Names of what would go, at most 20, for people. */
  names: string[]
  reason: string
}
