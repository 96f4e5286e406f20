import type {
  Landscape,
  LandscapeApi,
  LandscapeApplication,
  LandscapeAuth,
  LandscapeBundle,
  LandscapeCredential,
  LandscapeDefinition,
} from './landscape.ts'
import { normalizeName } from './names.ts'

/** A landscape as GraphQL objects, made once for each change of it: a page of 200 applications must not cost more than reading it. */
export type Catalog = {
  landscape: Landscape
  /** In the order of ids. */
  applications: readonly ApplicationRow[]
  byId: ReadonlyMap<string, ApplicationRow>
  bundles: ReadonlyMap<string, BundleRow>
}

/** The fields are those of the schema; what is not in it steers the resolvers. */
export type ApplicationRow = {
  id: string
  name: string
  systemNumber: string | null
  labels: Record<string, unknown>
  auths: readonly { id: string }[]
  /** In the order of ids. */
  bundleRows: readonly BundleRow[]
  formations: readonly string[]
  hidden: boolean
}

export type BundleRow = {
  id: string
  name: string
  application: string
  instanceAuthRequestInputSchema: string | null
  /** As published, before the instance auths of a runtime are laid over it. */
  publishedAuth: AuthRow | null
  /** The same, as the landscape has it: what an instance auth copies. */
  defaultAuth: LandscapeAuth | undefined
  /** In the order of ids. */
  apiRows: readonly DefinitionRow[]
  eventRows: readonly DefinitionRow[]
}

export type DefinitionRow = { id: string; group: string | null }

export type AuthRow = {
  credential: Record<string, string> | null
  additionalHeaders: Record<string, string[]> | null
  additionalHeadersSerialized: string | null
  additionalQueryParams: Record<string, string[]> | null
  additionalQueryParamsSerialized: string | null
  requestAuth: { csrf: Record<string, unknown> } | null
}

export function catalogOf(landscape: Landscape): Catalog {
  const applications = landscape.applications.map(applicationRow).sort(byId)
  const bundles = applications.flatMap(({ bundleRows }) => bundleRows)
  return {
    landscape,
    applications,
    byId: new Map(applications.map((row) => [row.id, row])),
    bundles: new Map(bundles.map((row) => [row.id, row])),
  }
}

/**
 * The rows of a nested list below a list of parents: the Director gives them in an order of its own, which is not that
 * of ids. Here it is the reverse of it, so that nobody can mistake one for the other.
 */
export function listOrder<Row>(rows: readonly Row[]): readonly Row[] {
  return rows.length < 2 ? rows : rows.toReversed()
}

function applicationRow(application: LandscapeApplication): ApplicationRow & { status: unknown } {
  const { id, formations, hidden } = application
  return {
    id,
    name: application.name,
    systemNumber: application.systemNumber ?? null,
    ...{
      localTenantID: application.localTenantId ?? null,
      providerName: application.providerName ?? null,
      description: application.description ?? null,
    },
    labels: sortKeys({
      managed: 'false',
      ...application.labels,
      name: normalizeName(application.name),
      ...(formations.length === 0 ? {} : { scenarios: formations }),
    }),
    status: { condition: 'INITIAL', timestamp: '2026-01-01T00:00:00Z' },
    auths: application.authIds.map((authId) => ({ id: authId })),
    bundleRows: application.bundles.map((bundle) => bundleRow(bundle, id)).sort(byId),
    formations,
    hidden,
  }
}

function bundleRow(
  bundle: LandscapeBundle,
  application: string,
): BundleRow & { description: unknown } {
  return {
    id: bundle.id,
    name: bundle.name,
    application,
    description: bundle.description ?? null,
    instanceAuthRequestInputSchema: bundle.inputSchema ?? null,
    publishedAuth: bundle.auth === undefined ? null : authRow(bundle.auth),
    defaultAuth: bundle.auth,
    apiRows: bundle.apis.map(apiRow).sort(byId),
    eventRows: bundle.events.map(definitionRow).sort(byId),
  }
}

function apiRow(api: LandscapeApi): DefinitionRow {
  return { ...definitionRow(api), ...{ targetURL: api.targetUrl } }
}

function definitionRow(definition: LandscapeDefinition): DefinitionRow {
  const { id, version, spec } = definition
  return {
    id,
    group: definition.group ?? null,
    ...{
      name: definition.name,
      description: definition.description ?? null,
      version:
        version === undefined
          ? null
          : {
              value: version.value,
              deprecated: version.deprecated ?? false,
              deprecatedSince: version.deprecatedSince ?? null,
              forRemoval: version.forRemoval ?? false,
            },
      spec: spec === undefined ? null : { id, ...spec },
    },
  }
}

/** Credentials as the Director gives them. */
export function authRow(auth: LandscapeAuth): AuthRow {
  const { csrf } = auth
  return {
    ...callRow(auth),
    requestAuth:
      csrf === undefined ? null : { csrf: { tokenEndpointURL: csrf.tokenUrl, ...callRow(csrf) } },
  }
}

function callRow(call: Omit<LandscapeAuth, 'csrf'>): Omit<AuthRow, 'requestAuth'> {
  const { credential, headers, queryParams } = call
  return {
    credential: credential === undefined ? null : credentialRow(credential),
    additionalHeaders: headers ?? null,
    additionalHeadersSerialized: headers === undefined ? null : JSON.stringify(headers),
    additionalQueryParams: queryParams ?? null,
    additionalQueryParamsSerialized: queryParams === undefined ? null : JSON.stringify(queryParams),
  }
}

function credentialRow(credential: LandscapeCredential): Record<string, string> {
  switch (credential.type) {
    case 'basic': {
      const { username, password } = credential
      return { __typename: 'BasicCredentialData', username, password }
    }
    case 'oauth': {
      const { clientId, clientSecret, tokenUrl: url } = credential
      return { __typename: 'OAuthCredentialData', clientId, clientSecret, url }
    }
    case 'certificate_oauth': {
      const { clientId, certificate, tokenUrl: url } = credential
      return { __typename: 'CertificateOAuthCredentialData', clientId, certificate, url }
    }
  }
}

/** Go writes maps in the order of their keys. */
export function sortKeys(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}
