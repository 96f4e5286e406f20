import type { ExecutionResult } from 'graphql'
import { directorRefusal, emptyAnswer, jsonAnswer, type Answer } from './answer.ts'
import type { Call } from './call.ts'
import { callerOf, systemAuthOf, type Caller } from './caller.ts'
import type { Catalog } from './catalog.ts'
import {
  DIRECTOR_ERRORS,
  formatDirectorError,
  internalMessage,
  type DirectorCode,
} from './director-error.ts'
import { addMutations } from './director-mutations.ts'
import { directorSchemaWithQueries, type DirectorContext } from './director-resolvers.ts'
import { GraphqlEngine } from './graphql.ts'
import { errorOfKnob } from './knob-error.ts'
import { rewriteAnswer } from './rewrite.ts'
import { markConnected, recordOf } from './runtimes.ts'
import type { PlaneStore } from './store.ts'

/** The Director's GraphQL, shared by all planes of the process: it holds no state. */
export function directorEngine(): GraphqlEngine {
  const schema = directorSchemaWithQueries()
  addMutations(schema)
  return new GraphqlEngine(schema)
}

type Surroundings = { engine: GraphqlEngine; store: PlaneStore; catalog: Catalog }

/** Answers a request over mTLS as the identity proxy, the gateway and the Director do together. */
export async function answerDirector(call: Call, around: Surroundings): Promise<Answer> {
  if (call.knobs.directorDown === true) return emptyAnswer(502)
  const recognised = recognise(call, around)
  const foreign = tenantRefusal(call, around.catalog, recognised)
  if (foreign !== undefined) return foreign
  const caller = sameTenant(call, around.catalog) ? recognised : undefined
  if (call.request === undefined || call.prepared === undefined) {
    return call.body === '' ? noBody() : emptyAnswer(502)
  }
  if (call.knobs.error !== undefined) return onlyError(call, call.knobs.error)
  const context: DirectorContext = {
    catalog: around.catalog,
    store: around.store,
    ...(caller === undefined ? {} : { caller }),
    knobs: call.knobs,
    now: call.now,
  }
  const result = await around.engine.run(call.prepared, call.request, context)
  const answer = result.data === undefined ? badRequest(result) : goodRequest(result)
  noteBundles(call, around.store, caller)
  if (call.rewritten === call.body) return answer
  return { ...answer, body: rewriteAnswer(answer.body) }
}

function recognise(call: Call, { store, catalog }: Surroundings): Caller | undefined {
  const { certificate, knobs, now } = call
  if (certificate === undefined || knobs.databaseDown === true) return undefined
  const strictSubject = knobs.strictSubject === true
  const auth = systemAuthOf(store, certificate, { strictSubject })
  if (auth === undefined) return undefined
  const caller = callerOf(auth, knobs)
  const { type, id } = caller
  const owners = type === 'RUNTIME' ? catalog.landscape.runtimes : catalog.landscape.applications
  if (!owners.some((owner) => owner.id === id)) return undefined
  if (type === 'RUNTIME') markConnected(store, id, now)
  return caller
}

/** Another tenant that exists is error 25 with a status of its own; one that does not leaves the caller unrecognised. */
function tenantRefusal(
  call: Call,
  catalog: Catalog,
  caller: Caller | undefined,
): Answer | undefined {
  if (caller === undefined) return undefined
  const { otherTenants } = catalog.landscape
  const asked = call.knobs.wrongTenant === 'existing' ? otherTenants[0] : call.tenant
  if (asked === undefined || !otherTenants.includes(asked)) return undefined
  return directorRefusal(400, 25, `Tenant not found [externalTenant=${asked}]`)
}

function sameTenant(call: Call, catalog: Catalog): boolean {
  if (call.knobs.wrongTenant === 'unknown') return false
  return call.tenant === undefined || call.tenant === catalog.landscape.tenant
}

function noBody(): Answer {
  const message = 'json request body could not be decoded: EOF'
  return jsonAnswer({ errors: [{ message }], data: null }, 400)
}

function goodRequest(result: ExecutionResult): Answer {
  if (result.errors === undefined) return jsonAnswer({ data: result.data })
  return jsonAnswer({ errors: result.errors.map(formatDirectorError), data: result.data })
}

/** Validation is reported through the same presenter as everything else: code 10, without a path. */
function badRequest(result: ExecutionResult): Answer {
  const errors = (result.errors ?? []).map((error) => {
    const line = error.locations?.[0]?.line
    const message = internalMessage(
      `input:${line === undefined ? '' : `${line}:`} ${error.message}`,
    )
    return { message, extensions: { error: DIRECTOR_ERRORS[10], error_code: 10 } }
  })
  return jsonAnswer({ errors, data: null }, 422)
}

function onlyError(call: Call, error: DirectorCode | string): Answer {
  return jsonAnswer({ errors: [errorOfKnob(error, call)], data: null })
}

/** A caller that knows the word is taken for one that knows bundles, and its runtime is labelled so. */
function noteBundles(call: Call, store: PlaneStore, caller: Caller | undefined): void {
  if (caller?.type !== 'RUNTIME' || !call.body.includes('bundle')) return
  const record = recordOf(store, caller.id, call.now)
  if (record.labels['useBundles'] === 'true') return
  store.change(() => {
    record.labels['useBundles'] = 'true'
  })
}
