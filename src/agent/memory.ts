import type { ParsedToken } from '../clients/token.ts'
import type { Identity, PendingEnrolment } from '../model/identity.ts'
import type { Held } from '../model/guard.ts'
import type { Problem } from '../model/problem.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { HistoryEntry, Source, TokenStatus } from '../model/status.ts'
import type { SourceProblem } from '../model/target.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { Due, Facts, TargetName } from './next.ts'
import type { Session } from './ports.ts'
import type { AgentState } from './state.ts'

/** What the loop knows between two steps. Only loop.ts changes it; all of it can be learned again after a crash. */
export type Memory = {
  startedAt: Instant
  owner: boolean
  identity?: Identity
  /** Why the newest identity on disk was not used. */
  identityProblem?: Problem
  pending?: PendingEnrolment
  /** Open for `identity`. */
  session?: Session
  token: TokenMemory
  snapshot?: Snapshot
  /** Problems of the snapshot as a whole: damaged, or credentials that vanished. */
  snapshotProblems: Problem[]
  credentialsHeld: Held[]
  /** Labels of the runtime as the Director has them. */
  runtimeLabels?: Record<string, unknown>
  state: AgentState
  connect: Due
  renew: Due
  label: Due
  sources: Partial<Record<Source, SourceMemory>>
  targets: Record<TargetName, TargetMemory>
  /** Latest first. */
  history: HistoryEntry[]
  /** Server time minus ours. */
  clockSkew?: Duration
  /** Last sign of life of the loop or of a request. */
  heartbeat: Instant
}

export type TokenMemory = {
  status: TokenStatus
  digest?: string
  parsed?: ParsedToken
  problem?: Problem
}

export type SourceMemory = Due & {
  lastSuccess?: Instant
  requests?: number
}

export type TargetMemory = Due & {
  kind: string
  lastSuccess?: Instant
  objects?: number
  changes?: number
  held: Held[]
  /** Problems of single applications or documents. */
  problems: SourceProblem[]
}

/** Keeps the latest 50; older ones are in the log. */
const HISTORY = 50

export function remember(memory: Memory, entry: HistoryEntry): void {
  memory.history = [entry, ...memory.history].slice(0, HISTORY)
}

/**
 * Expired only when the local and the server-corrected clock both say so: a wrong clock on either side must not make
 * the agent give up an identity that works.
 */
export function isExpired(identity: Identity, now: Instant, skew: Duration = 0): boolean {
  return now >= identity.notAfter && now + skew >= identity.notAfter
}

/** What {@link next} decides on. */
export function factsOf(memory: Memory, now: Instant): Facts {
  const { identity, clockSkew } = memory
  return {
    now,
    owner: memory.owner,
    paused: memory.state.paused,
    identity: identity !== undefined && !isExpired(identity, now, clockSkew),
    snapshot: memory.snapshot !== undefined,
    connect: memory.connect,
    renew: memory.renew,
    label: memory.label,
    sources: memory.sources,
    targets: memory.targets,
  }
}
