import { GraphQLClient } from 'graphql-request'
import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { Json, UnfitAnswer } from './decode.ts'
import { graphqlFailure, httpFailure, withDetail } from './failure.ts'
import type { Door, Failed, TokenFate } from './failure.ts'
import { hostOf, post } from './http.ts'
import type { Answer, Endpoint } from './http.ts'

/**
 * One GraphQL question: asked once, answered wholly, or an AgentError.
 *
 * graphql-request builds the request and reads the answer, but never sees a failure: its ClientError holds body,
 * variables and headers, all in its message. So every answer that is not HTTP 200 is classed before it gets one, `errors`
 * are taken as data (`errorPolicy: all`) and classed after, and whatever it throws itself is dropped. A body is decoded
 * to text once and parsed once.
 */

/** A service that speaks GraphQL, over one identity. */
export type GraphqlSession = Endpoint

/** Made once per pass; `requestId` is `<runtimeId>_<uuid>` where the runtime is known. */
export type Call = { requestId: string; signal: AbortSignal }

export type Question<T> = Call & {
  /** What cannot be done when it fails: the verb and its object, as in "read the applications". */
  what: string
  door: Door
  /** A constant; everything that varies is in `variables`. */
  document: string
  variables?: Record<string, unknown>
  /** Sent as Connector-Token; only through the door `token`. */
  token?: Secret
  /** Gets `data`; throws {@link UnfitAnswer} by the methods of Json, or AgentError. */
  decode: (data: Json) => T
  /** Called with the size of the unpacked body. */
  onBytes?: (bytes: number) => void
  /** What a good answer of these bytes gave before, if it is known: then it is not read again. */
  known?: (body: Uint8Array) => T | undefined
}

/**
 * Asks one question.
 *
 * Throws AgentError, by failure.ts for what the server says; answer_malformed where data does not fit, with its place;
 * and as {@link post}. `detail` holds status, errorCode, errorId, scope, token (see TokenFate) and requestId where known.
 */
export async function request<T>(session: GraphqlSession, question: Question<T>): Promise<T> {
  const failed: Failed = {
    door: question.door,
    cannot: `Cannot ${question.what} at ${hostOf(session.url)}`,
    secrets: question.token === undefined ? [] : [question.token],
  }
  try {
    const { data, errors, answer, known } = await ask(session, question, failed)
    if (known !== undefined) return known
    if (hasErrors(errors)) {
      throw graphqlFailure(failed, answer, { errors, partial: isThere(data) })
    }
    if (isThere(errors) && !Array.isArray(errors)) throw malformed(failed, 'errors is no list')
    return question.decode(new Json(data))
  } catch (thrown) {
    const error = thrown instanceof UnfitAnswer ? malformed(failed, thrown.message) : thrown
    if (!(error instanceof AgentError)) throw thrown
    throw withDetail(error, { ...lostAnswer(failed.door, error), requestId: question.requestId })
  }
}

type Asked<T> = { data: unknown; errors: unknown; answer: Answer; known: T | undefined }

async function ask<T>(
  session: GraphqlSession,
  question: Question<T>,
  failed: Failed,
): Promise<Asked<T>> {
  let answer: Answer | undefined
  let known: T | undefined
  const client = new GraphQLClient(session.url, {
    excludeOperationName: true, // else each document is parsed for each request
    errorPolicy: 'all',
    fetch: asFetch(async (body) => {
      answer = await post(session, { ...question, body, headers: headersOf(question) })
      question.onBytes?.(answer.body.byteLength)
      if (answer.status !== 200) throw refusal(failed, answer)
      known = question.known?.(answer.body)
      return new Response(known === undefined ? answer.body : '{}', {
        headers: { 'content-type': 'application/json' },
      })
    }),
    jsonSerializer: { stringify: JSON.stringify, parse: (text) => parsed(text) },
  })
  try {
    const { data, errors } = await client.rawRequest<unknown>(question.document, question.variables)
    if (answer !== undefined) return { data, errors, answer, known }
  } catch (thrown) {
    question.signal.throwIfAborted()
    if (thrown instanceof AgentError) throw thrown
  }
  // graphql-request could not read it; its error quotes the answer.
  throw answer === undefined
    ? new AgentError('internal', `${failed.cannot}: the question could not be made`)
    : httpFailure(failed, answer)
}

function headersOf(question: Question<unknown>): Record<string, string> {
  return {
    accept: 'application/json',
    'content-type': 'application/json',
    'x-request-id': question.requestId,
    ...(question.token === undefined ? {} : { 'connector-token': question.token.reveal() }),
  }
}

/** An answer other than 200: GraphQL errors where it has some (the Director gives 400, 401 and 422 with a body), else its status. */
function refusal(failed: Failed, answer: Answer): AgentError {
  const asGraphql = answer.status >= 400 && answer.status !== 429
  const errors = asGraphql ? parsed(new TextDecoder().decode(answer.body))?.['errors'] : undefined
  return hasErrors(errors)
    ? graphqlFailure(failed, answer, { errors, partial: false })
    : httpFailure(failed, answer)
}

/** The members of a JSON object; undefined for everything else. */
function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? { ...value }
      : undefined
  } catch {
    return undefined // the error of JSON.parse quotes the text
  }
}

function hasErrors(errors: unknown): errors is readonly unknown[] {
  return Array.isArray(errors) && errors.length > 0
}

function isThere(value: unknown): boolean {
  return value !== null && value !== undefined
}

function malformed({ cannot, door }: Failed, why: string): AgentError {
  const token: { token?: TokenFate } = door === 'token' ? { token: 'suspected' } : {}
  return new AgentError('answer_malformed', `${cannot}: ${why}`, {
    detail: { status: 200, ...token },
  })
}

/** A token that was sent, and the answer had begun or did not come in time, is probably gone. */
function lostAnswer(door: Door, error: AgentError): { token?: TokenFate } {
  const lost =
    (error.code === 'timed_out' && error.detail['limit'] !== undefined) ||
    error.code === 'answer_too_large' ||
    (error.code === 'unreachable' && error.detail['status'] === 200)
  return door === 'token' && lost ? { token: 'suspected' } : {}
}

/** graphql-request wants the type of the global fetch, which has a method of Bun's own. */
function asFetch(send: (body: string) => Promise<Response>): typeof fetch {
  const adapter = (_url: unknown, init?: { body?: unknown }): Promise<Response> =>
    typeof init?.body === 'string'
      ? send(init.body)
      : Promise.reject(new TypeError('graphql-request sends no text'))
  return Object.assign(adapter, { preconnect: () => undefined })
}
