import { AgentError } from '../model/problem.ts'
import type { AgentErrorOptions, Code } from '../model/problem.ts'

/*
 * What goes wrong before an answer, in the words of three runtimes and one HTTP library, told as one. Only codes and
 * fixed phrases are taken over: the messages of these errors may hold URLs with queries, and they are never kept as cause.
 */

const UNTRUSTED =
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_UNTRUSTED|CERT_CHAIN_|CERT_SIGNATURE|CERT_REJECTED|CERT_REVOKED|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|CA_)/
/** RFC 8446 §6.2: bad (42), unsupported (43), revoked (44), expired (45), unknown (46), unknown_ca (48), access_denied (49), required (116). */
const REFUSED_ALERT =
  /ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED|CERTIFICATE_REQUIRED)/
const NO_CONNECTION: Record<string, string> = {
  ECONNREFUSED: 'the connection is refused',
  ECONNRESET: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed',
  UND_ERR_CLOSED: 'the connection was closed',
  UND_ERR_DESTROYED: 'the connection was closed',
  EPIPE: 'the connection was closed',
  ENOTFOUND: 'the name does not resolve',
  EAI_AGAIN: 'the name does not resolve now',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
  EADDRNOTAVAIL: 'there is no local address for it',
  FailedToOpenSocket: 'no connection can be opened',
  ENOENT: 'the socket does not exist',
  EACCES: 'the socket may not be opened',
}
const TIMED_OUT = /^(ETIMEDOUT|UND_ERR_\w*TIMEOUT|TimeoutError|ConnectionTimeout)$/

/** Who was called: what a message may name of it. */
export type Callee = {
  /** Host and port, no path, no query. */
  host: string
  /** Host and port of the proxy in between. */
  proxy?: string | undefined
}

/** Classes an error of `fetch` or of reading a body as an AgentError without cause; `detail.reason` is its code. */
export function transportError({ host, proxy }: Callee, thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown
  const { code, text } = rootOf(thrown)
  const through = proxy === undefined ? '' : ` through the proxy ${proxy}`
  const make: Make = (kind, why, options = {}) =>
    new AgentError(kind, `Cannot reach ${host}${through}: ${why}`, {
      detail: { reason: code },
      ...options,
    })
  const answer = /(?:response \(|tunnel: )(\d{3})/.exec(text)?.[1]
  if (proxy !== undefined && answer !== undefined) return proxyAnswer(make, answer)
  if (TIMED_OUT.test(code)) return make('timed_out', `no answer in time (${code})`)
  const tls = tlsReason(code)
  if (tls) return make(...tls)
  const why = `${NO_CONNECTION[code] ?? 'the connection failed'} (${code})`
  const proxyIsDown = proxy !== undefined && !/closed$/.test(NO_CONNECTION[code] ?? 'closed')
  return proxyIsDown ? make('proxy_failed', why, DOWN) : make('unreachable', why)
}

type Make = (kind: Code, why: string, options?: AgentErrorOptions) => AgentError

/** A proxy that restarts is back in a minute, without anybody having to do anything. */
const DOWN: AgentErrorOptions = {
  class: 'retry',
  hint: 'start the proxy, or correct proxy.url or HTTPS_PROXY; the agent tries on',
}

/** The proxy works when it says that it cannot reach the server; anything else is between us and it. */
function proxyAnswer(make: Make, status: string): AgentError {
  return status >= '500'
    ? make('unreachable', `the proxy cannot reach it (${status})`)
    : make('proxy_failed', `the proxy refuses (${status})`)
}

function tlsReason(code: string): [Code, string] | undefined {
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return ['tls_server_expired', `the certificate of the server is not valid now (${code})`]
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return ['tls_name_mismatch', `the certificate of the server is for another name (${code})`]
  }
  if (UNTRUSTED.test(code)) {
    return [
      'tls_untrusted',
      `the certificate of the server is not signed by a known authority (${code})`,
    ]
  }
  if (REFUSED_ALERT.test(code)) {
    const why = code.endsWith('CERTIFICATE_REQUIRED')
      ? 'the server wants a client certificate'
      : 'the server refuses our client certificate'
    return ['client_certificate_refused', `${why} (${code})`]
  }
  if (/^(EPROTO|ERR_SSL_|ERR_OSSL|ERR_TLS_|CERT_)/.test(code)) {
    return ['tls_failed', `the TLS handshake failed (${code})`]
  }
  return undefined
}

/** The innermost error that has a code: undici wraps once, happy eyeballs wrap again. */
function rootOf(thrown: unknown): { code: string; text: string } {
  let found = { code: 'unknown', text: '' }
  for (let error = thrown, depth = 0; error instanceof Error && depth < 4; depth += 1) {
    const code = 'code' in error ? error.code : undefined
    if (typeof code === 'string') found = { code, text: error.message }
    else if (found.text === '' || found.code === 'unknown') {
      const named = error.name === 'TimeoutError' ? error.name : 'unknown'
      found = { code: named, text: error.message }
    }
    error = error.cause ?? (error instanceof AggregateError ? error.errors[0] : undefined)
  }
  return found
}

/**
 * Whether a second look at the handshake may tell more than this error does, and what to look at: whether the server
 * refuses us, or what certificate it shows.
 */
export function lookAgainAt(thrown: unknown): 'refusal' | 'certificate' | undefined {
  const { code } = rootOf(thrown)
  if (UNTRUSTED.test(code)) return 'certificate'
  return /^(EPROTO|ECONNRESET|EPIPE|UND_ERR_SOCKET)$/.test(code) ? 'refusal' : undefined
}
