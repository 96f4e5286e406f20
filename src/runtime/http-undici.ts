import process from 'node:process'
import type { Dispatcher } from 'undici'
import type { Transport, TransportOptions } from './http.ts'
import { SECOND } from '../model/time.ts'

const IDLE = 30 * SECOND

/**
 * undici for Node and Deno: their own fetch takes no client certificate. HTTP/1.1 only, as under Bun.
 *
 * The bare name `undici` is a stand-in of the runtime under Bun, hence the path.
 */
export async function openUndici({
  tls,
  connectTimeout,
  socket,
}: TransportOptions): Promise<Transport> {
  const { Agent, ProxyAgent, fetch } = await import('undici/index.js')
  const { createSecureContext } = process.getBuiltinModule('node:tls')
  const { rejectUnauthorized, ...identity } = tls
  // Parsed once, not once a connection: 20 ms and 150 roots each.
  const ours = { secureContext: createSecureContext(identity), rejectUnauthorized }
  const common = { allowH2: false, keepAliveTimeout: IDLE, keepAliveMaxTimeout: IDLE }
  const dispatchers = new Map<string, Dispatcher>()

  function dispatcherFor(proxy: URL | undefined): Dispatcher {
    const name = proxy?.href ?? ''
    const known = dispatchers.get(name)
    if (known) return known
    const path = socket === undefined ? {} : { socketPath: socket }
    const connect = { ...ours, ...path, timeout: connectTimeout }
    const opened = proxy
      ? new ProxyAgent({
          ...common,
          uri: proxy.href,
          requestTls: connect,
          proxyTls: { ca: tls.ca, rejectUnauthorized, timeout: connectTimeout },
          connectTimeout,
        })
      : new Agent({ ...common, connect })
    dispatchers.set(name, opened)
    return opened
  }

  return {
    async send({ request, proxy }) {
      // undici frees a connection one turn after the end of its body: asked sooner it would open a second one.
      await new Promise((resolve) => setImmediate(resolve))
      // undici takes no Request of another class than its own. Bodies are small here, so they go with their length.
      const answer = await fetch(request.url, {
        method: request.method,
        headers: [...request.headers],
        body: request.body ? await request.arrayBuffer() : null,
        signal: request.signal,
        redirect: 'manual',
        dispatcher: dispatcherFor(proxy),
      })
      // The web's class, which is not undici's: for `instanceof`.
      return new Response(answer.body, answer)
    },
    async close() {
      await Promise.all([...dispatchers.values()].map((dispatcher) => dispatcher.destroy()))
      dispatchers.clear()
    },
  }
}
