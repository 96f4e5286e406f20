import { sha256 } from '../model/digest.ts'

/**
 * What the development control plane serves: the runtimes that may connect and the applications that are registered.
 * Plain data, ids given or derived from names ({@link deriveId}), credentials in clear: nothing here is real.
 *
 * A runtime sees an application when they share a formation and the application is not hidden.
 */
export type Landscape = {
  /** External id of the tenant of all runtimes and applications. */
  tenant: string
  /** Tenants that exist besides: a request for one of them is answered with error 25, for any other with error 23. */
  otherTenants: string[]
  runtimes: LandscapeRuntime[]
  applications: LandscapeApplication[]
  /** What the Runtime Director has; missing: nothing for anybody. */
  configurations?: LandscapeConfiguration[]
}

export type LandscapeRuntime = {
  id: string
  name: string
  description?: string | undefined
  formations: string[]
  /** As registered; `isNormalized: "true"` is added by the Director when it is missing. */
  labels: Record<string, unknown>
}

/** Documents for runtimes, as the Runtime Director gives them. */
export type LandscapeConfiguration = {
  name: string
  /** Names or ids; missing: all. */
  runtimes?: string[] | undefined
  /** As they are: nobody looks at them here. */
  resources: unknown[]
}

export type LandscapeApplication = {
  id: string
  /** As registered; runtimes see it normalised (names.ts). */
  name: string
  providerName?: string | undefined
  description?: string | undefined
  systemNumber?: string | undefined
  localTenantId?: string | undefined
  labels: Record<string, unknown>
  formations: string[]
  /** Matched by an applicationHideSelector: absent from lists and counts. */
  hidden: boolean
  /** Ids of its system auths. */
  authIds: string[]
  bundles: LandscapeBundle[]
}

export type LandscapeBundle = {
  id: string
  name: string
  description?: string | undefined
  /** JSON Schema as text. */
  inputSchema?: string | undefined
  /** Default credentials; missing: `defaultInstanceAuth` is null. An empty object comes back with four nulls. */
  auth?: LandscapeAuth | undefined
  apis: LandscapeApi[]
  events: LandscapeDefinition[]
}

export type LandscapeDefinition = {
  id: string
  name: string
  description?: string | undefined
  group?: string | undefined
  version?: LandscapeVersion | undefined
  spec?: LandscapeSpec | undefined
}

export type LandscapeApi = LandscapeDefinition & { targetUrl: string }

export type LandscapeVersion = {
  value: string
  deprecated?: boolean | undefined
  deprecatedSince?: string | undefined
  forRemoval?: boolean | undefined
}

export type LandscapeSpec = { type: string; format: string; data: string }

export type LandscapeAuth = {
  credential?: LandscapeCredential | undefined
  headers?: Record<string, string[]> | undefined
  queryParams?: Record<string, string[]> | undefined
  csrf?:
    | {
        tokenUrl: string
        credential?: LandscapeCredential | undefined
        headers?: Record<string, string[]> | undefined
        queryParams?: Record<string, string[]> | undefined
      }
    | undefined
}

export type LandscapeCredential =
  | { type: 'basic'; username: string; password: string }
  | { type: 'oauth'; clientId: string; clientSecret: string; tokenUrl: string }
  | { type: 'certificate_oauth'; clientId: string; certificate: string; tokenUrl: string }

/** The tenant of a landscape that names none. */
export const DEFAULT_TENANT = '3e64ebae-38b5-46a0-b1ed-9ccee153a0ae'
/** An existing tenant that is not ours, in a landscape that names none. */
export const OTHER_TENANT = '1eba80dd-8ff6-54ee-be4d-77944d17b10b'
/** The formation of all that names none. */
export const DEFAULT_FORMATION = 'default'

/**
 * An id for what was given a name only: the same names give the same id at every start, on every machine.
 *
 * @param path kind and names from the outside in: `deriveId('bundle', applicationId, name)`
 */
export function deriveId(...path: string[]): string {
  const hex = sha256(path.join('\n'))
  const variant = ((Number.parseInt(hex.slice(16, 18), 16) & 0x3f) | 0x80).toString(16)
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `5${hex.slice(13, 16)}`,
    variant + hex.slice(18, 20),
    hex.slice(20, 32),
  ].join('-')
}

/** A runtime of the default formation, as registered by hand. */
export function defaultRuntime(name = 'dev'): LandscapeRuntime {
  return { id: deriveId('runtime', name), name, formations: [DEFAULT_FORMATION], labels: {} }
}

/** A landscape of the default tenant with one runtime `dev`. */
export function landscapeOf(applications: LandscapeApplication[]): Landscape {
  return {
    tenant: DEFAULT_TENANT,
    otherTenants: [OTHER_TENANT],
    runtimes: [defaultRuntime()],
    applications,
  }
}
