import type { Application } from '../model/application.ts'
import type { Held } from '../model/guard.ts'
import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type {
  ApplicationStatus,
  IdentityStatus,
  LabelStatus,
  SourceStatus,
  Status,
  TargetStatus,
} from '../model/status.ts'
import type { Owner } from '../model/target.ts'
import { MINUTE, formatDuration } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import { connectDue } from './connect.ts'
import { labelDifferences } from './label.ts'
import type { Labels } from './label.ts'
import { configurationStatus, refusedOf } from './configuration-status.ts'
import { busyWith, isListening } from './memory.ts'
import type { Memory, SourceMemory, TargetMemory } from './memory.ts'
import { isExpired } from '../model/renewal.ts'
import type { Decision } from './next.ts'
import type { Source } from '../model/status.ts'

/** What does not change while the agent runs. */
export type StatusFrame = {
  version: string
  name: string
  pid: number
  insecure: boolean
  labels: Labels
}

/** The status: a pure function of what the loop knows and what it has decided. */
export function statusOf(
  frame: StatusFrame,
  memory: Memory,
  decision: Decision,
  now: Instant,
): Status {
  const { identity, snapshot, clockSkew } = memory
  return {
    version: frame.version,
    name: frame.name,
    pid: frame.pid,
    startedAt: memory.startedAt,
    at: now,
    ...doing(memory, decision),
    nextAt: decision.state === 'idle' ? decision.until : now,
    standby: !memory.owner,
    paused: memory.state.paused,
    ...optional('runtimeId', identity?.runtimeId ?? snapshot?.runtimeId),
    ...optional('connectorUrl', identity?.plane.connectorUrl),
    ...optional('directorUrl', identity?.plane.directorUrl),
    ...optional('identity', identityStatus(memory, now)),
    token: memory.token.status,
    running: busyWith(memory).map(([part, { state, since }]) => ({ part, state, since })),
    sources: Object.entries(memory.sources).map(([name, source]) =>
      sourceStatus(name as Source, source, memory),
    ),
    targets: Object.entries(memory.targets).map(([name, target]) => targetStatus(name, target)),
    labels: labelStatus(frame.labels, memory.runtimeLabels),
    applications: applicationStatuses(memory),
    ...optional('configuration', configurationStatus(memory)),
    // A standby has looked at nothing: what it does not know is no problem of anybody.
    failing: memory.owner
      ? {
          ...optional('connect', connectDue(memory, now).failure),
          ...optional('renew', memory.renew.failure),
          ...optional('label', memory.label.failure),
          ...optional('report', memory.report.failure),
        }
      : {},
    problems: memory.owner ? problemsOf(memory, now) : standbyProblems(memory),
    history: memory.history,
    ...optional('clockSkew', clockSkew),
    insecure: frame.insecure,
  }
}

/** What goes on beside the loop counts before what the loop waits for. */
function doing(memory: Memory, { state, why }: Decision): Pick<Status, 'state' | 'why'> {
  const job = memory.running.get('identity') ?? busyWith(memory)[0]?.[1]
  return job === undefined ? { state, why } : { state: job.state, why: job.why }
}

function identityStatus(
  { identity, renew, clockSkew }: Memory,
  now: Instant,
): IdentityStatus | undefined {
  if (identity === undefined) return undefined
  const { fingerprint, subject, notBefore, notAfter } = identity
  const tooEarly = now < notBefore && now + (clockSkew ?? 0) < notBefore
  const condition = isExpired(identity, now, clockSkew)
    ? 'expired'
    : tooEarly
      ? 'not-yet-valid'
      : 'valid'
  return { fingerprint, subject, notBefore, notAfter, renewAt: renew.nextAt, condition }
}

function sourceStatus(name: Source, source: SourceMemory, memory: Memory): SourceStatus {
  const applications = name === 'director' ? memory.snapshot?.applications : undefined
  const configuration = name === 'director' ? undefined : memory.configuration
  const job = memory.running.get(name)
  return {
    name,
    nextAt: source.nextAt,
    failures: source.failures,
    ...optional('lastAttempt', source.lastAttempt),
    ...optional('lastSuccess', source.lastSuccess),
    ...optional('requests', source.requests),
    ...optional('applications', applications?.length),
    ...optional(
      'bundles',
      applications?.reduce((sum, { bundles }) => sum + bundles.length, 0),
    ),
    ...optional('documents', configuration?.documents.length),
    ...optional('refused', configuration?.refused.length),
    ...(job !== undefined && isListening(job) ? { listening: true } : {}),
    ...optional('problem', source.failure),
  }
}

function targetStatus(name: string, target: TargetMemory): TargetStatus {
  return {
    name,
    kind: target.kind,
    nextAt: target.nextAt,
    failures: target.failures,
    ...optional('lastSuccess', target.lastSuccess),
    ...optional('objects', target.objects),
    ...optional('changes', target.changes),
    ...(target.held.length === 0 ? {} : { held: target.held }),
    ...optional('problem', target.failure),
  }
}

function labelStatus(wanted: Labels, current: Record<string, unknown> | undefined): LabelStatus[] {
  const differing = new Set(labelDifferences(wanted, current ?? {}).map(([key]) => key))
  return Object.entries(wanted).map(([key, value]) => ({
    key,
    wanted: value,
    ...(current?.[key] === undefined ? {} : { current: current[key] }),
    inStep: current !== undefined && !differing.has(key),
  }))
}

type Made = { targets: TargetMemory[]; statuses: ApplicationStatus[] }

/** By the list that they are of: made again only when the landscape, or what a target said of it, is another one. */
const made = new WeakMap<readonly Application[], Made>()

function applicationStatuses({ snapshot, targets: byName }: Memory): ApplicationStatus[] {
  if (snapshot === undefined) return []
  const { applications } = snapshot
  const targets = Object.values(byName).filter(({ slices }) => slices.includes('applications'))
  const known = made.get(applications)
  const same =
    known?.targets.length === targets.length && targets.every((t, i) => t === known.targets[i])
  if (known !== undefined && same) return known.statuses
  const statuses = applications.map((application) => applicationStatus(application, targets))
  made.set(applications, { targets, statuses })
  return statuses
}

function applicationStatus(
  { id, name, bundles }: Application,
  targets: TargetMemory[],
): ApplicationStatus {
  const problems = targets.flatMap((target) =>
    target.problems.filter(({ owner }) => isOf(owner, id)).map((p) => p.problem),
  )
  const stale = bundles.some(({ auth, authMissingSince }) => auth && authMissingSince !== undefined)
  const synced = targets.every(
    ({ lastSuccess, failures, partly }) =>
      partly === true || (lastSuccess !== undefined && failures === 0),
  )
  const condition =
    problems.length > 0 ? 'problem' : stale ? 'stale' : synced ? 'synced' : 'pending'
  return { id, name, bundles: bundles.length, condition, problems }
}

function isOf(owner: Owner, application: string): boolean {
  return owner.slice === 'applications' && owner.application === application
}

/** Beyond this, certificates and tokens may seem not yet or no longer valid. */
const SKEW_LIMIT = MINUTE

function standbyProblems({ standbyProblem }: Memory): Problem[] {
  return standbyProblem === undefined ? [] : [standbyProblem]
}

/** Worst first: what a person must do before what the agent does by itself. */
function problemsOf(memory: Memory, now: Instant): Problem[] {
  const targets = Object.values(memory.targets)
  const all = [
    memory.identityProblem,
    memory.token.problem,
    connectDue(memory, now).failure,
    memory.renew.failure,
    memory.label.failure,
    memory.report.failure,
    ...Object.values(memory.sources).map(({ failure }) => failure),
    ...memory.snapshotProblems,
    ...memory.credentialsHeld.map(heldProblem),
    ...memory.configurationProblems,
    ...refusedOf(memory),
    ...targets.flatMap(({ failure, held, problems }) => [
      failure,
      ...held.map(heldProblem),
      ...problems.map((p) => p.problem),
    ]),
    skewProblem(memory),
  ].filter((problem) => problem !== undefined)
  const distinct = new Map(all.map((problem) => [`${problem.code} ${problem.message}`, problem]))
  return [...distinct.values()].sort(
    (a, b) => Number(a.turn === 'agent') - Number(b.turn === 'agent'),
  )
}

function heldProblem(held: Held): Problem {
  const code = {
    last: 'deletions_waiting',
    mass: 'deletions_held',
    credentials: 'credentials_held',
  } as const
  const approve = `agent approve ${held.hash}`
  const hint =
    held.kind === 'last'
      ? `they go when three fetches over ten minutes agree, or at once with ${approve}`
      : `look with agent plan; if it is meant: ${approve}`
  return problem(code[held.kind], held.reason, { hint, subject: held.target })
}

function skewProblem({ clockSkew = 0 }: Memory): Problem | undefined {
  if (Math.abs(clockSkew) < SKEW_LIMIT) return undefined
  const side = clockSkew > 0 ? 'behind' : 'ahead of'
  return problem(
    'clock_skewed',
    `The clock here is ${formatDuration(Math.round(Math.abs(clockSkew) / MINUTE) * MINUTE)} ${side} that of Compass`,
  )
}

function optional<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]: Value })
}
