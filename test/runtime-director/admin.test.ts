import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { schemaProblems } from '../../src/devplane/json-schema.ts'
import { openApi } from '../../src/runtime-director/openapi.ts'
import { VIEWER, sampleFiles, startDirector } from './director.ts'
import type { TestDirector } from './director.ts'

const EVIL = '<script>alert(1)</script>'

let director: TestDirector
beforeAll(async () => {
  director = await startDirector({
    files: sampleFiles(['a', 'b', 'c']),
    secrets: { 'logging-password': 'hunter2-in-the-store' },
    rules: { steps: [40] },
  })
  await director.publish()
})
afterAll(() => director.stop())

type Schema = Record<string, unknown>
type Operation = { responses: Record<string, { content: Record<string, { schema: Schema }> }> }

const paths = openApi()['paths'] as Record<string, Record<string, Operation>>
const { Error: ERROR } = (openApi()['components'] as { schemas: { Error: Schema } }).schemas
const answered = new Set<string>()

/** What the document says of an answer, and what is wrong with it. */
async function checked(path: string, init: Parameters<TestDirector['admin']>[1] = {}) {
  const answer = await director.admin(path, init)
  const method = (init.method ?? 'GET').toLowerCase()
  const [plain = ''] = path.split('?')
  const template = Object.keys(paths).find((one) =>
    new RegExp(`^${one.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(plain),
  )
  const operation = paths[template ?? '']?.[method]
  if (operation === undefined) throw new Error(`${method} ${path} is not in the document`)
  const type = answer.headers.get('content-type')?.split(';')[0] ?? ''
  const text = await answer.text()
  if (answer.ok) answered.add(`${method} ${template ?? ''}`)
  const content = operation.responses[answer.ok ? '200' : 'default']?.content ?? {}
  expect(Object.keys(content)).toContain(type)
  let schema: Schema = content[type]!.schema
  if ('$ref' in schema) schema = ERROR
  const body = type === 'application/json' ? JSON.parse(text) : text
  expect(schemaProblems(schema, body)).toEqual([])
  return { status: answer.status, body, headers: answer.headers }
}

const post = (path: string, body: unknown = {}, token?: string) =>
  checked(path, {
    method: 'POST',
    body: JSON.stringify(body),
    ...(token === undefined ? {} : { token }),
  })

describe('the admin API', () => {
  test('answers as its OpenAPI document says, in every route', async () => {
    const { agent, write } = director
    const ask = await agent('cn-a')
    const etag = (await ask('/runtimes/a')).headers.get('etag')
    const problems = [{ code: 'x', message: EVIL }]
    const body = JSON.stringify({ etag, state: 'partly', problems })
    await ask('/runtimes/a/report', { method: 'POST', body })
    write({ 'runtimes/d.yaml': `id: d\nlabels: {x: "${EVIL}"}\n` })
    expect((await post('/admin/v1/publish', { dryRun: true })).body).toMatchObject({
      version: 2,
      added: { count: 1, ids: ['d'] },
    })
    expect((await post('/admin/v1/publish', { note: EVIL })).body).toMatchObject({ version: 2 })
    expect((await post('/admin/v1/publish')).body).toMatchObject({ unchanged: true })
    expect((await post('/admin/v1/rollout/stop')).body).toEqual({ version: 2 })
    expect((await post('/admin/v1/rollout/stop')).status).toBe(409)
    expect((await post('/admin/v1/rollout/resume', { all: true })).body).toEqual({ version: 2 })
    expect((await post('/admin/v1/rollback', { version: 1 })).body).toMatchObject({ version: 3 })
    expect((await post('/admin/v1/rollback', { version: 77 })).status).toBe(404)
    expect((await post('/admin/v1/rollback', { version: 'x' })).status).toBe(400)
    expect((await post('/admin/v1/identities', { runtime: 'a', cn: 'new' })).status).toBe(200)
    expect((await post('/admin/v1/identities', { runtime: 7 })).status).toBe(400)
    for (const path of ['/', '/metrics', '/livez', '/readyz'])
      expect((await checked(path)).status).toBe(200)
    for (const path of ['openapi.json', 'status', 'runtimes', 'versions', 'pending', 'audit'])
      expect((await checked(`/admin/v1/${path}`)).status).toBe(200)
    expect((await checked('/admin/v1/runtimes/a')).body).toMatchObject({ id: 'a', groups: ['all'] })
    expect((await checked('/admin/v1/runtimes/..%2f')).status).toBe(404)
    const all = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    )
    expect([...answered].sort()).toEqual(all.sort())
  })

  test('gives many runtimes in pages', async () => {
    const first = (await checked('/admin/v1/runtimes?limit=2')).body
    expect(first.runtimes.map(({ id }: { id: string }) => id)).toEqual(['a', 'b'])
    const rest = (await checked(`/admin/v1/runtimes?limit=2&after=${first.next}`)).body
    expect(rest).toEqual({ runtimes: [expect.objectContaining({ id: 'c' })] })
    for (const odd of ['limit=-1', 'limit=1e9', "after='--", 'before=x'])
      expect((await checked(`/admin/v1/runtimes?${odd}`)).status).toBe(200)
  })

  test('tells what is wrong with the desired state, and publishes nothing', async () => {
    director.write({ 'runtimes/x.yaml': 'id: y' })
    const { status, body } = await post('/admin/v1/publish')
    expect(status).toBe(422)
    expect(body.message).toContain('runtimes/x.yaml:1:5: id: found "y", want "x"')
    director.write({ 'runtimes/x.yaml': 'id: x' })
  })

  test('shows no secret anywhere, and no markup of others on its page', async () => {
    const gets = Object.entries(paths).flatMap(([path, { get }]) => (get ? [path] : []))
    const texts = await Promise.all(
      gets.map(async (path) => (await director.admin(path.replace('{id}', 'a'))).text()),
    )
    expect(texts.join('\n')).not.toContain('hunter2')
    expect(director.log.join('\n')).not.toContain('hunter2')
    const page = await director.admin('/')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    const text = await page.text()
    expect(text).not.toContain('<script')
    expect(text).toContain('&lt;script&gt;')
  })
})

describe('a token', () => {
  const status = async (path: string, headers: Record<string, string>, method = 'GET') =>
    (await fetch(`${director.adminUrl}${path}`, { method, headers })).status
  const basic = (text: string): string => `Basic ${btoa(text)}`

  test.each([
    ['none', {}, 401],
    ['another one', { authorization: 'Bearer nope' }, 401],
    ['an empty one', { authorization: 'Bearer ' }, 401],
    ['half of one', { authorization: 'Bearer token-of-the-' }, 401],
    ['its hash', { authorization: `Bearer ${'a'.repeat(64)}` }, 401],
    ['a large one', { authorization: `Bearer ${'a'.repeat(8000)}` }, 401],
    ['that of a viewer', { authorization: `Bearer ${VIEWER}` }, 200],
    ['one as password', { authorization: basic(`anybody:${VIEWER}`) }, 200],
    ['one as user', { authorization: basic(`${VIEWER}:x`) }, 401],
    ['one in a cookie', { cookie: `token=${VIEWER}` }, 401],
  ])('%s', async (_what, headers, wanted) => {
    for (const path of ['/', '/metrics', '/admin/v1/status', '/admin/v1/audit', '/nothing'])
      expect([200, 404].includes(await status(path, headers))).toBe(wanted === 200)
    expect(await status('/livez', headers)).toBe(200)
  })

  test('of a viewer changes nothing, and neither does one that a browser sends by itself', async () => {
    const before = await (await director.admin('/admin/v1/versions')).text()
    for (const path of ['publish', 'rollback', 'rollout/stop', 'rollout/resume', 'identities']) {
      const url = `/admin/v1/${path}`
      expect(await status(url, { authorization: `Bearer ${VIEWER}` }, 'POST')).toBe(403)
      const sent = {
        authorization: basic('x:token-of-the-publisher'),
        origin: 'https://evil.example',
      }
      expect(await status(url, sent, 'POST')).toBe(401)
      expect(await status(url, {}, 'POST')).toBe(401)
    }
    expect(await (await director.admin('/admin/v1/versions')).text()).toBe(before)
  })

  test('that may publish is named in the audit log', async () => {
    const { entries } = JSON.parse(await (await director.admin('/admin/v1/audit')).text())
    expect(entries.map(({ who }: { who: string }) => who)).toContain('token pub')
  })
})

test('bodies of ten megabytes and slow ones do not hold the admin API', async () => {
  const large = director.admin('/admin/v1/publish', { method: 'POST', body: 'x'.repeat(1e7) })
  expect([413, 'closed']).toContain(
    await large.then(
      (r) => r.status,
      () => 'closed',
    ),
  )
  const malformed = await director.admin('/admin/v1/publish', { method: 'POST', body: '{' })
  expect(malformed.status).toBe(400)
  expect((await director.admin('/admin/v1/status')).status).toBe(200)
})
