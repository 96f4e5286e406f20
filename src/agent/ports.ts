import type { Connector } from '../clients/connector.ts'
import type { Director } from '../clients/director.ts'
import type { Identity, Plane } from '../model/identity.ts'
import type { Secret } from '../model/secret.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { Problem } from '../model/problem.ts'
import type { Status } from '../model/status.ts'
import type { AgentState } from './state.ts'

/** Where the status goes. A reporter that cannot report keeps that to itself: the agent must not stop for it. */
export interface Reporter {
  /** `final`: the last report before the process ends. */
  report(status: Status, final: boolean): Promise<void>
}

/** What a person or the surroundings ask for. `reply` is called once, with the status after the work. */
export type Trigger = {
  reply?: (outcome: TriggerOutcome) => void
} & (
  | { kind: 'sync' | 'renew' | 'reconnect' | 'pause' | 'resume' | 'tick' }
  | { kind: 'approve'; hash: string }
)

/** Problems are those of the work that was asked for; none means done. */
export type TriggerOutcome = { problems: Problem[]; status: Status }

/** A queue of triggers. `next` waits for one, for the time to pass, or for the signal, whichever comes first. */
export interface Triggers {
  next(signal: AbortSignal): Promise<Trigger | undefined>
}

/** The one-time token as a person gave it; undefined when there is none. Throws token_unreadable. */
export interface TokenSource {
  read(): Promise<Secret | undefined>
}

/** Mutual exclusion between agents on one state; undefined when another one holds it. */
export interface Ownership {
  acquire(signal: AbortSignal): Promise<{ release(): Promise<void> } | undefined>
}

/** The last complete snapshot, kept over restarts. */
export interface SnapshotStore {
  load(): Promise<{ snapshot?: Snapshot; problem?: Problem }>
  save(snapshot: Snapshot): Promise<void>
}

/** What must survive a restart and is neither identity nor snapshot (agent/state.ts). */
export interface StateStore {
  load(): Promise<AgentState>
  save(state: AgentState): Promise<void>
}

/** Connector and Director over one client certificate; all their connections end with `close`. */
export interface Session {
  readonly connector: Connector
  readonly director: Director
  close(): Promise<void>
}

/** How the agent reaches Compass. */
export interface Compass {
  /** The token port: server TLS only. */
  enrolment(connectorUrl: string): { connector: Connector; close(): Promise<void> }
  /** mTLS with this key and certificate. */
  session(identity: Pick<Identity, 'key' | 'chain'> & { plane: Plane }): Session
}
