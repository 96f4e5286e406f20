import type { Instant } from '../model/time.ts'
import { uuid } from '../runtime/keys.ts'
import { authRow, type AuthRow, type BundleRow } from './catalog.ts'
import type { Caller } from './caller.ts'
import { internalError, invalidData, invalidOperation, notFound } from './director-error.ts'
import { jsonbText } from './jsonb.ts'
import { schemaProblems } from './json-schema.ts'
import { isObject, parseJson } from './graphql.ts'
import type { LandscapeAuth } from './landscape.ts'
import type { InstanceAuth, InstanceAuthCondition, PlaneStore } from './store.ts'
import { timestamp } from './token.ts'

/** Reason and message of each condition that the Director sets itself (reference/director.md §11). */
const STATUS: Record<InstanceAuthCondition, { reason: string; message: string }> = {
  PENDING: {
    reason: 'CredentialsNotProvided',
    message: 'Credentials were not yet provided.',
  },
  SUCCEEDED: { reason: 'CredentialsProvided', message: 'Credentials were provided.' },
  FAILED: { reason: 'Failed', message: 'Credentials could not be provided.' },
  UNUSED: {
    reason: 'PendingDeletion',
    message:
      'Credentials for given Bundle Instance Auth are ready for being deleted by Application or Integration System.',
  },
}

function statusOf(condition: InstanceAuthCondition, now: Instant): InstanceAuth['status'] {
  return { condition, timestamp: now, ...STATUS[condition] }
}

export type InstanceAuthRequest = {
  /** Ignored: the Director always makes its own. */
  id?: string | null
  /** JSON as text. */
  context?: string | null
  inputParams?: string | null
}

/** Makes an instance auth: a frozen copy of the default credentials, or PENDING when the bundle has none. */
export function requestCreation(
  store: PlaneStore,
  bundle: BundleRow,
  options: { request: InstanceAuthRequest; caller: Caller; now: Instant },
): InstanceAuth {
  const { request, caller, now } = options
  checkInput(bundle, request.inputParams ?? undefined)
  const { defaultAuth: auth } = bundle
  const made: InstanceAuth = {
    id: uuid(),
    bundle: bundle.id,
    ...(caller.type === 'RUNTIME' ? { runtime: caller.id } : {}),
    ...jsonMember('context', request.context),
    ...jsonMember('inputParams', request.inputParams),
    ...(auth === undefined ? {} : { auth: structuredClone(auth) }),
    status: statusOf(auth === undefined ? 'PENDING' : 'SUCCEEDED', now),
  }
  return store.change((state) => {
    state.instanceAuths.push(made)
    return made
  })
}

function jsonMember(
  key: 'context' | 'inputParams',
  text: string | null | undefined,
): Record<string, string> {
  if (text === null || text === undefined) return {}
  const value = parseJson(text)
  if (value === undefined) throw internalError(`pq: invalid input syntax for type json`)
  return { [key]: jsonbText(value) }
}

function checkInput(bundle: BundleRow, inputParams: string | undefined): void {
  const schema = bundle.instanceAuthRequestInputSchema
  if (schema === null) return
  if (inputParams === undefined) {
    throw invalidData(
      'json schema for input parameters was defined for the bundle but no input parameters were provided',
    )
  }
  const parsed = parseJson(schema)
  const problems = isObject(parsed) ? schemaProblems(parsed, parseJson(inputParams)) : []
  if (problems.length === 0) return
  throw internalError(
    `while validating BundleInstanceAuth request input for Bundle with id ${bundle.id}: ` +
      `while validating value ${inputParams} against JSON Schema: ${schema}: ${problems.join(', ')}`,
  )
}

/** With default credentials the record is gone at once (and the answer shows what it was), without it becomes UNUSED. */
export function requestDeletion(
  store: PlaneStore,
  auth: InstanceAuth,
  options: { hasDefault: boolean; now: Instant },
): InstanceAuth {
  return store.change((state) => {
    if (options.hasDefault) {
      state.instanceAuths = state.instanceAuths.filter(({ id }) => id !== auth.id)
    } else auth.status = statusOf('UNUSED', options.now)
    return auth
  })
}

/**
 * What the application side does: gives credentials to a PENDING instance auth, or says that there will be none.
 *
 * @throws DirectorError 20 for an unknown id, 27 when it is not PENDING
 */
export function setInstanceAuth(
  store: PlaneStore,
  id: string,
  options: { auth?: LandscapeAuth | undefined; now: Instant },
): InstanceAuth {
  const found = store.state.instanceAuths.find((candidate) => candidate.id === id)
  if (found === undefined) throw notFound('bundleInstanceAuth', id)
  if (found.status.condition !== 'PENDING') {
    throw invalidOperation('auth can be set only on BundleInstanceAuths in PENDING state')
  }
  const { auth, now } = options
  return store.change(() => {
    found.status = statusOf(auth === undefined ? 'FAILED' : 'SUCCEEDED', now)
    if (auth !== undefined) found.auth = auth
    return found
  })
}

/**
 * The credentials that a runtime sees in lists of bundles. Its own instance auth wins, whatever it is: a PENDING one
 * shows nothing, also when default credentials came later; of several the one that the database gives first, which
 * is neither the oldest nor the newest.
 */
export function authForRuntime(
  store: PlaneStore,
  bundle: BundleRow,
  runtime: string,
): AuthRow | null {
  let first: InstanceAuth | undefined
  for (const auth of store.state.instanceAuths) {
    if (auth.bundle !== bundle.id || auth.runtime !== runtime) continue
    if (first === undefined || auth.id < first.id) first = auth
  }
  if (first === undefined) return bundle.publishedAuth
  return first.auth === undefined ? null : authRow(first.auth)
}

/** As the schema has it. */
export function instanceAuthRow(auth: InstanceAuth): Record<string, unknown> {
  return {
    id: auth.id,
    context: auth.context ?? null,
    inputParams: auth.inputParams ?? null,
    auth: auth.auth === undefined ? null : authRow(auth.auth),
    status: { ...auth.status, timestamp: timestamp(auth.status.timestamp) },
    runtimeID: auth.runtime ?? null,
    runtimeContextID: null,
  }
}
