import type { Outgoing, Transport, TransportOptions } from './http.ts'
import { addressOf } from './http.ts'
import { probe, probeTcp } from './http-probe.ts'
import type { Seen } from './http-probe.ts'

/** Seconds. Long enough for the requests of one pass, shorter than load balancers keep a connection. */
const IDLE = 30

/**
 * Bun's own fetch. A FetchSession has connections of its own, so a new identity never meets those of an old one.
 *
 * `rejectUnauthorized` is always said: without it NODE_TLS_REJECT_UNAUTHORIZED=0 would switch verification off. The
 * proxy is always said too: `false` keeps Bun from its own reading of the environment. So is `verbose`: without it
 * BUN_CONFIG_VERBOSE_FETCH would print all headers, tokens included.
 */
export function openBun({ tls, connectTimeout, socket }: TransportOptions): Transport {
  const session = new Bun.FetchSession({
    tls,
    keepAlive: { idleTimeout: IDLE },
    ...(socket === undefined ? {} : { unix: socket }),
  })
  return {
    async send({ request, proxy }) {
      const watch = watchConnect({ request, proxy }, { tls, connectTimeout, socket })
      try {
        return await session.fetch(request, {
          signal: AbortSignal.any([request.signal, watch.signal]),
          redirect: 'manual',
          verbose: false,
          proxy: proxy === undefined ? false : { url: proxy, respectNoProxy: false },
        })
      } finally {
        watch.stop()
      }
    },
    close() {
      session.close()
      return Promise.resolve()
    },
  }
}

/**
 * Bun's fetch knows no connect time-out. A request without an answer at two thirds of it gets a second connection tried
 * beside it; when that one cannot be set up either until the time-out, the request is given up. A server that is
 * connected and slow is left to the caller's own time-out.
 */
function watchConnect(
  { request, proxy }: Outgoing,
  { tls, connectTimeout, socket }: TransportOptions,
): { signal: AbortSignal; stop(): void } {
  const abort = new AbortController()
  const url = new URL(request.url)
  const limit = connectTimeout / 3
  const connected = (): Promise<Seen> => {
    if (proxy?.protocol === 'http:') return probeTcp(addressOf(proxy), { limit })
    // Our certificate is not for the proxy.
    const { ca, rejectUnauthorized } = tls
    return proxy === undefined
      ? probe({ ...addressOf(url), ...tls }, { limit })
      : probe({ ...addressOf(proxy), ca, rejectUnauthorized }, { limit })
  }
  const look = async (): Promise<void> => {
    const seen = await connected()
    if (seen.code === 'ETIMEDOUT') abort.abort(new DOMException('connect', 'TimeoutError'))
  }
  const timer = setTimeout(
    () => {
      // A time-out of a Unix socket or of plain HTTP is the caller's: there is no handshake to look at.
      if (socket === undefined && url.protocol === 'https:') void look()
    },
    (connectTimeout * 2) / 3,
  )
  return { signal: abort.signal, stop: () => clearTimeout(timer) }
}
