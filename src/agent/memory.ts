import type { ConfigurationSnapshot } from '../model/configuration.ts'
import type { Identity, PendingEnrolment } from '../model/identity.ts'
import type { Held } from '../model/guard.ts'
import type { Code, Problem } from '../model/problem.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { HistoryEntry, Source, State, TokenStatus } from '../model/status.ts'
import type { Report } from '../clients/runtime-director.ts'
import type { Slice, SourceProblem } from '../model/target.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { Due, Part, TargetName } from './next.ts'
import type { Session } from './ports.ts'
import type { TokenSeen } from './token-watch.ts'
import type { AgentState } from './state.ts'

/** What the loop knows between two steps. Only loop.ts changes it; all of it can be learned again after a crash. */
export type Memory = {
  startedAt: Instant
  owner: boolean
  identity?: Identity
  /** When this process got it; undefined for one of an earlier run. */
  obtainedAt?: Instant
  /** Why the newest identity on disk was not used. */
  identityProblem?: Problem
  pending: PendingEnrolment | undefined
  /** Open for `identity`. */
  session?: Session
  /** Of earlier identities, closed when nothing uses them any more. */
  retired: Session[]
  token: TokenSeen & { status: TokenStatus }
  /** Digest of the token that `connect` is about: with another one it begins anew. */
  connectToken?: string
  /** A person asked for a new identity: untried tokens are used although the present one works, until one brings it or all are gone. */
  reconnect: boolean
  /** What the log has said that the agent waits for. */
  waitsFor?: Code
  /** When the Connector was last asked where the Director is. */
  planeAskedAt: Instant
  snapshot?: Snapshot
  /** Why the present snapshot is not stored. */
  unsaved?: Problem
  /** Problems of the snapshot as a whole: damaged, or credentials that vanished. */
  snapshotProblems: Problem[]
  credentialsHeld: Held[]
  configuration?: ConfigurationSnapshot
  /** Problems of the configuration as a whole: damaged, in memory only, or nobody takes it. */
  configurationProblems: Problem[]
  /** Why the present configuration is not stored. */
  configurationUnsaved?: Problem
  report: Due
  /** What the Runtime Director was told last. `off`: it takes no reports, as long as this process lives. */
  reported: { text?: string; state?: Report['state']; at?: Instant; off?: true }
  /** Labels of the runtime as the Director has them. */
  runtimeLabels?: Record<string, unknown>
  state: AgentState
  /** What the store has of it, as JSON. */
  storedState: string
  /** Ends with the last save of the state so far. */
  saving: Promise<void>
  /** Attempts so far; connectDue() makes of it when the next one is due. */
  connect: Due
  renew: Due
  /** What else than another agent keeps this one from being in charge. */
  standbyProblem?: Problem | undefined
  /** A person asked for a new certificate: whatever is learned of clocks, it is due until it is there. */
  renewAsked?: true
  label: Due
  sources: Partial<Record<Source, SourceMemory>>
  targets: Record<TargetName, TargetMemory>
  /** What is being worked on. */
  running: Map<Part, Running>
  /** Latest first. */
  history: HistoryEntry[]
  /** Server time minus ours; undefined until an answer tells it. */
  clockSkew?: Duration
  /** Answers from before this instant say nothing of our clock, which was set since. */
  clockFrom: Instant
  /** What our clock showed when the loop last looked: earlier now means that it was set back. */
  lookedAt: Instant
}

export type Running = {
  state: State
  why: string
  since: Instant
  /** It became due anew while it ran: what it was begun with is old. */
  again?: boolean
  /** It only waits for something new and may do so for ever: ends it. */
  interrupt?: () => void
}

export function isListening({ interrupt }: Running): boolean {
  return interrupt !== undefined
}

/** What is worked on; who only listens for changes does not count. */
export function busyWith({ running }: Memory): [Part, Running][] {
  return [...running].filter(([, job]) => !isListening(job))
}

export type SourceMemory = Due & {
  /** When the last fetch ended, well or not. */
  lastAttempt?: Instant
  lastSuccess?: Instant
  requests?: number
  /** What is known is confirmed: the next request may wait for something new. */
  listen?: true
  /** The server has waited with its last answer: it can. */
  waits?: true
}

export type TargetMemory = Due & {
  kind: string
  slices: readonly Slice[]
  lastSuccess?: Instant
  objects?: number
  changes?: number
  /** The last pass came through, and failed at single applications that wait for a person: the others are in step. */
  partly?: true
  held: Held[]
  /** Problems of single applications or documents. */
  problems: SourceProblem[]
  /** Digest of the configuration that the last pass was about. */
  configuration?: string
}

/** Keeps the latest 50; older ones are in the log. */
const HISTORY = 50

/** The parts of a sync, each with its due. */
export function syncParts({ sources, targets }: Memory): [Part, Due][] {
  return [
    ...Object.entries(sources).map(([name, due]): [Part, Due] => [name as Source, due]),
    ...Object.entries(targets).map(([name, due]): [Part, Due] => [`target ${name}`, due]),
  ]
}

/** Due now; what is under way is begun again when it has ended, as it does not know of what came since. */
export function makeDue(
  { running }: Memory,
  [part, due]: [Part, Due & { listen?: true }],
  now: Instant,
): void {
  due.nextAt = now
  if ('listen' in due) delete due.listen
  const job = running.get(part)
  if (job === undefined) return
  job.again = true
  job.interrupt?.()
}

export function remember(memory: Memory, entry: HistoryEntry): void {
  memory.history = [entry, ...memory.history].slice(0, HISTORY)
}
