import { sha256 } from '../model/digest.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { RolloutState } from './tables.ts'

/*
 * Which version a runtime gets. The newest one reaches the runtimes in steps, always the same ones first: they are ordered by a
 * hash of their ids. Who is not reached keeps what it has, so that versions lie over each other like layers: the newest
 * covers some percent, one that was stopped half-way may lie below it, and the lowest one covers all.
 *
 * No server leads. A step is taken by whoever sees first that it is time, with a compare-and-swap in the store.
 */

/** How far a version has come. */
export type Rollout = {
  number: number
  steps: readonly number[]
  stage: number
  stageAt: Instant
  wait: Duration
  state: RolloutState
}

/** Percent of the runtimes that a version reaches now. */
export function percentOf({ steps, stage }: Rollout): number {
  return steps[stage] ?? 100
}

/** Versions that still count, newest first: down to the first that reaches all. */
export function layersOf<R extends Rollout>(newestFirst: readonly R[]): R[] {
  const lowest = newestFirst.findIndex((one) => percentOf(one) >= 100)
  return newestFirst.slice(0, lowest < 0 ? newestFirst.length : lowest + 1)
}

/** What to do about a rollout now: the next step, or a new time where the clock was set back beyond its last step. */
export function nextStep(
  rollout: Rollout,
  now: Instant,
): { stage: number; state: RolloutState } | 'restart' | undefined {
  const { state, stage, steps, stageAt, wait } = rollout
  if (state !== 'rolling') return undefined
  if (now < stageAt) return 'restart'
  if (now < stageAt + wait) return undefined
  const next = stage + 1
  return { stage: next, state: next >= steps.length - 1 ? 'complete' : 'rolling' }
}

/** The place of each runtime, from 0 to below 100: it is reached when the percentage is larger. */
export function places(ids: Iterable<string>): Map<string, number> {
  const ordered = [...ids].map((id) => ({ id, hash: sha256(id) }))
  ordered.sort((a, b) => (a.hash < b.hash ? -1 : 1))
  return new Map(ordered.map(({ id }, index) => [id, (100 * index) / ordered.length]))
}
