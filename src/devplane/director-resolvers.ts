import type { GraphQLSchema } from 'graphql'
import type { Instant } from '../model/time.ts'
import type { Caller } from './caller.ts'
import {
  listOrder,
  type ApplicationRow,
  type AuthRow,
  type BundleRow,
  type Catalog,
  type DefinitionRow,
} from './catalog.ts'
import {
  insufficientScopes,
  internalError,
  invalidData,
  invalidOperation,
} from './director-error.ts'
import { addResolvers } from './graphql.ts'
import { authForRuntime, instanceAuthRow } from './instance-auth.ts'
import type { Taken } from './knob-board.ts'
import { directorName } from './names.ts'
import { decodeCursor, pageOf, type Page, type PageArguments } from './paging.ts'
import { labelsOf, recordOf, runtimeById } from './runtimes.ts'
import { directorSchema } from './schema.ts'
import type { PlaneStore } from './store.ts'
import { timestamp } from './token.ts'
import type { LandscapeRuntime } from './landscape.ts'

/** What resolvers of the Director know besides their arguments. */
export type DirectorContext = {
  catalog: Catalog
  store: PlaneStore
  /** Missing: the certificate was not recognised, which looks like a caller without any scope. */
  caller?: Caller
  knobs: Taken
  now: Instant
}

/** An application in an answer. `listed`: it stands in a list, so its bundles are in the order of lists. */
type ApplicationView = ApplicationRow & { listed: boolean }

/** A bundle in an answer. `single`: it was asked for by id, where no instance auth is laid over its credentials. */
type BundleView = BundleRow & { single?: boolean }

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const INSTANCE_AUTHS = 'bundle.instance_auths:read'

/** The Director's schema with the resolvers of its queries. */
export function directorSchemaWithQueries(): GraphQLSchema {
  const schema = directorSchema()
  addResolvers(schema, 'Query', queries)
  addResolvers(schema, 'Application', applicationFields)
  addResolvers(schema, 'Bundle', bundleFields)
  return schema
}

/** The caller, if it has the scope that a field demands. */
export function authorized(context: DirectorContext, scope: string): Caller {
  const { caller } = context
  if (caller?.scopes.includes(scope) === true) return caller
  throw insufficientScopes(caller?.scopes ?? [], [scope])
}

/** An application of the caller's formations; error 27 for every other one, known or not. */
export function applicationInScenario(
  context: DirectorContext,
  caller: Caller,
  id: string,
): ApplicationRow {
  const row = context.catalog.byId.get(id)
  if (caller.type !== 'RUNTIME' && row !== undefined) return row
  const runtime = runtimeById(context.catalog, caller.id)
  if (row !== undefined && runtime !== undefined && sharesFormation(runtime, row)) return row
  throw invalidOperation(
    'requesting runtime should be in same scenario as the requested application resource',
  )
}

/** Ids are columns of type uuid: anything else is a failure of the database. */
export function checkUuid(id: string, what: string): void {
  if (UUID.test(id)) return
  throw internalError(
    `while getting ${what}: pq: invalid input syntax for type uuid: ${JSON.stringify(id)}`,
  )
}

function sharesFormation(runtime: LandscapeRuntime, row: ApplicationRow): boolean {
  return row.formations.some((formation) => runtime.formations.includes(formation))
}

const queries = {
  viewer(_source: unknown, _args: unknown, { caller }: DirectorContext) {
    if (caller === undefined) throw internalError('viewer does not exist')
    return { id: caller.id, type: caller.type }
  },
  runtime(_source: unknown, args: { id: string }, context: DirectorContext) {
    authorized(context, 'runtime:read')
    checkUuid(args.id, 'Runtime')
    const runtime = runtimeById(context.catalog, args.id)
    return runtime === undefined ? null : runtimeView(runtime, context)
  },
  applicationsForRuntime(
    _source: unknown,
    args: PageArguments & { runtimeID: string },
    context: DirectorContext,
  ) {
    authorized(context, 'application:read')
    return applicationsPage(args.runtimeID, args, { context, rename: true })
  },
  applications(_source: unknown, args: PageArguments, context: DirectorContext) {
    const caller = authorized(context, 'application:read')
    return applicationsPage(caller.id, args, { context, rename: false })
  },
  application(_source: unknown, args: { id: string }, context: DirectorContext) {
    const caller = authorized(context, 'application:read')
    checkUuid(args.id, 'Application')
    return { ...applicationInScenario(context, caller, args.id), listed: false }
  },
  bundleInstanceAuth(_source: unknown, args: { id: string }, context: DirectorContext) {
    authorized(context, 'application:read')
    checkUuid(args.id, 'BundleInstanceAuth')
    const found = context.store.state.instanceAuths.find(({ id }) => id === args.id)
    return found === undefined ? null : instanceAuthRow(found)
  },
}

function runtimeView(runtime: LandscapeRuntime, context: DirectorContext): Record<string, unknown> {
  const { store, now } = context
  const record = recordOf(store, runtime.id, now)
  const auths = Object.values(store.state.systemAuths).filter(
    ({ owner }) => owner.type === 'RUNTIME' && owner.id === runtime.id,
  )
  return {
    id: runtime.id,
    name: runtime.name,
    description: runtime.description ?? null,
    metadata: { creationTimestamp: timestamp(record.created) },
    labels: (args: { key?: string | null }) => pick(labelsOf(runtime, record), args.key),
    status: {
      condition: record.connected === undefined ? 'INITIAL' : 'CONNECTED',
      timestamp: timestamp(record.connected ?? record.created),
    },
    auths: auths.map(({ id }) => ({ id })),
  }
}

function applicationsPage(
  runtimeId: string,
  args: PageArguments,
  options: { context: DirectorContext; rename: boolean },
): Page<ApplicationView> {
  const { catalog, knobs, store, now } = options.context
  checkUuid(runtimeId, 'Runtime')
  const runtime = runtimeById(catalog, runtimeId)
  if (runtime === undefined) throw invalidData('runtime does not exist')
  const visible = catalog.applications.filter((row) => !row.hidden && sharesFormation(runtime, row))
  const what = 'while getting all Application for Runtime'
  const offset = decodeCursor(args.after ?? '', what)
  const rows = knobs.emptyPage === true ? [] : shifted(visible, offset, knobs.shift)
  const page = pageOf(rows, args, { what, nested: false })
  const { isNormalized } = labelsOf(runtime, recordOf(store, runtime.id, now))
  return {
    ...page,
    data: page.data.map((row) => ({
      ...row,
      listed: true,
      name: options.rename
        ? directorName(row.name, { isNormalized, systemNumber: row.systemNumber ?? undefined })
        : row.name,
    })),
    totalCount: page.totalCount + (offset > 0 ? (knobs.totalCount ?? 0) : 0),
  }
}

/** The list as a later page finds it when a row of the first page has come or gone since. */
function shifted(
  rows: readonly ApplicationRow[],
  offset: number,
  shift: Taken['shift'],
): readonly ApplicationRow[] {
  const [first] = rows
  if (offset === 0 || shift === undefined || first === undefined) return rows
  return shift === 'removed' ? rows.slice(1) : [first, ...rows]
}

const applicationFields = {
  labels: (row: ApplicationView, args: { key?: string | null }) => pick(row.labels, args.key),
  bundles: (row: ApplicationView, args: PageArguments) =>
    pageOf(row.listed ? listOrder(row.bundleRows) : row.bundleRows, args, {
      what: 'while getting Bundles',
      nested: true,
    }),
  bundle(row: ApplicationView, args: { id: string }): BundleView | null {
    const found = row.bundleRows.find(({ id }) => id === args.id)
    return found === undefined ? null : { ...found, single: true }
  },
}

const bundleFields = {
  defaultInstanceAuth: (row: BundleView, _args: unknown, context: DirectorContext) =>
    visibleAuth(row, context),
  instanceAuths: (row: BundleView, _args: unknown, context: DirectorContext) =>
    maySeeAuths(context) ? instanceAuthsOf(row, context) : null,
  instanceAuth: (row: BundleView, args: { id: string }, context: DirectorContext) =>
    maySeeAuths(context)
      ? (instanceAuthsOf(row, context).find(({ id }) => id === args.id) ?? null)
      : null,
  apiDefinitions: (row: BundleView, args: DefinitionArguments) =>
    definitions(row.apiRows, args, row),
  eventDefinitions: (row: BundleView, args: DefinitionArguments) =>
    definitions(row.eventRows, args, row),
  documents: (_row: BundleView, args: PageArguments) =>
    pageOf([], args, { what: 'while getting Documents', nested: true }),
  apiDefinition: (row: BundleView, args: { id: string }) =>
    row.apiRows.find(({ id }) => id === args.id) ?? null,
  eventDefinition: (row: BundleView, args: { id: string }) =>
    row.eventRows.find(({ id }) => id === args.id) ?? null,
}

type DefinitionArguments = PageArguments & { group?: string | null }

function definitions(
  rows: readonly DefinitionRow[],
  args: DefinitionArguments,
  bundle: BundleView,
): Page<DefinitionRow> {
  const { group } = args
  const matching =
    group === undefined || group === null ? rows : rows.filter((row) => row.group === group)
  const ordered = bundle.single === true ? matching : listOrder(matching)
  return pageOf(ordered, args, { what: 'while getting Definitions', nested: true })
}

function visibleAuth(row: BundleView, context: DirectorContext): AuthRow | null {
  const { caller, knobs, store } = context
  if (!maySeeAuths(context)) return null
  const hidden = knobs.nullCredentials
  if (hidden !== undefined) {
    if (hidden.length === 0 || hidden.includes(row.id) || hidden.includes(row.name)) return null
  }
  if (caller?.type !== 'RUNTIME' || row.single === true) return row.publishedAuth
  return authForRuntime(store, row, caller.id)
}

function maySeeAuths({ caller }: DirectorContext): boolean {
  return caller?.scopes.includes(INSTANCE_AUTHS) === true
}

function instanceAuthsOf(row: BundleView, context: DirectorContext): Record<string, unknown>[] {
  return context.store.state.instanceAuths
    .filter(({ bundle }) => bundle === row.id)
    .map(instanceAuthRow)
}

function pick(
  labels: Record<string, unknown>,
  key: string | null | undefined,
): Record<string, unknown> {
  if (key === undefined || key === null) return labels
  return Object.hasOwn(labels, key) ? { [key]: labels[key] } : {}
}
