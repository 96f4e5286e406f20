import type { Problem } from '../model/problem.ts'
import type { ChangeResult, Desired, Observed, Plan, Rendered, Slice } from '../model/target.ts'

/**
 * A place that is kept in step with what is desired. It knows how to look, how things would look, and how to carry out
 * an approved plan; planning, guarding, retrying and reporting are not its business.
 *
 * One pass is: observe, render, planChanges, guard, apply, verify. `apply` and `verify` are called in every pass, also
 * with an empty plan: then they write nothing that readers see, but clear away or carry out what an earlier pass left.
 */
export interface Target {
  readonly name: string
  readonly kind: string
  /** What it makes visible. It never sees the other slice, and nothing of that concerns it. */
  readonly slices: readonly Slice[]
  /**
   * All objects of ours for this runtime, by key. Throws if not all can be read: unread is not absent. Writes nothing.
   * The runtime's id is part of every mark, and what carries another one is not ours.
   */
  observe(runtimeId: string, signal: AbortSignal): Promise<Observed>
  /** Pure. Names already given are kept; what cannot be rendered is a named problem of its source. */
  render(desired: Desired, observed: Observed): Rendered
  /**
   * Carries out the plan and nothing else; one result a change. Throws when the target as a whole cannot be written
   * (a full disk): then everything is as it was. The plan is made from the latest `observe` of this target.
   */
  apply(plan: Plan, signal: AbortSignal): Promise<ChangeResult[]>
  /**
   * What is wrong after `apply`: a sidecar that refuses, a hook that failed (it runs here, and again in the next pass).
   * A target without `restore` has nothing to take back: its problems are only shown.
   */
  verify?(plan: Plan, signal: AbortSignal): Promise<Problem[]>
  /** Back to what was before `apply`, when `verify` finds problems. */
  restore?(signal: AbortSignal): Promise<void>
}
