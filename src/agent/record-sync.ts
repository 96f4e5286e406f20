import { initialGuardState } from '../model/guard.ts'
import type { Approval, GuardState, Held } from '../model/guard.ts'
import type { AgentError, Problem } from '../model/problem.ts'
import { AgentError as Failure } from '../model/problem.ts'
import type { Source } from '../model/status.ts'
import type { Change, ChangeResult } from '../model/target.ts'
import { HOUR } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import type { ApplyOutcome } from './apply.ts'
import type { Deps } from './deps.ts'
import type { FetchOutcome } from './fetch.ts'
import { labelDifferences } from './label.ts'
import { makeDue, remember } from './memory.ts'
import type { Memory, SourceMemory, TargetMemory } from './memory.ts'
import { notDue, succeeded } from './next.ts'
import type { TargetName } from './next.ts'
import { planReport } from './record-configuration.ts'
import { noteDone, noteFailure, noteRecovery, retryLater, saveState } from './retry.ts'

export async function recordFetched(
  deps: Deps,
  memory: Memory,
  source: Source,
  outcome: FetchOutcome,
): Promise<void> {
  const now = deps.clock.now()
  const { snapshot, changed, held, spent, problems, history, runtimeLabels, requests } = outcome
  noteRecovery(deps, source, sourceOf(memory, source))
  memory.snapshot = snapshot
  memory.snapshotProblems = problems.map(({ problem }) => problem)
  noteUnsaved(deps, memory, outcome.unsaved)
  noteHeld(deps, memory, memory.credentialsHeld, held)
  memory.credentialsHeld = held
  memory.runtimeLabels = runtimeLabels
  memory.sources[source] = {
    ...succeeded(now + deps.settings.interval),
    lastAttempt: now,
    lastSuccess: now,
    requests,
  }
  // It may bring something new for every target; one that failed waits for its own time, unless that has come.
  for (const [name, due] of Object.entries(memory.targets)) {
    const part = `target ${name}` as const
    // What one application waits for must not keep what is new from the others.
    const isDue = due.failures === 0 || memory.running.has(part) || (changed && due.partly === true)
    if (due.slices.includes('applications') && isDue) makeDue(memory, [part, due], now)
  }
  for (const entry of history) remember(memory, entry)
  const applications = snapshot.applications.length
  deps.log[changed ? 'info' : 'debug'](`fetched ${applications} applications`, {
    source,
    requests,
    changed,
  })
  planLabels(deps, memory, now)
  await saveState(deps, memory, { approvals: withoutSpent(memory.state.approvals, spent, now) })
}

/** Says once that the snapshot is in memory only, and shows it for as long as it is. */
function noteUnsaved(deps: Deps, memory: Memory, unsaved: Problem | undefined): void {
  const before = memory.unsaved?.code
  delete memory.unsaved
  if (unsaved === undefined) return
  memory.unsaved = unsaved
  memory.snapshotProblems.push(unsaved)
  if (before === unsaved.code) return
  const { message, code, turn, hint } = unsaved
  deps.log.warn(message, { code, turn, hint })
}

function planLabels(deps: Deps, memory: Memory, now: Instant): void {
  if (memory.label.failures > 0) return
  const differ = labelDifferences(deps.settings.labels, memory.runtimeLabels ?? {}).length > 0
  memory.label = differ ? succeeded(now) : notDue
}

export function recordFetchFailed(
  deps: Deps,
  memory: Memory,
  source: Source,
  error: AgentError,
): void {
  const before = sourceOf(memory, source)
  const lastAttempt = deps.clock.now()
  const after = { ...before, ...retryLater(deps, before, error), lastAttempt }
  memory.sources[source] = after
  noteFailure(deps, memory, source, { before, after, error })
}

function sourceOf(memory: Memory, source: Source): SourceMemory {
  return memory.sources[source] ?? succeeded(0)
}

export function recordLabelled(
  deps: Deps,
  memory: Memory,
  runtimeLabels: Record<string, unknown>,
): void {
  memory.runtimeLabels = runtimeLabels
  memory.label = notDue
  noteDone(deps, memory, 'labelled the runtime')
}

export function recordLabelFailed(deps: Deps, memory: Memory, error: AgentError): void {
  const before = memory.label
  memory.label = retryLater(deps, before, error)
  noteFailure(deps, memory, 'label', { before, after: memory.label, error })
}

export function guardStateOf(memory: Memory, target: TargetName): GuardState {
  return memory.state.guards[target] ?? initialGuardState
}

export async function recordApplied(
  deps: Deps,
  memory: Memory,
  name: TargetName,
  outcome: ApplyOutcome,
): Promise<void> {
  const before = targetOf(memory, name)
  const now = deps.clock.now()
  const { results, held, problems, guardState, spent } = outcome
  const done = results.filter((result) => result.outcome === 'applied')
  const failure = failureOf(results, outcome.after)
  const { partly: _, ...others } = before
  const common = {
    ...others,
    objects: objectsAfter(outcome, done),
    changes: done.length,
    held,
    problems: [...problems],
  }
  noteChanges(deps, memory, name, outcome, done)
  noteHeld(deps, memory, before.held, held)
  if (failure === undefined) {
    noteRecovery(deps, name, before)
    memory.targets[name] = {
      ...withoutFailure(common),
      ...succeeded(now + deps.settings.interval),
      lastSuccess: now,
    }
  } else {
    const partly = outcome.after.length === 0 && failure.class === 'operator'
    const after = { ...common, ...retryLater(deps, before, failure), ...(partly && { partly }) }
    memory.targets[name] = after
    noteFailure(deps, memory, name, { before, after, error: failure })
  }
  await saveState(deps, memory, {
    guards: { ...memory.state.guards, [name]: guardState },
    approvals: withoutSpent(memory.state.approvals, spent, now),
  })
  planReport(deps, memory)
}

export function recordApplyFailed(
  deps: Deps,
  memory: Memory,
  name: TargetName,
  error: AgentError,
): void {
  const { partly: _, ...before } = targetOf(memory, name)
  const after = { ...before, ...retryLater(deps, before, error) }
  memory.targets[name] = after
  noteFailure(deps, memory, name, { before, after, error })
  planReport(deps, memory)
}

function targetOf(memory: Memory, name: TargetName): TargetMemory {
  const target = memory.targets[name]
  if (target === undefined) throw new RangeError(`no target is named ${name}`)
  return target
}

function withoutFailure(target: TargetMemory): TargetMemory {
  const healthy = { ...target }
  delete healthy.failure
  return healthy
}

/** A change that failed, or what verification found. */
function failureOf(results: ChangeResult[], after: Problem[]): AgentError | undefined {
  const failed = results.filter(({ outcome }) => outcome === 'failed').map(({ problem }) => problem)
  const first = [...failed, ...after].find((problem) => problem !== undefined)
  if (first === undefined) return undefined
  const { code, message, hint, turn, subject } = first
  return new Failure(code, message, { hint, turn, subject })
}

function objectsAfter({ plan, objects }: ApplyOutcome, done: ChangeResult[]): number {
  const applied = new Set(done.map(({ key }) => key))
  const sum = (kind: string): number =>
    plan.changes.filter((c) => c.kind === kind && applied.has(c.key)).length
  return objects + sum('create') - sum('delete')
}

/** Beyond this many changes of a kind in one pass, the rest is only counted. */
const NAMED = 5

function noteChanges(
  deps: Deps,
  memory: Memory,
  target: TargetName,
  { plan }: ApplyOutcome,
  done: ChangeResult[],
): void {
  if (done.length === 0) {
    deps.log.debug('nothing to change', { target })
    return
  }
  const applied = new Set(done.map(({ key }) => key))
  const changes = plan.changes.filter(({ key }) => applied.has(key))
  const texts = [
    listed('created', changes, 'create'),
    listed('updated', changes, 'update'),
    listed('removed', changes, 'delete'),
  ]
  const text = texts.filter((part) => part !== '').join('; ')
  noteDone(deps, memory, `${target}: ${text}`, { target, changes: done.length })
}

function listed(verb: string, changes: Change[], kind: Change['kind']): string {
  const names = changes
    .filter((change) => change.kind === kind)
    .map((change) => (change.kind === 'delete' ? `${change.name} (${change.why})` : change.name))
  if (names.length === 0) return ''
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : ''
  return `${verb} ${names.slice(0, NAMED).join(', ')}${more}`
}

/** Says of deletions that begin to wait, or wait no more. */
function noteHeld(deps: Deps, memory: Memory, before: Held[], after: Held[]): void {
  const known = new Set(before.map(({ hash }) => hash))
  for (const held of after.filter(({ hash }) => !known.has(hash))) {
    deps.log.warn(held.reason, {
      target: held.target,
      kind: held.kind,
      hash: held.hash,
      names: held.names,
    })
    remember(memory, { at: deps.clock.now(), level: 'warn', message: held.reason })
  }
  if (before.length > 0 && after.length === 0) deps.log.info('nothing is held any more')
}

/** Longest life of an approval (design §6 Guard). */
const APPROVAL_LIFE = HOUR

function withoutSpent(approvals: Approval[], spent: string[], now: Instant): Approval[] {
  return approvals.filter(({ hash, at }) => !spent.includes(hash) && now - at < APPROVAL_LIFE)
}
