import { Hono } from 'hono'
import type { Status } from '../model/status.ts'
import { MINUTE } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import { renderMetrics } from './metrics.ts'
import type { ProcessUsage } from './metrics.ts'
import { renderPage } from './page.ts'

/** What the status server may look at. It changes nothing. */
export type StatusView = {
  now(): Instant
  /** Undefined until the loop has reported once. */
  status(): Status | undefined
  /** When the loop last gave a sign of life. */
  heartbeat(): Instant
  /** Of this process. */
  usage(): ProcessUsage
}

/** The loop reports every few seconds whatever it waits for; one long computation or a suspended machine is no reason to die. */
const STUCK_AFTER: Duration = 3 * MINUTE

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/**
 * The status endpoint: GET only, no secret in any answer.
 *
 * - `/livez` 503 only when the loop is stuck: restarting the process may help.
 * - `/healthz` the same, and a word on how it is: probes of the Go agent ask there, and it answers 200 whatever happens.
 * - `/readyz` 503 until there is a usable identity and every target was in step once; problems that come later
 *   are shown as `degraded` and do not make it fail, since what is deployed goes on working.
 */
export function statusApp(
  view: StatusView,
  allowHost: (host: string | undefined) => boolean,
): Hono {
  const app = new Hono()
  app.use(async (c, next) => {
    // A page of another origin must not read the status through a name that resolves to loopback (DNS rebinding).
    if (!allowHost(c.req.header('host')))
      return c.text('Misdirected request: unexpected Host header\n', 421, HEADERS)
    if (c.req.method !== 'GET' && c.req.method !== 'HEAD')
      return c.text('Only GET is served here\n', 405, { ...HEADERS, allow: 'GET, HEAD' })
    await next()
    for (const [name, value] of Object.entries(HEADERS)) c.res.headers.set(name, value)
    return undefined
  })
  const isStuck = (): boolean => view.now() - view.heartbeat() > STUCK_AFTER
  app.get('/livez', (c) => (isStuck() ? c.text('stuck\n', 503) : c.text('ok\n')))
  app.get('/healthz', (c) => {
    const status = view.status()
    const word = status === undefined ? 'starting' : `${status.state}: ${status.why}`
    const count = status?.problems.length ?? 0
    return isStuck() ? c.text('stuck\n', 503) : c.text(`ok, ${word}; problems: ${count}\n`)
  })
  app.get('/readyz', (c) => {
    const { ready, ...body } = readiness(view.status())
    return c.json({ ready, ...body }, ready ? 200 : 503)
  })
  app.get('/status', (c) => {
    const status = view.status()
    return status === undefined ? c.json({ state: 'starting' }, 503) : c.json(status)
  })
  app.get('/metrics', (c) => {
    const status = view.status()
    return c.text(status === undefined ? '' : renderMetrics(status, view.usage()), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    })
  })
  app.get('/', (c) => {
    const status = view.status()
    return status === undefined ? c.text('starting\n', 503) : c.html(renderPage(status, view.now()))
  })
  app.notFound((c) =>
    c.text('Not found; there are / /status /metrics /livez /readyz /healthz\n', 404),
  )
  return app
}

/**
 * Whether what was asked for is in place, and why not. Standby is ready, as another agent does the work; but not when it
 * needs a person first, such as for rights that are missing: no rollout may count it as good.
 */
export function readiness(status: Status | undefined): {
  ready: boolean
  degraded: boolean
  reasons: string[]
} {
  if (status === undefined) return { ready: false, degraded: false, reasons: ['starting'] }
  if (status.standby) {
    const ready = status.problems.every(({ turn }) => turn === 'agent')
    return { ready, degraded: status.problems.length > 0, reasons: [`standby: ${status.why}`] }
  }
  const missing = [
    ...(status.identity?.condition === 'valid' ? [] : ['no usable identity']),
    ...status.targets
      .filter((t) => t.lastSuccess === undefined)
      .map((t) => `target ${t.name} was never in step`),
  ]
  const reasons = [...missing, ...status.problems.map(({ message }) => message)]
  return { ready: missing.length === 0, degraded: status.problems.length > 0, reasons }
}
