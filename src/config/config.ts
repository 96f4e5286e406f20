import type { Secret } from '../model/secret.ts'
import type { Duration } from '../model/time.ts'
import type { Window } from '../model/window.ts'

/**
 * agent.yaml after checking: every default filled in, lengths of time in milliseconds, paths absolute (relative ones
 * are taken from the directory of agent.yaml), `${VAR}` replaced, secrets as {@link Secret}.
 */
export type Config = {
  /** Tells two agents of one runtime apart; part of every mark. */
  name: string
  runtime: RuntimeConfig
  connector: ConnectorConfig
  director: DirectorConfig
  identity: IdentityConfig
  labels: LabelsConfig
  renewal: RenewalConfig
  guard: GuardConfig
  /** Names are unique, directories too. */
  targets: TargetConfig[]
  /** Missing: HTTPS_PROXY and NO_PROXY of the environment. */
  proxy?: ProxyConfig
  status: StatusConfig
  log: LogConfig
  /** True switches TLS verification off; status must say so. */
  insecureSkipVerify: boolean
}

/** Missing members are learned from the Director, and checked when given. */
export type RuntimeConfig = { id?: string; tenant?: string }

export type ConnectorConfig = {
  /** Missing: taken from a rawEncoded token. */
  url?: string
  /** Read again and again: a new token is seen without restart. */
  token: ValueSource
  /** PEM, added to the system's roots; for the Director too. */
  ca?: ValueSource
}

export type DirectorConfig = { interval: Duration; instanceAuths: 'never' | 'request' }

/** `directory` is the state directory: lock, socket, identity, journal, snapshot, status. */
export type IdentityConfig = { store: 'disk'; directory: string }

export type LabelsConfig = {
  eventGatewayUrl?: string
  consoleUrl?: string
  /** Further labels, JSON values by key. */
  custom: Record<string, unknown>
}

export type RenewalConfig = {
  /** Share of the certificate's life left at which it is renewed, above 0 and below 1. */
  threshold: number
  /** None: at any time. */
  windows: Window[]
}

export type GuardConfig = {
  /** What may go in one pass: the larger of `count` and `percent` of what we own. */
  ordinary: { count: number; percent: number }
  /** `hold` waits for a person, `{after}` for a person or that long, `off` for nobody. */
  massDeletion: 'hold' | 'off' | { after: Duration }
  credentialsGrace: Duration
}

export type TargetConfig = FilesTargetConfig

export type FilesTargetConfig = {
  kind: 'files'
  name: string
  /** Holds `current` and the generations. */
  directory: string
  /** Name of the group of the readers. Missing: the group of the process. */
  group?: string
  /** Also `env/<binding>.env` in systemd's quoting. */
  env: boolean
  /** Also `json/<binding>.json`, one object a binding. */
  json: boolean
  /** `system-broker`: also `system-broker.json` in each binding. */
  compat?: 'system-broker'
  /** What the `type` entry says: the first rule that matches, else `ucl-api`. */
  types: BindingTypeRule[]
  onChange: HookConfig[]
}

/** `application` and `bundle` are names or ids, `*` stands for any run of characters; no bundle: all of them. */
export type BindingTypeRule = { application: string; bundle?: string; type: string }

/** A command to run after a swap that changed a matching binding. */
export type HookConfig = {
  /** Names of bindings, `*` for any run of characters. */
  bindings: string[]
  /** Program and arguments; no shell. */
  command: string[]
  timeout: Duration
}

/** `url` may hold user and password. */
export type ProxyConfig = { url: Secret; except: string[] }

export type StatusConfig = {
  /** Missing: `status.listen: off`, no port is opened. */
  listen?: { host: string; port: number }
}

export type LogConfig = {
  level: 'debug' | 'info' | 'warn' | 'error'
  format: 'auto' | 'json' | 'text'
}

/** Where a value comes from; resolved again at each use (value.ts), so that a changed file or variable is seen. */
export type ValueSource =
  | { from: 'value'; value: Secret }
  /** Absolute path. */
  | { from: 'file'; file: string }
  | { from: 'env'; env: string }
  /** Name of a file below `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential). */
  | { from: 'credential'; credential: string }
