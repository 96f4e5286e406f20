import type { ConfigurationStore, Ownership, SnapshotStore, StateStore } from '../agent/ports.ts'
import type { IdentityStore } from '../identity/store.ts'
import type { Problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'

/** Where the agent keeps what it must not lose, and how it knows that it is the only one. */
export type Keeping = {
  store: IdentityStore
  snapshots: SnapshotStore
  states: StateStore
  configurations: ConfigurationStore
  /** Keys the hashes of secrets; known once the agent is in charge, or after `look`. */
  digestKey: Secret
  ownership: Ownership
  /** Reads what `acquire` would make, for who only looks. */
  look(): Promise<void>
  /** What is wrong with it, when the agent goes on all the same. */
  problems(): Problem[]
}
