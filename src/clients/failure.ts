import { AgentError } from '../model/problem.ts'
import type { AgentErrorOptions, Code, Detail, FailureClass } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type { Answer } from './http.ts'
import { serverText } from './server-text.ts'

/**
 * From what went wrong on the wire to the error that the agent acts on: the trap table of
 * reference/observed-compass.md §2, and director.md §8 and connector.md §9 for the codes and texts.
 *
 * The rule behind the table: an answer that another cause could have given is classed by the cause that a wrong guess
 * would harm least. A 400 with an empty body is a spent token or a Director that is down: the token is kept. Error 23
 * without scopes is a revoked certificate or a database that restarts: everything is kept.
 */

/** Which service was asked, and by what it knows us. */
export type Door =
  /** The Connector's enrolment address: a one-time token, which is spent on arrival. */
  | 'token'
  /** The Connector over mTLS. */
  | 'connector'
  /** The Director over mTLS. */
  | 'director'

/** A question that failed. */
export type Failed = {
  door: Door
  /** "Cannot read the applications at gateway.example.com". */
  cannot: string
  /** Masked in what the server says. */
  secrets: readonly Secret[]
}

/** What is known of an answer when it is classed. */
export type Seen = Pick<Answer, 'status' | 'retryAfter'>

/**
 * The fate of the one-time token, in `detail.token` of errors of the token door. Missing: nothing speaks against its
 * life (the token port answers 400 with an empty body for a dead token and for a Director that is down).
 */
export type TokenFate =
  /** A Connector answered: it is gone. */
  | 'spent'
  /** It was sent on and the answer was lost: it is probably gone. */
  | 'suspected'

/** The error for an answer that is no GraphQL answer: another status, a page, cut JSON. */
export function httpFailure(failed: Failed, answer: Answer): AgentError {
  const [code, why, options] = httpCause(failed.door, answer)
  return failure(failed, answer, code, why, options)
}

type Cause = [code: Code, why: string, options?: AgentErrorOptions]

function httpCause(door: Door, answer: Answer): Cause {
  const { status } = answer
  const body = answer.body.byteLength === 0 && !answer.cut ? 'an empty body' : bodyKind(answer)
  const said = `the answer was HTTP ${status} with ${body}`
  if (status === 200) return ['answer_malformed', said, fate(door, 'suspected')]
  if (status >= 300 && status < 400)
    return ['redirect_refused', `it answers with a redirect (HTTP ${status})`]
  if (status === 429) return ['too_many_requests', 'it asks to slow down (HTTP 429)']
  if (status === 407) return ['proxy_failed', 'the proxy wants other credentials (HTTP 407)']
  if (status === 408 || status === 504) return ['timed_out', said, fate(door, 'suspected')]
  if (status === 502 && door === 'token') {
    const why = `${said} after the token was sent on, which has probably spent it`
    return ['token_spent', why, fate(door, 'suspected')]
  }
  if (status >= 500) return ['server_failed', said]
  if ((status === 400 && body === 'an empty body') || status === 401 || status === 403) {
    return [door === 'token' ? 'token_refused' : 'identity_refused', said]
  }
  if (status === 404) return ['answer_malformed', said, { hint: NOT_FOUND }]
  return ['answer_malformed', said]
}

const NOT_FOUND =
  'what answers does not know this path: check the address (connector.url); it is tried again'

function bodyKind(answer: Answer): string {
  if (answer.mediaType === 'text/html') return 'an HTML page'
  return answer.mediaType.endsWith('json')
    ? 'JSON that is no GraphQL answer'
    : 'a body that is not JSON'
}

/** One entry of `errors`, as far as it is understood; its texts are clean. */
type Entry = {
  message: string
  errorId: string | undefined
  code: number | undefined
  name: string
}

/** The error for an answer with GraphQL `errors`; `partial`: there was data beside them. */
export function graphqlFailure(
  failed: Failed,
  seen: Seen,
  found: { errors: readonly unknown[]; partial: boolean },
): AgentError {
  const entries = found.errors.map((entry) => entryOf(entry, failed.secrets))
  const causes = entries.map((entry) =>
    failed.door === 'director'
      ? directorCause(entry, seen, found.partial)
      : connectorCause(entry, seen, failed.door),
  )
  // A person's turn goes first: trying again cannot help while one entry needs one.
  const chosen = Math.max(
    causes.findIndex((cause) => classOf(cause) === 'operator'),
    0,
  )
  const [code, why, options] = causes[chosen] ?? [
    'answer_malformed',
    'it answers with an empty error',
  ]
  const entry = entries[chosen]
  const more = entries.length > 1 ? ` (and ${entries.length - 1} more)` : ''
  return failure(failed, seen, code, why + more, {
    ...options,
    detail: {
      ...options?.detail,
      ...(entry?.code === undefined ? {} : { errorCode: entry.code }),
      ...(entry?.errorId === undefined ? {} : { errorId: entry.errorId }),
      ...(failed.door === 'token' ? { token: 'spent' satisfies TokenFate } : {}),
    },
  })
}

function classOf([code, , options]: Cause): FailureClass {
  return new AgentError(code, '', options).class
}

const ERROR_ID = /errorID=([\w-]{1,64}),?\s*/

function entryOf(entry: unknown, secrets: readonly Secret[]): Entry {
  const { message, extensions } = membersOf(entry)
  const { error, error_code: code } = membersOf(extensions)
  const text = typeof message === 'string' ? message : ''
  return {
    // errorID differs each time and would make a new failure of each: it goes to `detail`.
    message: serverText(text.replace(ERROR_ID, ''), secrets),
    errorId: ERROR_ID.exec(text)?.[1],
    code: typeof code === 'number' && Number.isSafeInteger(code) ? code : undefined,
    name: typeof error === 'string' ? ` ${serverText(error, secrets)}` : '',
  }
}

function membersOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function directorCause(entry: Entry, seen: Seen, partial: boolean): Cause {
  const why = said(entry)
  if (entry.code === 23) return scopeCause(entry)
  if (entry.code === 22 && /runtime does not exist/i.test(entry.message)) {
    return ['identity_refused', why, { class: 'operator' }]
  }
  // The Director gives code 10 to a document that does not fit its schema; only the status tells it from trouble.
  if (seen.status === 422) return ['director_refused', why]
  const known = entry.code === undefined ? undefined : DIRECTOR_CODES[entry.code]
  if (known !== undefined) return [known, why]
  if (seen.status === 401 || seen.status === 403) return ['identity_refused', why]
  if (seen.status >= 500) return ['server_failed', why]
  return partial ? ['answer_incomplete', `it gave a part only: ${why}`] : ['director_failed', why]
}

/** director.md §8. 23 and a part of 22 depend on the text; unknown codes are trouble on the other side. */
const DIRECTOR_CODES: Readonly<Record<number, Code>> = {
  10: 'director_failed',
  11: 'director_failed',
  20: 'director_refused',
  21: 'director_refused',
  22: 'director_refused',
  24: 'tenant_wrong',
  25: 'tenant_wrong',
  26: 'director_refused',
  27: 'director_refused',
  28: 'timed_out',
  29: 'director_refused',
  30: 'director_refused',
  31: 'director_refused',
  32: 'director_failed',
  33: 'director_refused',
  34: 'director_refused',
  35: 'director_failed',
  36: 'director_refused',
  37: 'director_refused',
  38: 'director_failed',
  400: 'director_refused',
  409: 'director_failed',
}

/** Without a list of scopes the Director did not see who we are: revoked, unregistered, or its database is down. */
function scopeCause(entry: Entry): Cause {
  const [, actual = '', required = ''] =
    /actual=([^\]]*?);?\s*required=([^\]]*)\]/.exec(entry.message) ?? []
  if (actual.trim() === '') {
    return ['identity_refused', 'it does not recognise this runtime now (error 23, no scopes)']
  }
  const why = `the scope ${required} is missing (error 23; the runtime has ${actual})`
  return ['scope_missing', why, { detail: { scope: required } }]
}

/** connector.md §9: no codes, so fragments of the texts tell the causes apart. */
const CONNECTOR_TEXTS: readonly (readonly [fragment: string, code: Code])[] = [
  ['Failed to get one-time token', 'server_failed'],
  ['No token generation for consumer type', 'not_a_runtime'],
  ['Certificate Signing Request', 'csr_refused'],
  ['CSR:', 'csr_refused'],
  ['Error while creating certificate', 'csr_refused'],
]

function connectorCause(entry: Entry, seen: Seen, door: Door): Cause {
  const why = said(entry)
  if (/Failed to authenticate/.test(entry.message)) {
    return [door === 'token' ? 'token_refused' : 'identity_refused', why]
  }
  const known = CONNECTOR_TEXTS.find(([fragment]) => entry.message.includes(fragment))
  if (known !== undefined) return [known[1], why]
  if (seen.status === 422) return ['connector_refused', why]
  return ['server_failed', why]
}

function said({ message, code, name }: Entry): string {
  const text = message === '' ? 'it answers with an error without text' : message
  return code === undefined ? text : `${text} (error ${code}${name})`
}

function failure(
  failed: Failed,
  seen: Seen,
  code: Code,
  why: string,
  options: AgentErrorOptions = {},
): AgentError {
  return new AgentError(code, `${failed.cannot}: ${why}`, {
    ...options,
    retryAfter: seen.retryAfter,
    detail: { status: seen.status, ...options.detail },
  })
}

function fate(door: Door, token: TokenFate): AgentErrorOptions {
  return door === 'token' ? { detail: { token } } : {}
}

/** The same error with more facts. */
export function withDetail(error: AgentError, detail: Detail): AgentError {
  return new AgentError(error.code, error.message, {
    class: error.class,
    hint: error.hint,
    turn: error.turn,
    subject: error.subject,
    retryAfter: error.retryAfter,
    detail: { ...error.detail, ...detail },
  })
}
