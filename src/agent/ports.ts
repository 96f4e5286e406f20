import type { Connector } from '../clients/connector.ts'
import type { Director } from '../clients/director.ts'
import type { RuntimeDirector } from '../clients/runtime-director.ts'
import type { ConfigurationSnapshot } from '../model/configuration.ts'
import type { Identity, Plane } from '../model/identity.ts'
import type { Secret } from '../model/secret.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { Problem } from '../model/problem.ts'
import type { Status } from '../model/status.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { AgentState } from './state.ts'

/** Where the status goes. A reporter that cannot report keeps that to itself: the agent must not stop for it. */
export interface Reporter {
  /** `final`: the last report before the process ends. */
  report(status: Status, final: boolean): Promise<void>
}

/** What a person or the surroundings ask for. `reply` is called once, when the loop has nothing more to do. */
export type Trigger = Asked & {
  reply?: (outcome: TriggerOutcome) => void
  /** Set by the loop: why it is not done. */
  refused?: Problem
}

export type Asked =
  { kind: 'sync' | 'renew' | 'reconnect' | 'pause' | 'resume' } | { kind: 'approve'; hash: string }

/** The status says what came of it, unless it was refused as a whole. */
export type TriggerOutcome = { status: Status; refused?: Problem }

/** A queue of triggers. `next` waits for one, for the time to pass, or for the signal, whichever comes first. */
export interface Triggers {
  next(signal: AbortSignal): Promise<Trigger | undefined>
}

/** The one-time token as a person gave it; undefined when there is none. Throws token_unreadable. */
export interface TokenSource {
  read(): Promise<Secret | undefined>
}

/** Mutual exclusion between agents on one state. */
export interface Ownership {
  /**
   * Waits until this agent is in charge, and says by `waiting` why it is not, whenever that changes, with the problem
   * when it is not because of another agent. Throws already_running where waiting makes no sense, and on what keeps the
   * agent from running at all.
   */
  acquire(signal: AbortSignal, waiting: Waiting): Promise<Owned>
}

export type Waiting = (why: string, problem?: Problem) => void

export type Owned = {
  /** Aborted when another agent may be in charge: from then on nothing is written. */
  lost: AbortSignal
  release(): Promise<void>
}

/** The last complete snapshot, kept over restarts. */
export interface SnapshotStore {
  load(): Promise<{ snapshot?: Snapshot; problem?: Problem }>
  /**
   * Where the agent can do without, a problem says that it is in memory only: it is given again with the next fetch.
   * Elsewhere what cannot be kept is thrown, and nothing is done with it.
   */
  save(snapshot: Snapshot): Promise<Problem | undefined>
}

/** The last complete configuration, kept over restarts: apart from the snapshot, so that neither can harm the other. */
export interface ConfigurationStore {
  load(): Promise<{ configuration?: ConfigurationSnapshot; problem?: Problem }>
  /** As {@link SnapshotStore.save}. */
  save(configuration: ConfigurationSnapshot): Promise<Problem | undefined>
}

/** What must survive a restart and is neither identity nor snapshot (agent/state.ts). */
export interface StateStore {
  load(): Promise<AgentState>
  save(state: AgentState): Promise<void>
}

/** Connector, Director and Runtime Director over one client certificate; all their connections end with `close`. */
export interface Session {
  readonly connector: Connector
  readonly director: Director
  /** With `configuration` in agent.yaml. */
  readonly runtimeDirector?: RuntimeDirector
  close(): Promise<void>
}

/** How the agent reaches Compass. */
export interface Compass {
  /** The latest answer of any server of Compass: when, by our clock, and how far its clock is ahead of ours. */
  lastAnswer(): { at: Instant; skew: Duration } | undefined
  /** The token port: server TLS only. */
  enrolment(connectorUrl: string): { connector: Connector; close(): Promise<void> }
  /** mTLS with this key and certificate. */
  session(identity: Pick<Identity, 'key' | 'chain'> & { plane: Plane }): Session
}
