import { Hono } from 'hono'
import type { Asked, Trigger, TriggerOutcome } from '../agent/ports.ts'
import type { Status } from '../model/status.ts'

const HASH = /^[0-9a-f]{12}$/

/**
 * The verbs that act, over `<state>/agent.sock` (mode 0600: whoever may open it is the user of the agent or root).
 * Each answers when its work is done, with the problems of that work and the status after it.
 */
export function controlApp(
  view: { status(): Status | undefined },
  ask: (trigger: Trigger) => void,
): Hono {
  const app = new Hono()
  const asked = (what: Asked): Promise<TriggerOutcome> =>
    new Promise((resolve) => ask({ ...what, reply: resolve }))
  for (const kind of ['sync', 'renew', 'reconnect', 'pause', 'resume'] as const) {
    app.post(`/${kind}`, async (c) => c.json(await asked({ kind })))
  }
  app.post('/approve/:hash', async (c) => {
    const hash = c.req.param('hash')
    if (!HASH.test(hash)) return c.text('Cannot approve: a hash is 12 hex characters\n', 400)
    return c.json(await asked({ kind: 'approve', hash }))
  })
  app.get('/status', (c) => {
    const status = view.status()
    return status === undefined ? c.json({ state: 'starting' }, 503) : c.json(status)
  })
  return app
}
