import { describe, expect, test } from 'bun:test'
import { createServer } from 'node:net'
import type { ServerResponse } from 'node:http'
import { openConnector } from '../../src/clients/connector.ts'
import { openDirector } from '../../src/clients/director.ts'
import { Secret } from '../../src/model/secret.ts'
import { aCall, everythingOf, failureOf, json, serve, sessionTo } from './server.ts'
import type { Reply } from './server.ts'

/**
 * What a hostile or broken server can answer, on real sockets. Every body holds {@link CANARY}, as do the variables and
 * the token of the questions: no error may show it, anywhere.
 */
const CANARY = 'canary-s3cret'
const LONG_CANARY = `canary-${'x'.repeat(80)}`

const emptyPage = {
  data: {
    runtime: { labels: { note: CANARY } },
    applicationsForRuntime: {
      data: [],
      pageInfo: { startCursor: '', endCursor: '', hasNextPage: false },
      totalCount: 0,
    },
  },
}
const page = `<html><body>Log in, please. <input name="p" value="${CANARY}"></body></html>`
const html = (status: number): Reply => ({
  status,
  headers: { 'content-type': 'text/html' },
  body: page,
})
const whole = JSON.stringify(emptyPage)

type Misbehaviour = {
  name: string
  answer: (response: ServerResponse) => Reply | undefined
  /** [Director, Connector with a token]; `token` is its fate in the error. */
  gives: [director: string, connector: string, token?: string]
}

const CASES: Misbehaviour[] = [
  { name: 'an HTML page with 200', answer: () => html(200), gives: malformed() },
  {
    name: 'an HTML page that claims to be JSON',
    answer: () => ({ ...html(200), headers: { 'content-type': 'application/json' } }),
    gives: malformed(),
  },
  {
    name: 'JSON that is cut',
    answer: () => ({ ...json(emptyPage), body: whole.slice(0, -3) }),
    gives: malformed(),
  },
  { name: 'an empty body with 200', answer: () => ({ status: 200 }), gives: malformed() },
  { name: 'JSON without data', answer: () => json({ note: CANARY }), gives: malformed() },
  { name: 'data: null', answer: () => json({ data: null }), gives: malformed() },
  {
    name: 'a page {}',
    answer: () => json({ data: {} }),
    gives: malformed(),
  },
  { name: 'data that is a list', answer: () => json({ data: [CANARY] }), gives: malformed() },
  { name: 'a list of answers', answer: () => json([emptyPage]), gives: malformed() },
  { name: 'a text', answer: () => json(CANARY), gives: malformed() },
  {
    name: 'errors that are no list',
    answer: () => json({ ...emptyPage, errors: { a: CANARY } }),
    gives: malformed(),
  },
  {
    name: 'the page null',
    answer: () =>
      json({ data: { runtime: { labels: {} }, applicationsForRuntime: null, result: null } }),
    gives: malformed(),
  },
  {
    name: '200 with errors and no data',
    answer: () => json({ data: null, errors: [{ message: `failed: ${LONG_CANARY}` }] }),
    gives: ['director_failed', 'server_failed', 'spent'],
  },
  {
    name: 'errors beside data',
    answer: () => json({ ...emptyPage, errors: [{ message: `failed: ${LONG_CANARY}` }] }),
    gives: ['answer_incomplete', 'server_failed', 'spent'],
  },
  {
    name: 'errors that are no objects',
    answer: () => json({ ...emptyPage, errors: [CANARY, null, 7] }),
    gives: ['answer_incomplete', 'server_failed', 'spent'],
  },
  {
    name: '500 with a well-formed empty page',
    answer: () => json(emptyPage, 500),
    gives: ['server_failed', 'server_failed'],
  },
  {
    name: '500 of the hydrator',
    answer: () => json({ error: { code: 500, message: CANARY } }, 500),
    gives: ['server_failed', 'server_failed'],
  },
  {
    name: '502 with JSON',
    answer: () => json({ message: CANARY }, 502),
    gives: ['server_failed', 'token_spent', 'suspected'],
  },
  { name: '503 with HTML', answer: () => html(503), gives: ['server_failed', 'server_failed'] },
  { name: '504', answer: () => html(504), gives: ['timed_out', 'timed_out', 'suspected'] },
  {
    name: '404',
    answer: () => json({ error: CANARY }, 404),
    gives: ['answer_malformed', 'answer_malformed'],
  },
  {
    name: '400 with a page',
    answer: () => html(400),
    gives: ['answer_malformed', 'answer_malformed'],
  },
  {
    name: '400 with an empty body',
    answer: () => ({ status: 400 }),
    gives: ['identity_refused', 'token_refused'],
  },
  {
    name: '401 with a page',
    answer: () => html(401),
    gives: ['identity_refused', 'token_refused'],
  },
  {
    name: '403 with a page',
    answer: () => html(403),
    gives: ['identity_refused', 'token_refused'],
  },
  { name: '407', answer: () => html(407), gives: ['proxy_failed', 'proxy_failed'] },
  {
    name: '204',
    answer: () => ({ status: 204, headers: { 'content-length': '0' } }),
    gives: ['answer_malformed', 'answer_malformed'],
  },
  {
    name: 'a redirect',
    answer: () => ({ status: 307, headers: { location: `https://elsewhere.example/${CANARY}` } }),
    gives: ['redirect_refused', 'redirect_refused'],
  },
  {
    name: '429',
    answer: () => json(emptyPage, 429),
    gives: ['too_many_requests', 'too_many_requests'],
  },
  {
    name: '429 with GraphQL errors',
    answer: () => json({ errors: [{ message: CANARY, extensions: { error_code: 22 } }] }, 429),
    gives: ['too_many_requests', 'too_many_requests'],
  },
  {
    name: 'an endless body',
    answer: (response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(CANARY.repeat(1000))) continue
        response.once('drain', more)
      }
      response.writeHead(200, { 'content-type': 'application/json' })
      more()
      return undefined
    },
    gives: ['answer_too_large', 'answer_too_large', 'suspected'],
  },
  {
    name: 'an endless body of an error',
    answer: (response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(CANARY.repeat(1000))) continue
        response.once('drain', more)
      }
      response.writeHead(500, { 'content-type': 'application/json' })
      more()
      return undefined
    },
    gives: ['server_failed', 'server_failed'],
  },
  {
    name: 'a body that trickles',
    answer: (response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write(`{"note": "${CANARY}"`)
      const timer = setInterval(() => response.write(' '), 20)
      response.on('close', () => clearInterval(timer))
      return undefined
    },
    gives: ['timed_out', 'timed_out', 'suspected'],
  },
  { name: 'no answer', answer: () => undefined, gives: ['timed_out', 'timed_out', 'suspected'] },
  {
    name: 'a body that breaks off',
    answer: (response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '5000' })
      response.write(`{"note": "${CANARY}"`)
      setTimeout(() => response.destroy(), 20)
      return undefined
    },
    gives: ['unreachable', 'unreachable', 'suspected'],
  },
]

function malformed(): [string, string, string] {
  return ['answer_malformed', 'answer_malformed', 'suspected']
}

const limits = { time: 400, bytes: 300_000 }
const token = new Secret(LONG_CANARY)

describe.each(CASES)('$name', ({ answer, gives: [director, connector, fate] }) => {
  const server = () => serve((_seen, response) => answer(response))

  test('fails a fetch of applications, by its cause', async () => {
    await using one = await server()
    const error = await failureOf(
      openDirector(sessionTo(one, { limits })).applications(CANARY, aCall()),
    )
    expect(error.code).toBe(director as typeof error.code)
    expect(error.message).toMatch(/^Cannot (read the applications at|call) 127\.0\.0\.1:\d+: /)
    expect(everythingOf(error)).not.toContain('canary')
    expect(one.seen.every(({ path }) => path === '/director/graphql')).toBe(true)
  })

  test('fails an enrolment, and says what became of the token', async () => {
    await using one = await server()
    const connectorOf = openConnector(sessionTo({ url: `${one.url}?x=${CANARY}` }, { limits }))
    const error = await failureOf(connectorOf.configuration({ token }, aCall()))
    expect(error.code).toBe(connector as typeof error.code)
    expect(error.detail['token']).toBe(fate)
    expect(everythingOf(error)).not.toContain('canary')
    expect(one.seen).toHaveLength(1)
  })
})

test('a port where nobody listens is unreachable', async () => {
  const server = await serve(() => ({}))
  await server.close()
  const error = await failureOf(openDirector(sessionTo(server)).viewer(aCall()))
  expect(error).toMatchObject({ code: 'unreachable', class: 'retry' })
  expect(error.detail).toMatchObject({ requestId: 'runtime-1_5e0c' })
  expect(error.detail).not.toHaveProperty('status')
})

test('a server that closes without an answer is unreachable', async () => {
  const server = createServer((socket) => socket.on('data', () => socket.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`
  const error = await failureOf(openDirector(sessionTo({ url })).viewer(aCall()))
  server.close()
  expect(error.code).toBe('unreachable')
})

test('a runtime id that is none is never taken for one', async () => {
  for (const id of ['', ' ', 'a\r\nX-Evil: 1', '\u001b[2J', '../../x', 'a\0b', 'x'.repeat(101)]) {
    await using server = await serve(() => json({ data: { result: { id, type: 'RUNTIME' } } }))
    const error = await failureOf(openDirector(sessionTo(server)).viewer(aCall()))
    expect([error.code, error.message]).toEqual([
      'answer_malformed',
      expect.stringMatching(/: result\.id: found (a string|an empty string), want an id$/),
    ])
  }
})

test('a packed body counts unpacked, so that a small one cannot fill the memory', async () => {
  const body = Bun.gzipSync(Buffer.alloc(5_000_000, ' '))
  expect(body.byteLength).toBeLessThan(10_000)
  await using server = await serve((_seen, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
    response.end(body)
    return undefined
  })
  const director = openDirector(sessionTo(server, { limits: { bytes: 100_000 } }))
  expect((await failureOf(director.viewer(aCall()))).code).toBe('answer_too_large')
})
