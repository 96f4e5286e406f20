import type { AcceptRules } from '../model/accept-configuration.ts'
import type { GuardConfig } from '../model/guard.ts'
import type { Duration } from '../model/time.ts'
import type { Window } from '../model/window.ts'
import type { MakeKey } from '../identity/candidate.ts'
import type { IdentityStore } from '../identity/store.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Target } from '../targets/target.ts'
import type { Labels } from './label.ts'
import type {
  Compass,
  ConfigurationStore,
  Ownership,
  Reporter,
  SnapshotStore,
  StateStore,
  TokenSource,
  Triggers,
} from './ports.ts'

/** The part of agent.yaml that the loop and its steps need. */
export type AgentSettings = {
  /** `name` of agent.yaml. */
  name: string
  /** `runtime.id`: checked against what the Director says. May come later or change, and throw where it cannot be used. */
  readonly runtimeId?: string | undefined
  /** `connector.url`; missing: the token names it. May come later or change, and throw where it cannot be used. */
  readonly connectorUrl?: string | undefined
  /** `director.interval` */
  interval: Duration
  labels: Labels
  renewal: { threshold: number; windows: readonly Window[] }
  guard: GuardConfig
  insecure: boolean
}

/** `configuration` of agent.yaml, and where what came of it is kept. */
export type ConfigurationDeps = {
  interval: Duration
  rules: AcceptRules
  /** Digest of the address and the rules. */
  digest: string
  store: ConfigurationStore
}

/** All that the loop reaches of the world; the composition root (src/cli/compose.ts) makes one. */
export type Deps = {
  settings: AgentSettings
  clock: Clock
  /** A number in [0, 1), for jitter. */
  random(): number
  uuid(): string
  /** runtime/keys.ts when missing. */
  makeKey?: MakeKey
  log: Log
  version: string
  pid: number
  store: IdentityStore
  snapshots: SnapshotStore
  states: StateStore
  /** Missing: no configuration is fetched, and what is there of it stays. */
  configuration?: ConfigurationDeps
  token: TokenSource
  compass: Compass
  targets: readonly Target[]
  reporters: readonly Reporter[]
  triggers: Triggers
  ownership: Ownership
}
