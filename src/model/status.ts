import type { Held } from './guard.ts'
import type { Problem } from './problem.ts'
import type { Instant } from './time.ts'

export type State = 'connect' | 'sync' | 'label' | 'renew' | 'idle'

/** Where desired state comes from. */
export type Source = 'director' | 'runtime-director'

/** Everything a person or a machine may know about the agent: no secret, plain JSON. Instants are milliseconds. */
export type Status = {
  version: string
  /** `name` of agent.yaml. */
  name: string
  pid: number
  startedAt: Instant
  /** When this was written. */
  at: Instant
  state: State
  /** Why it is in that state, one sentence without a final period. */
  why: string
  /** When the loop will act next. */
  nextAt: Instant
  standby: boolean
  paused: boolean
  runtimeId?: string
  connectorUrl?: string
  directorUrl?: string
  identity?: IdentityStatus
  token: TokenStatus
  /** What is being worked on now. */
  running: RunningStatus[]
  sources: SourceStatus[]
  targets: TargetStatus[]
  labels: LabelStatus[]
  applications: ApplicationStatus[]
  /** Of the Runtime Director; missing while there is none. */
  configuration?: ConfigurationStatus
  /** What fails of the agent's own work; sources and targets have theirs. */
  failing: { connect?: Problem; renew?: Problem; label?: Problem; report?: Problem }
  /** What is wrong now, worst first. */
  problems: Problem[]
  /** What happened, latest first, at most 50. */
  history: HistoryEntry[]
  /** Server time minus ours, from HTTP `Date`; undefined before the first answer. */
  clockSkew?: number
  /** Set when agent.yaml switches TLS verification off. */
  insecure: boolean
}

/** `part`: identity, label, a source, `target <name>`, or report. */
export type RunningStatus = { part: string; state: State; since: Instant }

export type IdentityStatus = {
  fingerprint: string
  subject: string
  notBefore: Instant
  notAfter: Instant
  renewAt: Instant
  /** `valid` until notAfter; an expired one needs a new token. */
  condition: 'valid' | 'expired' | 'not-yet-valid'
}

/** What lies where connector.token points. `unspent`: a healthy agent does not need it. */
export type TokenStatus = 'none' | 'unspent' | 'in-use' | 'refused' | 'spent' | 'unreadable'

export type SourceStatus = {
  name: Source
  /** When the last fetch ended, well or not. */
  lastAttempt?: Instant
  /** Last complete fetch. */
  lastSuccess?: Instant
  nextAt: Instant
  failures: number
  applications?: number
  bundles?: number
  /** Of the Runtime Director: documents that are applied, and items that are not. */
  documents?: number
  refused?: number
  /** It tells changes by itself: a request waits for the next one. */
  listening?: true
  /** Requests of the last complete fetch. */
  requests?: number
  problem?: Problem
}

export type TargetStatus = {
  name: string
  kind: string
  lastSuccess?: Instant
  nextAt: Instant
  failures: number
  objects?: number
  /** Writes of the last pass; 0 when nothing differed. */
  changes?: number
  held?: Held[]
  problem?: Problem
}

export type LabelStatus = { key: string; wanted: unknown; current?: unknown; inStep: boolean }

export type ApplicationStatus = {
  id: string
  name: string
  bundles: number
  /** `stale`: some credentials are kept that Compass no longer shows. */
  condition: 'synced' | 'pending' | 'stale' | 'held' | 'problem'
  problems: Problem[]
}

export type ConfigurationStatus = {
  /** When it was fetched, or last confirmed. */
  fetchedAt: Instant
  documents: DocumentStatus[]
  /** Why items are not applied, at most 50 of them. */
  refused: Problem[]
  /** What the Runtime Director was told last. */
  reported?: { at: Instant; state: 'applied' | 'partly' | 'failed' }
}

export type DocumentStatus = {
  apiVersion: string
  kind: string
  namespace?: string
  name: string
  condition: 'synced' | 'pending' | 'problem'
  problems: Problem[]
}

export type HistoryEntry = {
  at: Instant
  level: 'info' | 'warn' | 'error'
  message: string
  code?: string
}
