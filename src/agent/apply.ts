import type {
  Approval,
  Deletion,
  GuardConfig,
  GuardOutcome,
  GuardState,
  Held,
} from '../model/guard.ts'
import { guard } from '../model/guard.ts'
import { planChanges } from '../model/plan.ts'
import { withholdUnknown } from '../model/unknown-credentials.ts'
import type { Problem } from '../model/problem.ts'
import type { ConfigurationSnapshot } from '../model/configuration.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type {
  Change,
  ChangeResult,
  Desired,
  Observed,
  Plan,
  Rendered,
  SourceProblem,
} from '../model/target.ts'
import type { Instant } from '../model/time.ts'
import { relieveMemory } from '../runtime/relieve.ts'
import type { Target } from '../targets/target.ts'

export type ApplyInput = {
  target: Target
  /** One of both at least. A slice that is missing is held as it is. */
  snapshot?: Snapshot
  configuration?: ConfigurationSnapshot
  guardState: GuardState
  guard: GuardConfig
  approvals: readonly Approval[]
  now: Instant
}

/** What a pass over one target would do: nothing is written to find out. */
export type Planned = {
  plan: Plan
  held: Held[]
  /** Deletions that wait. */
  waiting: Deletion[]
  /** Problems of single applications or documents. */
  problems: readonly SourceProblem[]
  guardState: GuardState
  spent: string[]
  /** Objects of ours before the pass. */
  objects: number
}

/** observe, render, plan, guard (design §2). */
export async function planTarget(input: ApplyInput, signal: AbortSignal): Promise<Planned> {
  const { target, snapshot, configuration } = input
  const desired = desiredBy(input)
  const observed = await target.observe(desired.runtimeId, signal)
  const rendered = withRefused(target.render(desired, observed), observed, desired, configuration)
  const planned = planChanges(rendered, observed, desired)
  const { changes, problems } = withholdUnknown(planned, observed, desired)
  const deletions = changes.filter(isDeletion)
  const guarded: GuardOutcome = guard({
    target: target.name,
    deletions,
    observed,
    desired,
    state: input.guardState,
    fetchedAt: {
      applications: snapshot?.fetchedAt,
      configuration: configuration?.fetchedAt,
    },
    now: input.now,
    config: input.guard,
    approvals: input.approvals,
  })
  const released = new Set(guarded.released.map(({ key }) => key))
  const allowed = changes.filter((change) => !isDeletion(change) || released.has(change.key))
  return {
    plan: { target: target.name, changes: allowed },
    held: guarded.held,
    waiting: deletions.filter(({ key }) => !released.has(key)),
    problems: [...rendered.problems, ...problems],
    guardState: guarded.state,
    spent: guarded.spent,
    objects: observed.objects.size,
  }
}

/** What the target should look like, in the slices that it has. */
function desiredBy({ target: { slices }, snapshot, configuration }: ApplyInput): Desired {
  const runtimeId = snapshot?.runtimeId ?? configuration?.runtimeId ?? ''
  const normalized = snapshot?.namesNormalized
  return {
    runtimeId,
    ...(snapshot !== undefined && slices.includes('applications')
      ? { applications: snapshot.applications }
      : {}),
    ...(configuration !== undefined && slices.includes('configuration')
      ? { configuration: configuration.documents }
      : {}),
    ...(normalized === undefined ? {} : { namesNormalized: normalized }),
  }
}

/** Holds what is there of documents of which nobody can tell what was meant. */
function withRefused(
  rendered: Rendered,
  observed: Observed,
  desired: Desired,
  configuration: ConfigurationSnapshot | undefined,
): Rendered {
  if (desired.configuration === undefined || configuration === undefined) return rendered
  const held = configuration.refused.flatMap(({ keeps, problem }): SourceProblem[] => {
    if (keeps === undefined) return []
    const documents = keeps === 'everything' ? documentsIn(observed) : [keeps.document]
    return documents.map((document) => ({
      owner: { slice: 'configuration', document },
      problem,
      withheld: true,
    }))
  })
  return held.length === 0 ? rendered : { ...rendered, problems: [...rendered.problems, ...held] }
}

function documentsIn({ objects }: Observed): string[] {
  const all = [...objects.values()].flatMap(({ owner }) =>
    owner.slice === 'configuration' ? owner.document : [],
  )
  return [...new Set(all)]
}

export type ApplyOutcome = Planned & {
  results: ChangeResult[]
  /** What is wrong with the target after the pass. */
  after: Problem[]
}

/** plan, apply, verify, and back when that finds what can be taken back (design §2). */
export async function applyTarget(input: ApplyInput, signal: AbortSignal): Promise<ApplyOutcome> {
  const { target } = input
  const planned = await planTarget(input, signal)
  if (planned.plan.changes.length > 0) relieveMemory()
  const results = await target.apply(planned.plan, signal)
  const after = (await target.verify?.(planned.plan, signal)) ?? []
  const problems = [...planned.problems, ...problemsOf(planned.plan, results)]
  const outcome = { ...planned, problems, after }
  if (after.length === 0 || target.restore === undefined) return { ...outcome, results }
  await target.restore(signal)
  return { ...outcome, results: results.map(reverted) }
}

/** Of single changes, each with whom it concerns. */
function problemsOf({ changes }: Plan, results: readonly ChangeResult[]): SourceProblem[] {
  const owners = new Map(changes.map(({ key, owner }) => [key, owner]))
  return results.flatMap(({ key, problem }) => {
    const owner = owners.get(key)
    return problem === undefined || owner === undefined ? [] : [{ owner, problem, withheld: false }]
  })
}

function isDeletion(change: Change): change is Deletion {
  return change.kind === 'delete'
}

function reverted(result: ChangeResult): ChangeResult {
  return result.outcome === 'applied' ? { ...result, outcome: 'reverted' } : result
}
