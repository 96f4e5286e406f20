import { describe, expect, test } from 'bun:test'
import { openConnector } from '../../src/clients/connector.ts'
import { openDirector } from '../../src/clients/director.ts'
import { post } from '../../src/clients/http.ts'
import type { Endpoint } from '../../src/clients/http.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { HOUR, MINUTE, SECOND } from '../../src/model/time.ts'
import { aCall, failureOf, json, NOW, serve, sessionTo } from './server.ts'

const VIEWER = json({ data: { result: { id: 'runtime-1', type: 'RUNTIME' } } })

describe('a request', () => {
  test('says who asks, for which pass, and sends its length', async () => {
    await using server = await serve(() => VIEWER)
    const session = { ...sessionTo(server), version: '1.2.3', tenant: 'tenant-1' }
    await openDirector(session).viewer(aCall())
    const [seen] = server.seen
    expect(seen!.method).toBe('POST')
    expect(seen!.headers).toMatchObject({
      'user-agent': expect.stringMatching(/^runtime-agent\/1\.2\.3 \((bun|deno|node)\)$/),
      'x-request-id': 'runtime-1_5e0c',
      'content-type': 'application/json',
      accept: 'application/json',
      tenant: 'tenant-1',
      'content-length': String(seen!.body.length),
    })
    expect(seen!.headers).not.toHaveProperty('connector-token')
    expect(Object.keys(JSON.parse(seen!.body) as object)).toEqual(['query'])
  })

  test('has no tenant when none is configured', async () => {
    await using server = await serve(() => VIEWER)
    await openDirector(sessionTo(server)).viewer(aCall())
    expect(server.seen[0]!.headers).not.toHaveProperty('tenant')
  })

  test('carries the token to the token port in its header only, and over mTLS never', async () => {
    await using server = await serve(() => ({ status: 400 }))
    const connector = openConnector(sessionTo(server))
    await failureOf(connector.configuration({ token: new Secret('token-1') }, aCall()))
    await failureOf(connector.sign('CSR', { token: new Secret('token-2') }, aCall()))
    await failureOf(connector.configuration('mtls', aCall()))
    await failureOf(connector.sign('CSR', 'mtls', aCall()))
    await failureOf(connector.revoke(aCall()))
    expect(server.seen.map(({ headers }) => headers['connector-token'])).toEqual([
      'token-1',
      'token-2',
      undefined,
      undefined,
      undefined,
    ])
    for (const { body, path } of server.seen) expect(body + path).not.toContain('token-')
  })

  test('sends the CSR as base64 of its PEM text, in a variable', async () => {
    await using server = await serve(() => ({ status: 400 }))
    const pem = '-----BEGIN CERTIFICATE REQUEST-----\nMIIC\n-----END CERTIFICATE REQUEST-----\n'
    await failureOf(openConnector(sessionTo(server)).sign(pem, 'mtls', aCall()))
    const { query, variables } = JSON.parse(server.seen[0]!.body) as Record<string, object>
    expect(variables).toEqual({ csr: Buffer.from(pem).toString('base64') })
    expect(query).not.toContain('MIIC')
  })

  test('is made once: nothing here tries again', async () => {
    await using server = await serve(() => ({ status: 503, headers: { 'retry-after': '0' } }))
    await failureOf(openDirector(sessionTo(server)).viewer(aCall()))
    expect(server.seen).toHaveLength(1)
  })

  test('is not made at all after the abort', async () => {
    await using server = await serve(() => VIEWER)
    const viewer = openDirector(sessionTo(server)).viewer(aCall(AbortSignal.abort('stopped')))
    expect(await viewer.catch((thrown: unknown) => thrown)).toBe('stopped')
    expect(server.seen).toHaveLength(0)
  })

  test('ends with the reason of the abort while its body is read', async () => {
    const stop = new AbortController()
    await using server = await serve((_seen, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{')
      setTimeout(() => stop.abort('stopped'), 20)
      return undefined
    })
    const viewer = openDirector(sessionTo(server)).viewer(aCall(stop.signal))
    expect(await viewer.catch((thrown: unknown) => thrown)).toBe('stopped')
  })

  test('leaves no listener behind', async () => {
    await using server = await serve(() => VIEWER)
    const { signal } = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners++
      addEventListener.apply(signal, args)
    }
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners--
      removeEventListener.apply(signal, args)
    }
    await openDirector(sessionTo(server)).viewer(aCall(signal))
    expect(listeners).toBe(0)
  })
})

describe('an answer', () => {
  test.each([
    ['of success', 200],
    ['of failure', 503],
  ])('%s tells the time of the server', async (_what, status) => {
    await using server = await serve(() => ({
      ...VIEWER,
      status,
      headers: { date: 'Sat, 21 Nov 2026 04:00:07 GMT' },
    }))
    const heard: number[] = []
    const session = sessionTo(server, { onServerDate: (date) => heard.push(date) })
    await openDirector(session)
      .viewer(aCall())
      .catch(() => undefined)
    expect(heard).toEqual([Date.parse('2026-11-21T04:00:07Z')])
  })

  test('with a date that is none tells no time', async () => {
    await using server = await serve(() => ({ ...VIEWER, headers: { date: 'yesterday 7' } }))
    const heard: number[] = []
    const session = sessionTo(server, { onServerDate: (date) => heard.push(date) })
    await openDirector(session).viewer(aCall())
    expect(heard).toEqual([])
  })

  // Dates are measured on the clock of the server, which is 2 h behind ours here.
  const serverNow = 'Sat, 21 Nov 2026 04:00:00 GMT'
  test.each([
    ['30', 30 * SECOND],
    ['0', 0],
    ['86400', HOUR],
    ['999999999999999', HOUR],
    ['Sat, 21 Nov 2026 04:05:00 GMT', 5 * MINUTE],
    ['Sat, 21 Nov 2026 03:00:00 GMT', 0],
    ['Sun, 22 Nov 2026 04:00:00 GMT', HOUR],
    ['soon', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['', undefined],
  ])('with Retry-After %p asks to wait %p ms', async (header, wait) => {
    await using server = await serve(() => ({
      status: 429,
      headers: { 'retry-after': header, date: serverNow },
    }))
    const error = await failureOf(openDirector(sessionTo(server)).viewer(aCall()))
    expect(error.code).toBe('too_many_requests')
    expect(error.retryAfter).toBe(wait)
  })

  test('without a date of its own is measured on our clock', async () => {
    await using server = await serve((_seen, response) => {
      response.sendDate = false
      response.writeHead(503, { 'retry-after': new Date(NOW + MINUTE).toUTCString() })
      response.end()
      return undefined
    })
    const error = await failureOf(openDirector(sessionTo(server)).viewer(aCall()))
    expect(error.retryAfter).toBe(MINUTE)
  })
})

describe('errors of the fetch', () => {
  const ask = (fetch: Endpoint['fetch']): Promise<AgentError> =>
    failureOf(
      openDirector(sessionTo({ url: 'https://gateway.example/d?q=canary' }, { fetch })).viewer(
        aCall(),
      ),
    )

  test('that are AgentErrors pass with their code, message and class', async () => {
    const error = await ask(() =>
      Promise.reject(new AgentError('tls_untrusted', 'Cannot trust it')),
    )
    expect(error).toMatchObject({
      code: 'tls_untrusted',
      message: 'Cannot trust it',
      class: 'operator',
      detail: { requestId: 'runtime-1_5e0c' },
    })
  })

  test('of other kinds are unreachable, with their code and nothing else of them', async () => {
    const thrown = Object.assign(new TypeError('fetch failed: https://u:canary@x'), {
      cause: Object.assign(new Error('canary'), { code: 'ECONNRESET' }),
    })
    const error = await ask(() => Promise.reject(thrown))
    expect(error.code).toBe('unreachable')
    expect(error.message).toBe(
      'Cannot ask who this runtime is at gateway.example: the connection failed (ECONNRESET)',
    )
    expect(error.cause).toBeUndefined()
  })
})

test('a redirect that a fetch gives back is refused here too, and not followed', async () => {
  await using server = await serve(() => ({ status: 302, headers: { location: '/elsewhere' } }))
  const { fetch } = globalThis
  const error = await failureOf(openDirector(sessionTo(server, { fetch })).viewer(aCall()))
  expect(error).toMatchObject({ code: 'redirect_refused', class: 'operator' })
  expect(server.seen).toHaveLength(1)
})

test('a body that ignores the abort of its fetch ends in time all the same', async () => {
  const body = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => undefined) })
  const fetch = () => Promise.resolve(new Response(body))
  const session = sessionTo({ url: 'https://x.example' }, { fetch, limits: { time: 30 } })
  const error = await failureOf(openDirector(session).viewer(aCall()))
  expect(error).toMatchObject({ code: 'timed_out', detail: { status: 200, limit: 30 } })
})

test('a body is given as it came, byte by byte over chunks', async () => {
  const text = 'ä🦀'.repeat(1000)
  await using server = await serve((_seen, response) => {
    for (const byte of Buffer.from(text.slice(0, 30))) response.write(Buffer.of(byte))
    response.end(text.slice(30))
    return undefined
  })
  const answer = await post(sessionTo(server), {
    what: 'read it',
    body: '{}',
    headers: {},
    signal: aCall().signal,
  })
  expect(new TextDecoder().decode(answer.body)).toBe(text)
  expect(answer).toMatchObject({ status: 200, cut: false, mediaType: '' })
})
