import { Hono } from 'hono'
import type { Context, MiddlewareHandler } from 'hono'
import type { AdminToken } from '../config/director.ts'
import { toAgentError } from '../model/problem.ts'
import { version as productVersion } from '../model/version.ts'
import type { Clock } from '../runtime/clock.ts'
import { cpuUsage, memoryUsage } from '../runtime/process.ts'
import { PAGE_HEADERS, statusOf } from '../web/answer.ts'
import type { ErrorBody } from '../web/answer.ts'
import { parseJson, readBody } from '../web/body.ts'
import { holderOf, presentedToken } from '../web/token.ts'
import type { Counters } from './counters.ts'
import { admit, dismiss, pendingIn } from './identities.ts'
import { readAudit } from './keeper.ts'
import type { Keeper } from './keeper.ts'
import type { LiveLoop } from './live.ts'
import { renderMetrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { idsOf, outcomeInfo, overviewOf, runtimesOf, timeOf, versionInfo } from './overview.ts'
import { renderPage } from './page.ts'
import { publishTree, rollBack } from './publish.ts'
import type { Seen } from './seen.ts'
import { resumeRollout, stopRollout } from './steps.ts'
import type { Tree } from './tree.ts'
import { versionsOf } from './versions.ts'
import type { Rules } from './versions.ts'
import type { Waiters } from './waiters.ts'

export type AdminDeps = {
  keeper: Keeper
  clock: Clock
  live: LiveLoop
  waiters: Waiters
  seen: Seen
  counters: Counters
  tokens: readonly AdminToken[]
  tree: Tree
  rules: Rules
}

type Env = { Variables: { who: AdminToken; body: Record<string, unknown> } }
type Asking = Context<Env>

const TEXT = 'text/plain; charset=UTF-8'
const MAX_BODY = 64 * 1024
const PAGE = 200
const MOST = 1000

/**
 * The admin API, the page and the metrics. All of it wants a token. A browser may show the page with the token as password
 * (Basic); whatever changes something wants Bearer, which no browser sends by itself for a page of somebody else.
 */
export function adminApp(deps: AdminDeps): Hono<Env> {
  const app = new Hono<Env>()
  app.use(async (c, next) => {
    await next()
    for (const [name, value] of Object.entries(PAGE_HEADERS)) c.res.headers.set(name, value)
    // Bun adds it where nobody can see it, and only its own server would send it.
    if (!c.res.headers.has('content-type')) c.res.headers.set('content-type', TEXT)
  })
  app.get('/livez', (c) => c.text('ok\n'))
  app.get('/readyz', (c) => {
    const isReady = deps.live.lookedAt() !== undefined
    return c.text(isReady ? 'ok\n' : 'the store was never read\n', isReady ? 200 : 503)
  })
  app.use(authenticated(deps.tokens))
  looks(app, deps)
  pages(app, deps)
  app.use(publisher)
  changes(app, deps)
  app.notFound((c) => failed(c, 404, { code: 'not_found', message: 'there is no such thing here' }))
  app.onError((thrown, c) => {
    const error = toAgentError(thrown)
    const { code, message, hint } = error
    const shown = code === 'internal' ? 'an internal error' : message
    return failed(c, statusOf(error), { code, message: shown, hint })
  })
  return app
}

function authenticated(tokens: readonly AdminToken[]): MiddlewareHandler<Env> {
  return async (c, next) => {
    const presented = presentedToken(c.req.header('authorization'))
    const holder = presented && holderOf(tokens, presented.token)
    const isChange = c.req.method !== 'GET' && c.req.method !== 'HEAD'
    if (holder === undefined || (isChange && presented?.scheme !== 'bearer')) {
      c.header('www-authenticate', 'Basic realm="Runtime Director", charset="UTF-8"')
      const message = isChange
        ? 'want a bearer token'
        : 'want a token: Bearer, or Basic with it as password'
      return failed(c, 401, { code: 'unauthorized', message })
    }
    c.set('who', holder)
    return next()
  }
}

const publisher: MiddlewareHandler<Env> = async (c, next) => {
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return next()
  if (c.get('who').role !== 'publisher')
    return failed(c, 403, { code: 'forbidden', message: 'want a token with role publisher' })
  const body = await readBody(c.req.raw, MAX_BODY)
  if ('refused' in body)
    return failed(c, body.refused, { code: 'body_refused', message: 'want JSON of at most 64 KiB' })
  const value = body.text.trim() === '' ? {} : parseJson(body.text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return failed(c, 400, { code: 'body_malformed', message: 'want a JSON object' })
  c.set('body', value as Record<string, unknown>)
  return next()
}

function looks(app: Hono<Env>, deps: AdminDeps): void {
  const { keeper, live } = deps
  app.get('/admin/v1/openapi.json', (c) => c.json(openApi()))
  app.get('/admin/v1/status', async (c) => c.json(await overviewOf(deps)))
  app.get('/admin/v1/runtimes', async (c) => {
    const { ids, more } = pageOf(live, c)
    const next = more === undefined ? {} : { next: more }
    return c.json({ runtimes: await runtimesOf(deps, ids), ...next })
  })
  app.get('/admin/v1/runtimes/:id', async (c) => {
    const [found] = await runtimesOf(deps, [c.req.param('id')])
    if (found !== undefined) return c.json(found)
    return failed(c, 404, { code: 'runtime_missing', message: 'there is no such runtime' })
  })
  app.get('/admin/v1/versions', async (c) => {
    const versions = await keeper.storage.read((db) => versionsOf(db))
    return c.json({ versions: versions.map(versionInfo) })
  })
  app.get('/admin/v1/pending', async (c) => {
    const pending = await keeper.storage.read((db) => pendingIn(db, MOST))
    const shown = pending.map(({ cn, runtime, first_seen, last_seen }) => ({
      ...{ cn, runtime, firstSeen: timeOf(first_seen), lastSeen: timeOf(last_seen) },
    }))
    return c.json({ pending: shown })
  })
  app.get('/admin/v1/audit', async (c) => {
    const before = numberOf(c.req.query('before'))
    const limit = Math.min(numberOf(c.req.query('limit')) ?? PAGE, MOST)
    const entries = await readAudit(keeper, { before, limit })
    return c.json({ entries: entries.map((one) => ({ ...one, at: timeOf(one.at) })) })
  })
}

function pages(app: Hono<Env>, deps: AdminDeps): void {
  const { keeper, live, waiters, counters } = deps
  app.get('/metrics', async (c) => {
    const usage = { memory: memoryUsage().rss, cpu: cpuUsage() }
    const overview = await overviewOf(deps)
    const facts = { overview, live, waiting: waiters.count, counters, usage }
    return c.text(renderMetrics({ ...facts, version: productVersion }), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    })
  })
  app.get('/', async (c) => {
    const { ids, more } = pageOf(live, c)
    const { versions, pending } = await keeper.storage.read(async (db) => ({
      versions: await versionsOf(db, 20),
      pending: await pendingIn(db, 50),
    }))
    const [overview, runtimes] = [await overviewOf(deps), await runtimesOf(deps, ids)]
    const facts = { overview, runtimes, more, pending, versions: versions.map(versionInfo) }
    return c.html(renderPage(facts))
  })
}

function changes(app: Hono<Env>, deps: AdminDeps): void {
  const { keeper, live, tree, rules } = deps
  const whoOf = (c: Asking): string => `token ${c.get('who').name}`
  app.post('/admin/v1/publish', async (c) => {
    const { note, dryRun, atOnce } = c.get('body')
    const outcome = await publishTree(keeper, tree, {
      ...{ who: whoOf(c), rules, note: noteOf(note) },
      ...{ dryRun: dryRun === true, atOnce: atOnce === true },
    })
    await live.refresh()
    return c.json(outcomeInfo(outcome))
  })
  app.post('/admin/v1/rollback', async (c) => {
    const { version, note } = c.get('body')
    if (typeof version !== 'number' || !Number.isInteger(version))
      return failed(c, 400, { code: 'body_malformed', message: 'want {version: NUMBER}' })
    const outcome = await rollBack(keeper, version, { who: whoOf(c), rules, note: noteOf(note) })
    await live.refresh()
    return c.json(outcomeInfo(outcome))
  })
  app.post('/admin/v1/rollout/stop', async (c) => {
    const { number } = await stopRollout(keeper, whoOf(c))
    await live.refresh()
    return c.json({ version: number })
  })
  app.post('/admin/v1/rollout/resume', async (c) => {
    const { number } = await resumeRollout(keeper, whoOf(c), { all: c.get('body')['all'] === true })
    await live.refresh()
    return c.json({ version: number })
  })
  app.post('/admin/v1/identities', async (c) => {
    const { runtime, cn, remove } = c.get('body')
    if (typeof runtime !== 'string' || typeof cn !== 'string')
      return failed(c, 400, { code: 'body_malformed', message: 'want {runtime: ID, cn: NAME}' })
    const admission = { runtime, cn, who: whoOf(c) }
    const { unchanged } =
      remove === true
        ? await dismiss(keeper, admission)
        : await admit(keeper, live.newestState(), admission)
    await live.refresh()
    return c.json({ unchanged })
  })
}

/** The ids of one page, and the last of them when there are more. */
function pageOf(live: LiveLoop, c: Asking): { ids: string[]; more: string | undefined } {
  const after = c.req.query('after') ?? ''
  const limit = Math.min(numberOf(c.req.query('limit')) ?? PAGE, MOST)
  const rest = idsOf(live).filter((id) => id > after)
  const ids = rest.slice(0, limit)
  return { ids, more: rest.length > ids.length ? ids.at(-1) : undefined }
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined
}

function noteOf(note: unknown): string | undefined {
  return typeof note === 'string' ? note.slice(0, 500).replaceAll(/\p{Cc}/gu, ' ') : undefined
}

function failed(
  c: Context,
  status: 400 | 401 | 403 | 404 | 409 | 413 | 422 | 500 | 503,
  body: ErrorBody,
): Response {
  return c.json(body, status)
}
