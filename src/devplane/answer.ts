import type { DirectorCode } from './director-error.ts'
import { DIRECTOR_ERRORS } from './director-error.ts'

/** An HTTP answer before knobs spoil it and before it is sent. */
export type Answer = {
  status: number
  /** Content-Type. */
  type: string
  body: string
  headers?: Record<string, string>
}

const JSON_TYPE = 'application/json'

/** A JSON answer as the GraphQL servers write it. */
export function jsonAnswer(body: unknown, status = 200): Answer {
  return { status, type: JSON_TYPE, body: JSON.stringify(body) }
}

/** What the identity proxy and the gateway say when they refuse or reach nothing: a status, a type and no body. */
export function emptyAnswer(status: number): Answer {
  return { status, type: 'application/json;charset=UTF-8', body: '' }
}

/** A path or method that no rule of the identity proxy names. */
export function unknownPath(): Answer {
  return proxyError(404, 'Not Found', 'Requested url does not match any rules')
}

/** A JSON error of the identity proxy itself. */
export function proxyError(status: number, reason: string, message: string): Answer {
  return jsonAnswer({ error: { code: status, status: reason, message } }, status)
}

/** The page of a TLS front that has nothing behind it; also what a captive portal looks like. */
export function htmlAnswer(status: number): Answer {
  const title = status === 503 ? '503 Service Unavailable' : `${status} Sign in to this network`
  return {
    status,
    type: 'text/html',
    body: `<html><body><h1>${title}</h1>\nNo server is available to handle this request.\n</body></html>\n`,
    headers: { 'cache-control': 'no-cache' },
  }
}

/** A Director error that comes before any field is looked at. */
export function directorRefusal(status: number, code: DirectorCode, message: string): Answer {
  const extensions = { error: DIRECTOR_ERRORS[code], error_code: code }
  return jsonAnswer({ errors: [{ message, extensions }], data: null }, status)
}
