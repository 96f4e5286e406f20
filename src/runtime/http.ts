import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import { lookAgainAt, transportError } from './http-error.ts'
import type { Callee } from './http-error.ts'
import { probe } from './http-probe.ts'
import type { Seen } from './http-probe.ts'
import { env, runtimeName } from './process.ts'
import { proxyFor } from './proxy.ts'
import type { ProxySettings } from './proxy.ts'
import { systemRoots } from './roots.ts'

/** The web's fetch, over one identity. Aborts with `init.signal` as the web's does. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

/** Who we are and whom we believe. Without `insecureSkipVerify` the server is always verified, whatever the environment says. */
export type TlsClient = {
  /** `key` PKCS#8 PEM; `chain` PEM blocks, our certificate first. */
  identity?: { key: Secret; chain: string }
  /** PEM blocks of further roots, added to the system's. A function is asked again when a server is not believed. */
  ca?: string[] | (() => Promise<string[]>)
  /** Believes `ca` alone: a cluster signs for itself, and no public authority has a say in it. */
  onlyCa?: boolean
  /** What the certificate of the server must name, when that is not the host of the URL. */
  serverName?: string
  insecureSkipVerify?: boolean
}

/** Connections of one identity. A new identity is a new session. */
export interface HttpSession {
  /**
   * Throws AgentError for transport errors and redirects; an abort by the caller's signal rejects with its reason.
   * Messages name host and reason, never path, query, headers or body. Reading the body may still throw the library's
   * errors: class them with `transportError` of http-error.ts.
   */
  readonly fetch: Fetch
  /** Ends the session: no later call of any session uses its connections, and its `fetch` throws from now on. */
  close(): Promise<void>
}

export type HttpOptions = {
  tls: TlsClient
  proxy?: ProxySettings
  /** Until TCP and TLS stand; 15 s when missing. */
  connectTimeout?: Duration
  /** Path of a Unix socket to go to, whatever host the URL names. */
  socket?: string
}

/** The TLS options that both ways of sending understand. */
export type TlsSettings = {
  ca: string[]
  cert?: string
  key?: string
  rejectUnauthorized: boolean
  servername?: string
}

/** One request on its way, and how it goes. */
export type Outgoing = { request: Request; proxy: URL | undefined }

/** A way to send that one runtime has. Redirects come back as they are. */
export interface Transport {
  send(outgoing: Outgoing): Promise<Response>
  close(): Promise<void>
}

export type TransportOptions = {
  tls: TlsSettings
  connectTimeout: Duration
  socket: string | undefined
}

type Opened = { settings: TransportOptions; transport: Transport }

/** There is none on a Unix socket. */
const NO_TLS: TlsSettings = { ca: [], rejectUnauthorized: true }

/** Opens a session. Nothing is read, sent or connected before its first `fetch`. */
export function openHttp(options: HttpOptions): HttpSession {
  const { proxy = {}, connectTimeout = 15 * SECOND, socket } = options
  let transport: Promise<Opened> | undefined
  let retired: Promise<Opened> | undefined
  let closed = false

  async function open(): Promise<Opened> {
    const tls = socket === undefined ? await tlsSettings(options.tls) : NO_TLS
    const settings = { tls, connectTimeout, socket }
    return { settings, transport: await openTransport(settings) }
  }

  /** Roots change in years: those who did not believe the server are read again by the next call. */
  async function retire(asked: Promise<Opened>): Promise<void> {
    if (transport !== asked) return
    transport = undefined
    const older = retired
    // What is under way on connections that stand may end.
    retired = asked
    await (await older)?.transport.close()
  }

  return {
    async fetch(input, init) {
      const request = toRequest(input, init)
      const url = new URL(request.url)
      if (closed) throw new AgentError('internal', `Cannot call ${url.host}: the session is closed`)
      const via = socket === undefined ? proxyFor(url, proxy, env) : undefined
      const callee = { host: socket ?? url.host, proxy: via?.host }
      const asked = (transport ??= open())
      const opened = await asked.catch((thrown: unknown) => {
        transport = undefined
        throw thrown
      })
      try {
        const response = await opened.transport.send({ request, proxy: via })
        return await withoutRedirect(response, callee)
      } catch (thrown) {
        if (request.signal.aborted) throw request.signal.reason
        const error = await explained(thrown, url, callee, opened.settings)
        if (error.code === 'tls_untrusted') await retire(asked)
        throw error
      }
    },
    async close() {
      closed = true
      await (await retired)?.transport.close()
      await (await transport?.catch(() => undefined))?.transport.close()
    },
  }
}

function toRequest(input: string | URL | Request, init?: RequestInit): Request {
  return input instanceof Request ? new Request(input, init) : new Request(String(input), init)
}

async function tlsSettings(client: TlsClient): Promise<TlsSettings> {
  const { identity, onlyCa = false, serverName, insecureSkipVerify = false } = client
  const ca = typeof client.ca === 'function' ? await client.ca() : (client.ca ?? [])
  return {
    // `ca` replaces the runtime's roots, so the system's have to be in it.
    ca: onlyCa ? ca : [...systemRoots(), ...ca],
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(identity ? { cert: identity.chain, key: identity.key.reveal() } : {}),
    rejectUnauthorized: !insecureSkipVerify,
  }
}

async function openTransport(settings: TransportOptions): Promise<Transport> {
  if (runtimeName === 'bun') return (await import('./http-bun.ts')).openBun(settings)
  return (await import('./http-undici.ts')).openUndici(settings)
}

async function withoutRedirect(response: Response, { host }: Callee): Promise<Response> {
  if (response.status < 300 || response.status > 399 || response.status === 304) return response
  await response.body?.cancel()
  throw new AgentError(
    'redirect_refused',
    `Cannot call ${host}: it answers with a redirect (${response.status})`,
  )
}

/** Classes an error, with a second look where it does not tell enough. Through a proxy there is no second look. */
async function explained(
  thrown: unknown,
  url: URL,
  callee: Callee,
  { tls, connectTimeout: limit, socket }: TransportOptions,
): Promise<AgentError> {
  const error = transportError(callee, thrown)
  const direct = url.protocol === 'https:' && callee.proxy === undefined && socket === undefined
  const look = direct && !(thrown instanceof AgentError) ? lookAgainAt(thrown) : undefined
  if (look === undefined) return error
  if (look === 'refusal') {
    const { code } = await probe({ ...addressOf(url), ...tls }, { limit, afterwards: 500 })
    const again = transportError(callee, Object.assign(new Error(), { code }))
    return again.code === 'client_certificate_refused' ? again : error
  }
  const anyone = { ca: tls.ca, rejectUnauthorized: false }
  return described(error, callee, await probe({ ...addressOf(url), ...anyone }, { limit }))
}

/** Names who issued an untrusted certificate: most often a proxy that opens TLS, or a private authority. */
function described(error: AgentError, callee: Callee, { notAfter, issuer }: Seen): AgentError {
  if (notAfter !== undefined && notAfter < Date.now()) {
    return transportError(callee, Object.assign(new Error(), { code: 'CERT_HAS_EXPIRED' }))
  }
  if (issuer === undefined) return error
  const name = JSON.stringify(issuer.slice(0, 100))
  return new AgentError(error.code, `${error.message}; it is issued by ${name}`, {
    detail: error.detail,
  })
}

/** Where a URL leads, for node's tls. An address has no server name. */
export function addressOf(url: URL): { host: string; port: number; servername?: string } {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const isAddress = /^[\d.]+$|:/.test(host)
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
  return { host, port, ...(isAddress ? {} : { servername: host }) }
}
