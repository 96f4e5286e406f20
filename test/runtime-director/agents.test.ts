import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { connect } from 'node:tls'
import { SECOND } from '../../src/model/time.ts'
import { openHttp } from '../../src/runtime/http.ts'
import { FakeClock } from '../fakes.ts'
import { makePki } from '../runtime/pki.ts'
import { sampleFiles, startDirector } from './director.ts'
import type { AgentFetch, DirectorTestOptions, TestDirector } from './director.ts'

const directors: { stop(): Promise<void> }[] = []
afterAll(async () => {
  for (const one of directors) await one.stop()
})

async function director(options: DirectorTestOptions = {}): Promise<TestDirector> {
  const started = await startDirector({
    files: sampleFiles(['a', 'b']),
    secrets: { 'logging-password': 'hunter2' },
    ...options,
  })
  directors.push(started)
  await started.publish()
  return started
}

async function etagOf(ask: AgentFetch, id = 'a'): Promise<string> {
  return (await ask(`/runtimes/${id}`)).headers.get('etag') ?? ''
}

describe('a runtime', () => {
  let served: TestDirector
  let ask: AgentFetch
  beforeAll(async () => {
    served = await director()
    ask = await served.agent('cn-a')
  })

  test('gets what is published for it, secrets in place, with the SHA-256 of the body as ETag', async () => {
    const first = await ask('/runtimes/a')
    expect(first.status).toBe(200)
    expect(first.headers.get('content-type')).toBe('application/json;charset=UTF-8')
    const body = await first.text()
    expect(first.headers.get('etag')).toBe(`"${createHash('sha256').update(body).digest('hex')}"`)
    const { id, data } = JSON.parse(body)
    expect(id).toBe('a')
    expect(data.resources[0].spec.metadata).toEqual([
      { name: 'url', value: 'https://logs.example' },
      { name: 'password', value: 'hunter2' },
    ])
    const all = await ask('/runtimes')
    expect(await all.json()).toEqual([JSON.parse(body)])
  })

  test.each([
    ['as it was given', (etag: string) => etag, 304],
    ['in a list', (etag: string) => `"x", ${etag}`, 304],
    ['weak', (etag: string) => `W/${etag}`, 304],
    ['for whatever there is', () => '*', 304],
    ['of another body', () => '"x"', 200],
    ['without quotes', (etag: string) => etag.replaceAll('"', ''), 200],
    ['cut', (etag: string) => etag.slice(0, -2), 200],
    ['as something else', () => `"${'\u00ff'.repeat(200)}`, 200],
    ['as large as a header may be', () => `"${'x'.repeat(9000)}"`, 200],
  ])('with an ETag %s', async (_how, make, status) => {
    const etag = await etagOf(ask)
    const answer = await ask('/runtimes/a', { headers: { 'if-none-match': make(etag) } })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('etag')).toBe(etag)
    if (status === 304) expect(await answer.text()).toBe('')
  })

  test.each([
    '/runtimes/b',
    '/runtimes/c',
    '/runtimes/%61',
    '/runtimes/a%2f..%2fb',
    '/runtimes/..%2fa',
    '/runtimes/a%00',
    "/runtimes/a'%20or%201=1--",
    `/runtimes/${'a'.repeat(4000)}`,
  ])('gets nothing of others, and does not learn whether they are there: %s', async (path) => {
    const answer = await ask(path)
    expect(answer.status).toBe(403)
    expect(await answer.text()).not.toContain('hunter2')
  })

  test.each([
    ['GET', '/', 404],
    ['GET', '/runtimes/', 404],
    ['GET', '/runtimes/a/', 404],
    ['GET', '/runtimes/a/report', 405],
    ['POST', '/runtimes/a', 405],
    ['DELETE', '/runtimes/a', 405],
    ['HEAD', '/runtimes/a', 200],
    ['GET', '/admin/v1/status', 404],
    ['GET', '/runtimes/a?x=/report', 200],
  ])('%s %s', async (method, path, status) => {
    expect((await ask(path, { method })).status).toBe(status)
  })

  test('is who its certificate says, whatever its headers say', async () => {
    const headers = {
      'x-forwarded-client-cert': 'Subject="CN=cn-b"',
      'x-ssl-client-cn': 'cn-b',
      host: 'b',
      authorization: 'Bearer token-of-the-publisher',
    }
    expect((await ask('/runtimes/b', { headers })).status).toBe(403)
  })

  test('writes nothing into the store by a thousand polls', async () => {
    const etag = await etagOf(ask)
    const { storage } = served.keeper
    const before = await storage.read((db) => db.selectFrom('facts').selectAll().execute())
    await storage.touched()
    for (let i = 0; i < 1000; i += 1) {
      const answer = await ask('/runtimes/a', { headers: { 'if-none-match': etag } })
      expect(answer.status).toBe(304)
    }
    expect(await storage.read((db) => db.selectFrom('seen').selectAll().execute())).toEqual([])
    expect(await storage.read((db) => db.selectFrom('facts').selectAll().execute())).toEqual(before)
  })
})

describe('a certificate', () => {
  test('that nobody has admitted waits, is admitted, and is dismissed', async () => {
    const clock = new FakeClock(Date.now())
    const { agent, admin, keeper, server } = await director({ clock })
    const ask = await agent("new'; drop table identities--")
    const refused = await ask('/runtimes/a')
    expect([refused.status, await refused.text()]).toEqual([
      403,
      "Cannot give runtime a: the client certificate 'new'; drop table identities--' is not admitted for it\n",
    ])
    // Written every five seconds.
    await clock.advance(5 * SECOND)
    await Bun.sleep(50)
    const waiting = JSON.parse(await (await admin('/admin/v1/pending')).text())
    expect(waiting.pending).toMatchObject([{ cn: "new'; drop table identities--", runtime: 'a' }])
    const identity = { runtime: 'a', cn: "new'; drop table identities--" }
    const post = (body: unknown) =>
      admin('/admin/v1/identities', { method: 'POST', body: JSON.stringify(body) })
    expect(await (await post(identity)).json()).toEqual({ unchanged: false })
    expect((await ask('/runtimes/a')).status).toBe(200)
    expect(await (await admin('/admin/v1/pending')).json()).toEqual({ pending: [] })
    expect((await post({ ...identity, runtime: 'b' })).status).toBe(409)
    expect((await post({ runtime: 'b', cn: 'cn-a' })).status).toBe(409)
    expect((await post({ runtime: 'zz', cn: 'x' })).status).toBe(404)
    await post({ ...identity, remove: true })
    expect((await ask('/runtimes/a')).status).toBe(403)
    expect(server.live.ownerOf(identity.cn)).toBeUndefined()
    const log = await keeper.storage.read((db) => db.selectFrom('audit').select('action').execute())
    expect(log.map(({ action }) => action)).toEqual(['publish', 'admit', 'dismiss'])
  }, 20_000)

  test('is admitted at first use, once for each runtime, where that is configured', async () => {
    const files = { ...sampleFiles(['a']), 'runtimes/free.yaml': 'id: free\ngroups: [all]\n' }
    const { agent } = await director({ files, firstUse: true })
    const [first, second] = [await agent('first'), await agent('second')]
    const answers = await Promise.all([first('/runtimes/free'), second('/runtimes/free')])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 403])
    const [winner, loser] = answers[0].status === 200 ? [first, second] : [second, first]
    expect((await winner('/runtimes/free')).status).toBe(200)
    expect((await loser('/runtimes/free')).status).toBe(403)
    expect((await winner('/runtimes/a')).status).toBe(403)
    expect((await loser('/runtimes/a')).status).toBe(403)
    expect((await loser('/runtimes/none')).status).toBe(403)
  })

  test('of nobody or of another authority gets no connection', async () => {
    const { url, ca } = await director()
    const pki = await makePki()
    for (const leaf of [undefined, pki.first, pki.expiredClient]) {
      const identity = leaf && { chain: leaf.certificate, key: leaf.key }
      const http = openHttp({ tls: { ca: [ca], ...(identity ? { identity } : {}) }, proxy: {} })
      const failed = await http.fetch(`${url}/runtimes/a`).then(
        ({ status }) => status,
        () => 'refused',
      )
      expect(failed).toBe('refused')
      await http.close()
    }
  })
})

describe('an agent that waits for news', () => {
  const wait = (etag: string, seconds = 20) => ({
    headers: { prefer: `wait=${seconds}`, 'if-none-match': etag },
  })

  test('gets them when they are published, and others go on waiting', async () => {
    const { agent, write, publish } = await director()
    const [a, b] = [await agent('cn-a'), await agent('cn-b')]
    const [etagA, etagB] = [await etagOf(a), await etagOf(b, 'b')]
    const begin = performance.now()
    const news = a('/runtimes/a', wait(etagA))
    const none = b('/runtimes/b', wait(etagB, 2))
    await Bun.sleep(100)
    write({
      'overlays/a.yaml':
        'match: {runtimes: [a]}\npatch: [{apiVersion: dapr.io/v1alpha1, kind: Component, metadata: {name: logging}, spec: {type: other}}]',
    })
    await publish()
    const answer = await news
    expect([answer.status, answer.headers.get('preference-applied')]).toEqual([200, 'wait'])
    expect(performance.now() - begin).toBeLessThan(1500)
    expect(JSON.parse(await answer.text()).data.resources[0].spec.type).toBe('other')
    const late = await none
    expect([late.status, late.headers.get('etag')]).toEqual([304, etagB])
    expect(performance.now() - begin).toBeGreaterThan(1000)
  })

  test('is answered at once without an ETag or with another one, and when the server ends', async () => {
    const served = await director()
    const ask = await served.agent('cn-a')
    const begin = performance.now()
    expect((await ask('/runtimes/a', { headers: { prefer: 'wait=20' } })).status).toBe(200)
    expect((await ask('/runtimes/a', wait('"other"'))).status).toBe(200)
    const last = ask('/runtimes/a', wait(await etagOf(ask)))
    await Bun.sleep(100)
    await served.server.close()
    expect((await last).status).toBe(304)
    expect(performance.now() - begin).toBeLessThan(5000)
  })

  test('is told when its certificate is dismissed meanwhile', async () => {
    const files = { ...sampleFiles(['a']), 'runtimes/b.yaml': 'id: b\ngroups: [all]\n' }
    const { agent, admin } = await director({ files })
    const post = (body: unknown) =>
      admin('/admin/v1/identities', { method: 'POST', body: JSON.stringify(body) })
    await post({ runtime: 'b', cn: 'x' })
    const ask = await agent('x')
    const waiting = ask('/runtimes/b', wait(await etagOf(ask, 'b')))
    await Bun.sleep(100)
    await post({ runtime: 'b', cn: 'x', remove: true })
    expect((await waiting).status).toBe(403)
  })

  test('may wait four times at once, and not more', async () => {
    const { agent } = await director()
    const ask = await agent('cn-a')
    const etag = await etagOf(ask)
    const begin = performance.now()
    const all = Array.from({ length: 12 }, () => ask('/runtimes/a', wait(etag, 3)))
    const first = await Promise.any(all)
    expect([first.status, performance.now() - begin < 1000]).toEqual([304, true])
    expect((await Promise.all(all)).every(({ status }) => status === 304)).toBe(true)
  })
})

describe('a report', () => {
  const report = (ask: AgentFetch, body: string | object, id = 'a') =>
    ask(`/runtimes/${id}/report`, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })

  test('is kept and shown, cut to what people read', async () => {
    const { agent, admin } = await director()
    const ask = await agent('cn-a')
    const etag = await etagOf(ask)
    const problems = [{ code: 'x', message: `no\u0000\u001b[31m${'y'.repeat(5000)}`, subject: 's' }]
    expect((await report(ask, { etag, state: 'partly', problems })).status).toBe(204)
    const shown = JSON.parse(await (await admin('/admin/v1/runtimes/a')).text())
    expect(shown).toMatchObject({ version: 1, report: { state: 'partly', version: 1 } })
    expect(shown.report.problems[0].message).toMatch(/^no {2}\[31my{1900,2000}$/)
    await report(ask, { etag: 'old', state: 'applied', problems: [] })
    expect(await (await admin('/admin/v1/runtimes/a')).json()).toMatchObject({
      report: { state: 'pending' },
    })
  })

  test.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['another state', { etag: 'x', state: 'fine', problems: [] }],
    ['a state of JavaScript', { etag: 'x', state: 'constructor', problems: [] }],
    ['no ETag', { state: 'applied', problems: [] }],
    ['problems that are none', { etag: 'x', state: 'applied', problems: [1] }],
    ['no text', '\u00ff'.repeat(3)],
  ])('with %s is refused', async (_what, body) => {
    const { agent } = (directors.at(-1) as TestDirector | undefined) ?? (await director())
    const ask = await agent('cn-a')
    expect((await report(ask, body)).status).toBe(400)
  })

  test('of ten megabytes is given up, announced or not, and that of another runtime is not taken', async () => {
    const { agent } = await director()
    const ask = await agent('cn-a')
    const large = 'x'.repeat(10_000_000)
    expect([413, 'closed']).toContain(
      await report(ask, large).then(
        (r) => r.status,
        () => 'closed',
      ),
    )
    const stream = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 100; i += 1) controller.enqueue(new Uint8Array(100_000))
        controller.close()
      },
    })
    const chunked = ask('/runtimes/a/report', { method: 'POST', body: stream })
    expect([413, 'closed']).toContain(
      await chunked.then(
        (r) => r.status,
        () => 'closed',
      ),
    )
    expect((await report(ask, { etag: 'x', state: 'applied' }, 'b')).status).toBe(403)
    expect((await ask('/runtimes/a')).status).toBe(200)
  })
})

test('what is no HTTP, or an HTTP with two lengths, gets no answer of ours', async () => {
  const { server, ca, certificate } = await director()
  const { chain, key } = await certificate('cn-a')
  const say = (text: string): Promise<string> =>
    new Promise((resolve) => {
      let got = ''
      const port = server.agentsPort ?? 0
      const socket = connect(
        { host: '127.0.0.1', port, ca, cert: chain, key: key.reveal() },
        () => {
          socket.write(text)
          setTimeout(() => socket.destroy(), 500)
        },
      )
      socket.on('data', (chunk) => (got += chunk.toString()))
      socket.on('error', () => undefined)
      socket.on('close', () => resolve(got))
    })
  const smuggled =
    'POST /runtimes/a/report HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /runtimes/a HTTP/1.1\r\nHost: x\r\n\r\n'
  for (const text of [
    '\u0000\u0001\u0002\r\n\r\n',
    'GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /runtimes/a HTTP/1.1\r\nHost: a b\r\n\r\n',
    smuggled,
  ])
    expect(await say(text)).not.toContain('hunter2')
})
