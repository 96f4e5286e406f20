import { GraphQLError, type ExecutionResult } from 'graphql'
import { emptyAnswer, jsonAnswer, type Answer } from './answer.ts'
import type { Authorities } from './authority.ts'
import type { Call } from './call.ts'
import { systemAuthOf } from './caller.ts'
import { configuration, type PlaneUrls } from './configuration.ts'
import { addResolvers, GraphqlEngine } from './graphql.ts'
import { errorOfKnob } from './knob-error.ts'
import { connectorSchema } from './schema.ts'
import { signRequest } from './signing.ts'
import type { PlaneStore, SystemAuth } from './store.ts'
import { spendToken } from './token.ts'

/** What resolvers of the Connector know besides their arguments. */
export type ConnectorContext = {
  call: Call
  auth: SystemAuth
  store: PlaneStore
  authorities: Authorities
  urls: PlaneUrls
}

/** The Connector's GraphQL, shared by all planes of the process: it holds no state. */
export function connectorEngine(): GraphqlEngine {
  const schema = connectorSchema()
  addResolvers(schema, 'Query', {
    configuration: (_source: unknown, _args: unknown, context: ConnectorContext) =>
      configuration(context),
  })
  addResolvers(schema, 'Mutation', {
    signCertificateSigningRequest: (
      _source: unknown,
      args: { csr: string },
      context: ConnectorContext,
    ) => signRequest(args.csr, context),
    revokeCertificate: (_source: unknown, _args: unknown, context: ConnectorContext) =>
      revokeOwn(context),
  })
  return new GraphqlEngine(schema)
}

type Surroundings = Omit<ConnectorContext, 'call' | 'auth'> & { engine: GraphqlEngine }

/**
 * Answers a request as identity proxy, Hydrator, gateway and Connector do together.
 *
 * The Hydrator takes the token before anybody looks at the request: whatever is wrong with that costs it. Whom it does
 * not know, or cannot look up, gets status 400 and no body.
 */
export async function answerConnector(call: Call, around: Surroundings): Promise<Answer> {
  const { knobs } = call
  if (knobs.databaseDown === true || knobs.directorDown === true) return emptyAnswer(400)
  const auth = recognise(call, around.store)
  if (auth === undefined) return emptyAnswer(400)
  if (knobs.connectorDown === true) return emptyAnswer(502)
  if (call.request === undefined || call.prepared === undefined) {
    return call.body === '' ? noBody() : emptyAnswer(502)
  }
  if (knobs.error !== undefined) {
    return jsonAnswer({ errors: [errorOfKnob(knobs.error, call)], data: null })
  }
  const { engine, ...rest } = around
  const context: ConnectorContext = { call, auth, ...rest }
  const result = await engine.run(call.prepared, call.request, context)
  return result.data === undefined ? badRequest(result, call) : goodRequest(result)
}

function recognise(call: Call, store: PlaneStore): SystemAuth | undefined {
  const { knobs, lifetimes, now } = call
  if (call.port === 'mtls') {
    if (call.certificate === undefined) return undefined
    const strictSubject = knobs.strictSubject === true
    return systemAuthOf(store, call.certificate, { strictSubject })
  }
  if (call.token === undefined) return undefined
  return spendToken(store, call.token, { now, lifetime: lifetimes.token })
}

function revokeOwn({ call, store }: ConnectorContext): boolean {
  const { certificate } = call
  if (certificate === undefined) throw new GraphQLError('Failed to authenticate with certificate')
  store.change((state) => state.revoked.push(certificate.fingerprint))
  return true
}

function noBody(): Answer {
  const message = 'json request body could not be decoded: EOF'
  return jsonAnswer({ errors: [{ message }], data: null }, 400)
}

/** No presenter, no codes: a message and a path. */
function goodRequest(result: ExecutionResult): Answer {
  if (result.errors === undefined) return jsonAnswer({ data: result.data })
  const errors = result.errors.map(({ message, path }) => ({ message, path }))
  return jsonAnswer({ errors, data: result.data })
}

function badRequest(result: ExecutionResult, call: Call): Answer {
  const code =
    call.prepared?.phase === 'parse' ? 'GRAPHQL_PARSE_FAILED' : 'GRAPHQL_VALIDATION_FAILED'
  const errors = (result.errors ?? []).map(({ message, locations }) => ({
    message,
    locations,
    extensions: { code },
  }))
  return jsonAnswer({ errors, data: null }, 422)
}
