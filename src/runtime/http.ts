import type { Secret } from '../model/secret.ts'
import type { Duration } from '../model/time.ts'

/** The web's fetch, over one identity. Aborts with `init.signal` as the web's does. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

/** Who we are and whom we believe. Without `insecureSkipVerify` the server is always verified, whatever the environment says. */
export type TlsClient = {
  /** `key` PKCS#8 PEM; `chain` PEM blocks, our certificate first. */
  identity?: { key: Secret; chain: string }
  /** PEM blocks of further roots, added to the system's. */
  ca?: string[]
  insecureSkipVerify?: boolean
}

/** Missing `url`: HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment decide. */
export type ProxySettings = {
  /** May hold `user:password@`. */
  url?: string
  /** Hosts that are reached directly, in NO_PROXY's forms: `host`, `.suffix`, `*.suffix`, `host:port`, `*`, `10.0.0.0/8`. */
  except?: string[]
}

/** Connections of one identity. */
export interface HttpSession {
  /**
   * Throws {@link AgentError} for transport errors and redirects; an abort by the caller's signal rejects with its reason.
   * Messages name host and reason, never path, query, headers or body.
   */
  readonly fetch: Fetch
  /** Ends the session: its connections are used by no later call of any session, and its `fetch` throws from now on. */
  close(): Promise<void>
}

export type HttpOptions = {
  tls: TlsClient
  proxy?: ProxySettings
  /** Until TCP and TLS stand; 15 s when missing. */
  connectTimeout?: Duration
}

/** Opens a session. Nothing is sent or connected before its first `fetch`. */
export function openHttp(options: HttpOptions): HttpSession {
  void options
  throw new Error('not yet')
}
