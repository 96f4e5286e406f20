import { buildSchema, execute, GraphQLError, parse, validate } from 'graphql'
import { json, serve } from './server.ts'
import type { Reply, Server } from './server.ts'

/**
 * A small Director: pages with the real cursors (an offset, no snapshot) and the real oddities of nested lists. Unlike
 * the dev plane it lets a test change the landscape between two requests.
 */
export type World = {
  /** Null: a runtime that the Director does not show. */
  runtimeLabels: Record<string, unknown> | null
  applications: WorldApplication[]
}

export type WorldApplication = { id: string; name: string; bundles: WorldBundle[] }

export type WorldBundle = {
  id: string
  name: string
  apis: Definition[]
  events: Definition[]
  defaultInstanceAuth: unknown
  instanceAuths?: unknown[]
}

type Definition = { id: string; name: string; targetURL?: string }

/** One request, decoded. `count` starts at 1. */
export type Asked = { count: number; query: string; variables: Record<string, unknown> }

export type MiniDirector = Server & { asked: Asked[] }

/** `before` may change the world, or answer in place of the Director. */
export async function serveDirector(
  world: World,
  before: (asked: Asked) => Reply | undefined | Promise<Reply> = () => undefined,
): Promise<MiniDirector> {
  const asked: Asked[] = []
  const server = await serve(async ({ body }) => {
    const { query, variables } = JSON.parse(body) as Asked
    const one = { count: asked.length + 1, query, variables }
    asked.push(one)
    return (await before(one)) ?? answer(world, one)
  })
  return Object.assign(server, { asked })
}

async function answer(world: World, { query, variables }: Asked): Promise<Reply> {
  const document = parse(query)
  const errors = validate(SCHEMA, document)
  if (errors.length > 0) return json({ errors, data: null }, 422)
  const rootValue = root(world)
  const result = await execute({ schema: SCHEMA, document, rootValue, variableValues: variables })
  return json(result)
}

type Paging = { first: number; after?: string }

function root(world: World) {
  return {
    runtime: () => world.runtimeLabels && { labels: world.runtimeLabels },
    applicationsForRuntime: (paging: Paging) =>
      page(world.applications, paging, (application) => ({
        ...application,
        auths: [],
        bundles: (nested: Paging) => nestedPage(application.bundles.toReversed(), nested, listed),
      })),
    // Names come raw here, and other credentials than in the list, so that a test sees from where they were taken.
    application: ({ id }: { id: string }) => {
      const found = world.applications.find((application) => application.id === id)
      if (found === undefined) throw refused('The operation is not allowed', 27)
      return {
        ...found,
        name: 'RAW NAME',
        bundles: (nested: Paging) => nestedPage(found.bundles, nested, (b) => parented(listed(b))),
        bundle: ({ id: bundle }: { id: string }) => {
          const one = found.bundles.find((candidate) => candidate.id === bundle)
          return one && { ...listed(one), defaultInstanceAuth: null }
        },
      }
    },
  }
}

function listed(bundle: WorldBundle) {
  return {
    ...bundle,
    apiDefinitions: (nested: Paging) => nestedPage(bundle.apis.toReversed(), nested),
    eventDefinitions: (nested: Paging) => nestedPage(bundle.events.toReversed(), nested),
  }
}

function parented(bundle: ReturnType<typeof listed>) {
  return { ...bundle, description: 'asked for by its application' }
}

function nestedPage<Row>(rows: Row[], paging: Paging, show: (row: Row) => unknown = (row) => row) {
  if (paging.first > 200) throw refused('page size must be between 1 and 200', 22)
  return page(rows, paging, show)
}

const CURSOR = 'DpKtJ4j9jDq'

/** Of the Director itself: `totalCount` is that of now, the cursor a plain offset. */
function page<Row>(rows: Row[], { first, after }: Paging, show: (row: Row) => unknown) {
  const start = after === undefined || after === '' ? 0 : Number(atob(after).slice(CURSOR.length))
  const end = start + first
  const more = end < rows.length
  return {
    data: rows.slice(start, end).map(show),
    pageInfo: {
      startCursor: after ?? '',
      endCursor: more ? btoa(`${CURSOR}${end}`) : '',
      hasNextPage: more,
    },
    totalCount: rows.length,
  }
}

function refused(message: string, code: number): GraphQLError {
  return new GraphQLError(message, { extensions: { error: 'Refused', error_code: code } })
}

/** A landscape of so many applications, bundles in each, and APIs in each of those. */
export function landscape(applications: number, bundles = 0, apis = 0): World {
  return {
    runtimeLabels: { isNormalized: 'true' },
    applications: times(applications, (a) => ({
      id: `app-${a}`,
      name: `mp-app-${a}`,
      bundles: times(bundles, (b) => aBundle(`app-${a}-bundle-${b}`, apis)),
    })),
  }
}

export function aBundle(id: string, apis = 0, events = 0): WorldBundle {
  return {
    id,
    name: `Bundle ${id}`,
    apis: times(apis, (n) => ({
      id: `${id}-api-${n}`,
      name: `API ${n}`,
      targetURL: 'https://a.example',
    })),
    events: times(events, (n) => ({ id: `${id}-event-${n}`, name: `event.${n}` })),
    defaultInstanceAuth: basic(id),
  }
}

export function basic(username: string): unknown {
  return {
    credential: { __typename: 'BasicCredentialData', username, password: 'canary-password' },
  }
}

/** Numbers are filled up with zeros, so that ids sort as they count. */
export function times<Made>(count: number, make: (number: string) => Made): Made[] {
  return Array.from({ length: count }, (_, index) => make(String(index).padStart(4, '0')))
}

const SCHEMA = buildSchema(/* GraphQL */ `
  scalar PageCursor
  scalar Labels
  scalar HttpHeaders
  scalar QueryParams
  scalar JSON
  scalar JSONSchema
  type PageInfo {
    startCursor: PageCursor!
    endCursor: PageCursor!
    hasNextPage: Boolean!
  }
  type Version {
    value: String!
    deprecated: Boolean
    deprecatedSince: String
    forRemoval: Boolean
  }
  type BasicCredentialData {
    username: String!
    password: String!
  }
  type OAuthCredentialData {
    clientId: ID!
    clientSecret: String!
    url: String!
  }
  type CertificateOAuthCredentialData {
    clientId: ID!
    certificate: String!
    url: String!
  }
  union CredentialData = BasicCredentialData | OAuthCredentialData | CertificateOAuthCredentialData
  type Csrf {
    tokenEndpointURL: String!
    credential: CredentialData
    additionalHeaders: HttpHeaders
    additionalQueryParams: QueryParams
  }
  type RequestAuth {
    csrf: Csrf
  }
  type Auth {
    credential: CredentialData
    additionalHeaders: HttpHeaders
    additionalQueryParams: QueryParams
    requestAuth: RequestAuth
  }
  type Api {
    id: ID!
    name: String!
    description: String
    targetURL: String!
    group: String
    version: Version
  }
  type Event {
    id: ID!
    name: String!
    description: String
    group: String
    version: Version
  }
  type ApiPage {
    data: [Api!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type EventPage {
    data: [Event!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type InstanceAuthStatus {
    condition: String!
  }
  type InstanceAuth {
    id: ID!
    context: JSON
    status: InstanceAuthStatus!
    runtimeID: ID
  }
  type Bundle {
    id: ID!
    name: String!
    description: String
    instanceAuthRequestInputSchema: JSONSchema
    instanceAuths: [InstanceAuth!]
    defaultInstanceAuth: Auth
    apiDefinitions(first: Int = 200, after: PageCursor): ApiPage
    eventDefinitions(first: Int = 200, after: PageCursor): EventPage
  }
  type BundlePage {
    data: [Bundle!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type SystemAuth {
    id: ID!
  }
  type Application {
    id: ID!
    name: String!
    systemNumber: String
    localTenantID: String
    providerName: String
    description: String
    labels: Labels
    auths: [SystemAuth!]
    bundles(first: Int = 200, after: PageCursor): BundlePage
    bundle(id: ID!): Bundle
  }
  type ApplicationPage {
    data: [Application!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type Runtime {
    labels: Labels
  }
  type Query {
    runtime(id: ID!): Runtime
    application(id: ID!): Application
    applicationsForRuntime(runtimeID: ID!, first: Int = 200, after: PageCursor): ApplicationPage!
  }
`)
