import { AgentError } from '../../model/problem.ts'
import type { AgentErrorOptions, Code } from '../../model/problem.ts'
import { Secret } from '../../model/secret.ts'
import { textOfBase64 } from '../../runtime/base64.ts'
import type { Answer } from '../http.ts'
import { serverText } from '../server-text.ts'
import { isMembers } from './decode.ts'

/*
 * From an answer of the API server to the error that the agent acts on.
 *
 * What the server says is taken over through serverText alone, and values of a Secret that was sent are masked in it: a
 * webhook may quote what it refuses. `detail.reason` is the machine-readable reason of the API, or
 * FieldManagerConflict where others own fields: `detail.managers` names these, separated by commas. `detail.missing` of
 * a 404 is object, namespace or kind.
 */

/** A request, for the message of its failure. */
export type Attempt = {
  /** As in "create Secret team-a/orders at 10.0.0.1:443". */
  what: string
  /** What the path asked for: a 404 of something else means that there is no such kind or namespace. */
  asked: { plural: string; name: string | undefined }
  body: unknown
}

/** `metav1.Status`, as far as it is understood. */
type Status = {
  message: string
  reason: string
  /** Kind in plural, and name, of what the server could not find. */
  kind: string
  name: string
  causes: Cause[]
}
type Cause = { reason: string; message: string; field: string }

type Found = [code: Code, why: string, options?: AgentErrorOptions]

/** The error for an answer whose status is not 2xx. */
export function refusal(attempt: Attempt, answer: Answer): AgentError {
  const status = statusOf(answer)
  const [code, why, options] =
    status === undefined ? withoutStatus(answer) : classify(attempt, answer, status)
  return new AgentError(code, `Cannot ${attempt.what}: ${why}`, {
    ...options,
    retryAfter: answer.retryAfter,
    detail: {
      status: answer.status,
      ...(status === undefined || status.reason === '' ? {} : { reason: status.reason }),
      ...options?.detail,
    },
  })
}

/** The error for a 2xx answer that is not JSON. */
export function notJson(what: string, answer: Pick<Answer, 'status' | 'mediaType'>): AgentError {
  const why = `the answer was HTTP ${answer.status} with ${bodyKind(answer)}`
  return new AgentError('answer_malformed', `Cannot ${what}: ${why}`, {
    detail: { status: answer.status },
  })
}

/** True for a list or watch whose place in history the server has forgotten. */
export function isGone(thrown: unknown): boolean {
  return thrown instanceof AgentError && thrown.detail['status'] === 410
}

function classify(attempt: Attempt, { status }: Answer, found: Status): Found {
  const said = serverText(found.message, secretsOf(attempt.body)) || `HTTP ${status}`
  if (status === 401) return UNAUTHORIZED
  if (status === 403) return forbidden(found, said)
  if (status === 404) return missing(attempt, found, said)
  if (status === 409) return conflict(attempt, found, said)
  if (status === 429) return ['too_many_requests', 'it asks to slow down (HTTP 429)']
  if (status >= 500 || status === 410) return ['kubernetes_failed', said]
  return ['kubernetes_refused', said]
}

const UNAUTHORIZED: Found = [
  'kubernetes_failed',
  'it does not accept the credentials (HTTP 401)',
  {
    hint: 'the token or client certificate for the API server has expired or is not of this cluster: it is read again and tried again',
  },
]

/** Text of the authorizers: kubernetes/apiserver, endpoints/handlers/responsewriters/errors.go. */
const NO_RIGHT =
  /User "([^"]*)" cannot (\S+) (?:resource|path) "([^"]*)"(?: in API group "([^"]*)")?(?:.*? in the namespace "([^"]*)")?/

function forbidden({ message }: Status, said: string): Found {
  const [, user = '', verb = '', plural = '', group = '', namespace = ''] =
    NO_RIGHT.exec(message) ?? []
  if (verb === '' || message.includes('admission webhook')) return ['kubernetes_refused', said]
  const resource = group === '' ? plural : `${plural}.${group}`
  const where = namespace === '' ? '' : ` in namespace ${namespace}`
  const why = `${user} lacks the right to ${verb} ${resource}${where}`
  return ['kubernetes_forbidden', why, { detail: { verb, resource } }]
}

function missing({ asked }: Attempt, found: Status, said: string): Found {
  if (found.kind === 'namespaces') {
    const why = `the namespace ${found.name} does not exist`
    return ['kubernetes_missing', why, { detail: { missing: 'namespace' } }]
  }
  if (isAsked(asked, found)) return ['kubernetes_missing', 'it does not exist', OBJECT_IS_MISSING]
  return ['kubernetes_missing', noKind(said), KIND_IS_MISSING]
}

const OBJECT_IS_MISSING: AgentErrorOptions = {
  detail: { missing: 'object' },
  hint: 'something else has removed it: it is looked at again',
  class: 'retry',
}

const KIND_IS_MISSING: AgentErrorOptions = { detail: { missing: 'kind' } }

/** True for a 404 of the one object that was asked for, when its kind is there. */
export function isAbsent(thrown: unknown): boolean {
  return thrown instanceof AgentError && thrown.detail['missing'] === 'object'
}

/** Whether a 404 says that this one object is not there. */
function isAsked(asked: Attempt['asked'], found: Status): boolean {
  return asked.name !== undefined && found.name === asked.name && found.kind === asked.plural
}

function noKind(said: string): string {
  return `the API server does not serve this kind: ${said}`
}

function conflict({ body }: Attempt, found: Status, said: string): Found {
  const fields = found.causes.filter(({ reason }) => reason === 'FieldManagerConflict')
  if (fields.length === 0) return ['kubernetes_conflict', said]
  const owned = fields.map(({ message, field }) => ({
    manager: /conflict with "([^"]*)"/.exec(message)?.[1] ?? 'another manager',
    field,
  }))
  const shown = owned.slice(0, 3).map(({ manager, field }) => `${field} is owned by ${manager}`)
  const more = owned.length > 3 ? `, and ${owned.length - 3} more` : ''
  const managers = [...new Set(owned.map(({ manager }) => manager))].join(',')
  const why = serverText(shown.join(', '), secretsOf(body)) + more
  return ['kubernetes_conflict', why, { detail: { reason: 'FieldManagerConflict', managers } }]
}

/** An answer of something else than the API server: a proxy, a load balancer, a captive page, a wrong address. */
function withoutStatus(answer: Answer): Found {
  const { status } = answer
  const why = `the answer was HTTP ${status} with ${bodyKind(answer)}`
  if (status === 401) return UNAUTHORIZED
  if (status === 404 && answer.mediaType === 'text/plain')
    return ['kubernetes_missing', noKind('HTTP 404'), KIND_IS_MISSING]
  if (status === 407) return ['proxy_failed', 'the proxy wants other credentials (HTTP 407)']
  if (status === 429) return ['too_many_requests', 'it asks to slow down (HTTP 429)']
  if (status >= 500 || status === 410) return ['kubernetes_failed', why]
  return ['answer_malformed', why]
}

function bodyKind({ mediaType }: Pick<Answer, 'mediaType'>): string {
  if (mediaType === 'text/html') return 'an HTML page'
  return mediaType.endsWith('json') ? 'JSON that does not fit' : 'a body that is not JSON'
}

function statusOf(answer: Answer): Status | undefined {
  const value = parseJson(answer.body)
  return isMembers(value) && value['kind'] === 'Status' ? decodeStatus(value) : undefined
}

/** The object of an ERROR event of a watch as an answer would have it. */
export function errorEvent(attempt: Attempt, value: unknown): AgentError {
  const code = isMembers(value) && typeof value['code'] === 'number' ? value['code'] : 500
  const body = new TextEncoder().encode(JSON.stringify(value))
  const answer = { status: code, mediaType: 'application/json', body, cut: false }
  return refusal(attempt, { ...answer, retryAfter: undefined })
}

/** Undefined when it is none; the message of a parser would hold a part of it. */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body))
  } catch {
    return undefined
  }
}

function decodeStatus(value: Record<string, unknown>): Status {
  const details = isMembers(value['details']) ? value['details'] : {}
  const causes = Array.isArray(details['causes']) ? details['causes'] : []
  return {
    message: text(value['message']),
    reason: /^\w{1,60}$/.exec(text(value['reason']))?.[0] ?? '',
    kind: text(details['kind']),
    name: text(details['name']),
    causes: causes.filter(isMembers).map((cause) => ({
      reason: text(cause['reason']),
      message: text(cause['message']),
      field: text(cause['field']),
    })),
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Below this many characters nothing is a secret, and masking would leave nothing of a message. */
const SHORTEST = 3

/** The values of a Secret, as sent and as meant. */
function secretsOf(body: unknown): Secret[] {
  if (!isMembers(body)) return []
  const encoded = textsOf(body['data'])
  const plain = [...encoded.map(textOfBase64), ...textsOf(body['stringData'])]
  // A quoted value has its quotes and line ends escaped, in Go as in JSON.
  const quoted = plain.map((value) => JSON.stringify(value).slice(1, -1))
  return [...encoded, ...plain, ...quoted]
    .filter(({ length }) => length >= SHORTEST)
    .sort((a, b) => b.length - a.length)
    .map((value) => new Secret(value))
}

function textsOf(map: unknown): string[] {
  return isMembers(map) ? Object.values(map).filter((one) => typeof one === 'string') : []
}
