import { version } from '../model/version.ts'

/** A JSON Schema as OpenAPI 3.1 takes it. */
type Schema = { [key: string]: unknown }

const text: Schema = { type: 'string' }
const time: Schema = { type: 'string', format: 'date-time' }
const count: Schema = { type: 'integer' }
const flag: Schema = { type: 'boolean' }
const words: Schema = { type: 'array', items: text }

/** All members must be there, but those whose names end in `?`. */
function object(members: Record<string, Schema>): Schema {
  const entries = Object.entries(members)
  return {
    type: 'object',
    additionalProperties: false,
    required: entries.map(([key]) => key).filter((key) => !key.endsWith('?')),
    properties: Object.fromEntries(entries.map(([key, schema]) => [key.replace('?', ''), schema])),
  }
}

function list(items: Schema): Schema {
  return { type: 'array', items }
}

const problem = object({ code: text, message: text, 'subject?': text })

const version_ = object({
  ...{ number: count, createdAt: time, createdBy: text, reason: text, 'note?': text },
  ...{ digest: text, runtimes: count, changed: count },
  rollout: object({
    state: { type: 'string', enum: ['rolling', 'stopped', 'complete'] },
    ...{ percent: count, steps: list(count), 'why?': text },
  }),
})

const runtime = object({
  id: text,
  labels: { type: 'object' },
  ...{ groups: words, identities: words, 'version?': count, 'etag?': text, resources: words },
  report: object({
    state: { type: 'string', enum: ['applied', 'partly', 'failed', 'pending', 'unknown'] },
    ...{ 'version?': count, 'at?': time, problems: list(problem) },
  }),
  'seenAt?': time,
})

const overview = object({
  'newest?': version_,
  ...{ serving: list(count), runtimes: count, pending: count },
  reports: object({ applied: count, partly: count, failed: count, pending: count, unknown: count }),
  store: object({ dialect: text, 'readAt?': time, 'problem?': text }),
})

const part = object({ count, ids: words })
const outcome = object({
  ...{ version: count, unchanged: flag, digest: text, runtimes: count },
  ...{ added: part, removed: part, changed: part, emptied: part },
})

const error = object({ code: text, message: text, 'hint?': text })

const pendingOne = object({ cn: text, runtime: text, firstSeen: time, lastSeen: time })

const auditEntry = object({
  ...{ id: count, at: time, who: text, action: text, subject: text, detail: text },
})

type Route = {
  method: 'get' | 'post'
  path: string
  summary: string
  answer: Schema | 'text/plain' | 'text/html'
  query?: string[]
  body?: Schema
  /** Anybody may ask. */
  open?: true
}

const ROUTES: Route[] = [
  ...(['/livez', '/readyz'] as const).map((path): Route => ({
    ...get(path, 'For probes.', 'text/plain'),
    open: true,
  })),
  get('/', 'The page: which runtimes run what.', 'text/html', ['after', 'limit']),
  get('/metrics', 'Prometheus metrics.', 'text/plain'),
  get('/admin/v1/openapi.json', 'This document.', { type: 'object' }),
  get('/admin/v1/status', 'How it goes as a whole.', overview),
  get(
    '/admin/v1/runtimes',
    'Runtimes by id; `next` is what to give as `after` for more.',
    object({ runtimes: list(runtime), 'next?': text }),
    ['after', 'limit'],
  ),
  get('/admin/v1/runtimes/{id}', 'One runtime.', runtime),
  get(
    '/admin/v1/versions',
    'Versions that are kept, newest first.',
    object({ versions: list(version_) }),
  ),
  get(
    '/admin/v1/pending',
    'Certificates that wait to be admitted.',
    object({ pending: list(pendingOne) }),
  ),
  get(
    '/admin/v1/audit',
    'Who did what, newest first; `before` is the id of the last entry that was read.',
    object({ entries: list(auditEntry) }),
    ['before', 'limit'],
  ),
  post(
    '/admin/v1/publish',
    'Publishes the desired state as it is on the disk of the server.',
    object({ 'note?': text, 'dryRun?': flag, 'atOnce?': flag }),
    outcome,
  ),
  post(
    '/admin/v1/rollback',
    'Publishes an old version under a new number, to all runtimes at once.',
    object({ version: count, 'note?': text }),
    outcome,
  ),
  post(
    '/admin/v1/rollout/stop',
    'Stops the rollout where it is.',
    object({}),
    object({ version: count }),
  ),
  post(
    '/admin/v1/rollout/resume',
    'Goes on with a rollout that was stopped; `all`: to all runtimes now.',
    object({ 'all?': flag }),
    object({ version: count }),
  ),
  post(
    '/admin/v1/identities',
    'Admits a certificate for a runtime, or takes that back with `remove`.',
    object({ runtime: text, cn: text, 'remove?': flag }),
    object({ unchanged: flag }),
  ),
]

function get(path: string, summary: string, answer: Route['answer'], query: string[] = []): Route {
  return { method: 'get', path, summary, answer, query }
}

function post(path: string, summary: string, body: Schema, answer: Schema): Route {
  return { method: 'post', path, summary, body, answer }
}

/** The OpenAPI 3.1 document of the admin API. */
export function openApi(): Schema {
  const paths: Record<string, Record<string, Schema>> = {}
  for (const route of ROUTES) (paths[route.path] ??= {})[route.method] = operation(route)
  return {
    openapi: '3.1.0',
    info: { title: 'Runtime Director, admin API', version },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        basic: { type: 'http', scheme: 'basic' },
      },
      schemas: { Error: error },
    },
  }
}

function operation({ method, path, summary, answer, query = [], body, open }: Route): Schema {
  const ids = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  const parameters = [
    ...ids.map((name) => ({ name, in: 'path', required: true, schema: text })),
    ...query.map((name) => ({ name, in: 'query', schema: text })),
  ]
  const content =
    typeof answer === 'string'
      ? { [answer]: { schema: text } }
      : { 'application/json': { schema: answer } }
  return {
    summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { content: { 'application/json': { schema: body } } } }),
    ...(open === true
      ? { security: [] }
      : { security: method === 'get' ? [{ bearer: [] }, { basic: [] }] : [{ bearer: [] }] }),
    responses: {
      200: { description: 'done', content },
      default: {
        description: 'not done',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  }
}
