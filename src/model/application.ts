import type { Secret } from './secret.ts'

/**
 * The landscape as the Director describes it, after decoding: plain data, ids as identity, lists sorted by id (the
 * Director's nested order is not stable), every credential value a {@link Secret}.
 */
export type Application = {
  id: string
  /** As `applicationsForRuntime` gives it: normalised by the Director unless the runtime says otherwise. */
  name: string
  providerName?: string
  description?: string
  /** Any JSON; `labels.name` is the Director's. */
  labels: Record<string, unknown>
  systemNumber?: string
  localTenantId?: string
  /** Ids of the application's system auths: the client ids that may send events. */
  authIds: string[]
  bundles: Bundle[]
}

/** A group of APIs and events of one application that share one set of credentials. */
export type Bundle = {
  id: string
  name: string
  description?: string
  /** JSON Schema as text. */
  inputSchema?: string
  apis: ApiDefinition[]
  events: EventDefinition[]
  /** Missing means *unknown*, never "none": a missing scope looks the same (see snapshot.ts, retain). */
  auth?: Auth
  /** Read only on request; all of the tenant, not only this runtime's. A bundle with a `bindingId` is *brokered* (design §6). */
  instanceAuths?: InstanceAuth[]
  /**
   * Set by retain(). With `auth`: the Director has not shown it since this instant, and it is kept. Without: nobody knows
   * since this instant whether there are credentials, as what was known before is lost (unknown-credentials.ts).
   */
  authMissingSince?: number
}

/** A request for credentials of a bundle, by whomever. The credentials themselves are not read. */
export type InstanceAuth = {
  id: string
  runtimeId?: string
  /** `binding_id` of its context: a broker asked for it. */
  bindingId?: string
  /** PENDING, SUCCEEDED, FAILED, UNUSED. */
  condition: string
}

type Definition = {
  id: string
  name: string
  description?: string
  group?: string
  version?: Version
}

export type ApiDefinition = Definition & { targetUrl: string }

export type EventDefinition = Definition

export type Version = {
  value: string
  deprecated?: boolean
  deprecatedSince?: string
  forRemoval?: boolean
}

/** Header or query parameter names, sorted, with their values in the order given. */
export type Multimap = Record<string, Secret[]>

/** What a caller of a bundle's APIs has to present. `credential` missing with `headers` set is headers-only, not "no auth". */
export type Auth = {
  credential?: Credential
  headers?: Multimap
  queryParams?: Multimap
  csrf?: Csrf
}

export type Credential =
  | { type: 'basic'; username: Secret; password: Secret }
  | { type: 'oauth'; clientId: Secret; clientSecret: Secret; tokenUrl: string }
  /** Compass gives no private key with it: reported per bundle, never half-written. */
  | { type: 'certificate_oauth'; clientId: Secret; certificate: Secret; tokenUrl: string }
  /** A type of the Director's schema that this version does not know. */
  | { type: 'unknown'; typename: string }

export type Csrf = {
  tokenUrl: string
  credential?: Credential
  headers?: Multimap
  queryParams?: Multimap
}
