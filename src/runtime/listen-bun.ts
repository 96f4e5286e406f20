import type { Bind } from './listen.ts'

/** Seconds after which Bun closes a connection on which nothing moves; a stream of events has to say something before. */
const IDLE = 120

/** Bun's own server: for all that needs no client certificate. */
export const bindBun: Bind = (handler, at, tls) => {
  const common = {
    fetch: (request: Request) => handler(request, {}),
    error: () => new Response(null, { status: 500 }),
    development: false,
    ...(tls === undefined ? {} : { tls: { key: tls.key.reveal(), cert: tls.certificate } }),
  }
  const server =
    'path' in at
      ? Bun.serve({ ...common, unix: at.path })
      : Bun.serve({
          ...common,
          hostname: at.host,
          port: at.port,
          idleTimeout: IDLE,
          // Without it a second agent would get half of the connections of the first: the default outside development.
          reusePort: false,
        })
  return Promise.resolve({ port: server.port, close: () => server.stop(true) })
}
