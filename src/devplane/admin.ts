import { Hono, type Context } from 'hono'
import { AgentError } from '../model/problem.ts'
import type { Handler } from '../runtime/listen.ts'
import type { PlaneCore } from './core.ts'
import { DIRECTOR_ERRORS, DirectorError } from './director-error.ts'
import { isObject, parseJson } from './graphql.ts'
import { setInstanceAuth } from './instance-auth.ts'
import { knobHelp, knobTable } from './knob-board.ts'
import { parseLandscape } from './landscape-file.ts'
import type { Landscape, LandscapeApplication, LandscapeAuth } from './landscape.ts'
import * as operator from './operator.ts'

/** What the endpoint needs of its plane. */
export type Administered = {
  readonly core: PlaneCore
  /** Throws `usage` with all that does not fit. */
  set(knobs: Record<string, unknown>): Promise<void>
  reset(): Promise<void>
  replace(landscape: Landscape): void
}

const HELP = `Development control plane: what its operators can do. Everything is JSON, for this machine only.

GET    /knobs                        which knobs are turned, and the table of all (text with Accept: text/plain)
PUT    /knobs {"refuse": {"operation": "sign", "count": 2}}
DELETE /knobs                        lets go of all
POST   /token {"runtime": NAME}      a new one-time token: token, raw, rawEncoded
POST   /revoke {"runtime": NAME}     or {"fingerprint": SHA-256}; revokes certificates
POST   /certificate {"lifetime": "10m"}   how long certificates live that are signed from now on
GET    /events?after=0               requests seen
GET    /runtimes                     runtimes with labels and certificates
POST   /runtimes {"name": NAME}      registers one
DELETE /runtimes/NAME                unregisters one: its certificates are known no more
GET    /landscape                    what is served; PUT takes YAML or JSON
POST   /applications                 registers an application, or changes it, in the form of the landscape file
PUT    /applications/ID/formations ["default"]   assigns; [] takes it away from all runtimes
DELETE /applications/ID              unregisters it
PUT    /instance-auths/ID {"auth": …}   gives credentials to a PENDING one
DELETE /instance-auths               removes all
`

/**
 * The admin endpoint. It has no password: it listens on loopback, and refuses what a web page of another site could send
 * (a foreign Host or Origin header).
 */
export function adminApp(plane: Administered): Handler {
  const app = new Hono()
  app.use(async (c, next) => (isLocal(c) ? next() : c.text('Cannot serve a foreign host\n', 403)))
  app.onError((error, c) => failure(error, c))
  app.get('/', (c) => c.text(HELP))
  addKnobs(app, plane)
  addIdentities(app, plane.core)
  addLandscape(app, plane)
  return (request) => app.fetch(request)
}

function isLocal(c: Context): boolean {
  const host = c.req.header('host') ?? ''
  const origin = c.req.header('origin')
  if (origin !== undefined && origin !== `http://${host}`) return false
  return /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host)
}

function failure(error: Error, c: Context): Response {
  if (error instanceof DirectorError) {
    const { message, code } = error
    return c.json({ error: DIRECTOR_ERRORS[code], code, message }, code === 20 ? 404 : 400)
  }
  if (error instanceof AgentError) return c.json({ code: error.code, message: error.message }, 400)
  return c.json({ code: 'internal', message: error.message }, 500)
}

function addKnobs(app: Hono, plane: Administered): void {
  const { board } = plane.core
  app.get('/knobs', (c) => {
    if (c.req.header('accept')?.includes('text/plain') === true) return c.text(knobHelp())
    return c.json({ active: board.active(), knobs: knobTable() })
  })
  app.put('/knobs', async (c) => {
    await plane.set(await jsonBody(c))
    return c.json({ active: board.active() })
  })
  app.delete('/knobs', async (c) => {
    await plane.reset()
    return c.json({ active: board.active() })
  })
  app.post('/certificate', async (c) => {
    const { lifetime } = await jsonBody(c)
    await plane.set({ certificateLifetime: lifetime })
    return c.json({ active: board.active() })
  })
}

function addIdentities(app: Hono, core: PlaneCore): void {
  app.post('/token', async (c) => {
    const { runtime, application } = texts(await jsonBody(c))
    const owner = { ...(runtime && { runtime }), ...(application && { application }) }
    return c.json(await operator.issueToken(core, owner))
  })
  app.post('/revoke', async (c) => {
    const { runtime, fingerprint } = texts(await jsonBody(c))
    const which = { ...(runtime && { runtime }), ...(fingerprint && { fingerprint }) }
    return c.json({ revoked: await operator.revoke(core, which) })
  })
  app.get('/runtimes', (c) => c.json(operator.runtimesOf(core)))
  app.post('/runtimes', async (c) => {
    const [runtime] = parsed({ runtimes: [await jsonBody(c)] }).runtimes
    if (runtime !== undefined) await operator.putRuntime(core, runtime)
    return c.json(runtime, 201)
  })
  app.delete('/runtimes/:name', async (c) => {
    await operator.deleteRuntime(core, c.req.param('name'))
    return c.body(null, 204)
  })
  app.get('/events', (c) => c.json(core.events.since(Number(c.req.query('after') ?? 0))))
}

function addLandscape(app: Hono, plane: Administered): void {
  const { core } = plane
  app.get('/landscape', (c) => c.json(operator.landscapeOf(core)))
  app.put('/landscape', async (c) => {
    plane.replace(parseLandscape(await c.req.text()))
    await core.store.saved()
    return c.body(null, 204)
  })
  app.post('/applications', async (c) => {
    const application = parsedApplication(await jsonBody(c))
    await operator.putApplication(core, application)
    return c.json(application, 201)
  })
  app.put('/applications/:id/formations', async (c) => {
    const formations: unknown = parseJson(await c.req.text())
    const [runtime] = parsed({ runtimes: [{ name: 'x', formations }] }).runtimes
    await operator.assign(core, c.req.param('id'), runtime?.formations ?? [])
    return c.body(null, 204)
  })
  app.delete('/applications/:id', async (c) => {
    await operator.deleteApplication(core, c.req.param('id'))
    return c.body(null, 204)
  })
  app.put('/instance-auths/:id', async (c) => {
    const { auth } = await jsonBody(c)
    const given = auth === undefined ? undefined : parsedAuth(auth)
    const set = setInstanceAuth(core.store, c.req.param('id'), { auth: given, now: core.now() })
    await core.store.saved()
    return c.json({ id: set.id, status: set.status })
  })
  app.delete('/instance-auths', async (c) => {
    core.store.change((state) => (state.instanceAuths = []))
    await core.store.saved()
    return c.body(null, 204)
  })
}

async function jsonBody(c: Context): Promise<Record<string, unknown>> {
  const text = await c.req.text()
  const body = text === '' ? {} : parseJson(text)
  if (isObject(body)) return body
  throw new AgentError('usage', 'Cannot read the request: want a JSON object')
}

/** The members that are text. */
function texts(body: Record<string, unknown>): Record<string, string> {
  const members = Object.entries(body).flatMap(([key, value]): [string, string][] =>
    typeof value === 'string' ? [[key, value]] : [],
  )
  return Object.fromEntries(members)
}

/** Parts of a landscape in the form of its file; JSON is YAML. */
function parsed(part: Record<string, unknown>): Landscape {
  return parseLandscape(JSON.stringify(part), 'request')
}

function parsedApplication(body: Record<string, unknown>): LandscapeApplication {
  const [application] = parsed({ applications: [body] }).applications
  if (application !== undefined) return application
  throw new AgentError('usage', 'Cannot read the application: there is none')
}

function parsedAuth(auth: unknown): LandscapeAuth | undefined {
  return parsedApplication({ name: 'x', bundles: [{ name: 'x', auth }] }).bundles[0]?.auth
}
