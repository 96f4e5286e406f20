import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Fetch, HttpOptions } from '../../src/runtime/http.ts'
import { openHttp } from '../../src/runtime/http.ts'
import { certificateInfo } from '../../src/runtime/keys.ts'
import { listen } from '../../src/runtime/listen.ts'
import { temporaryDirectory } from './directory.ts'
import { failure } from './failure.ts'
import { identity, makePki } from './pki.ts'
import type { Leaf, Pki } from './pki.ts'
import { countConnections, echo, serveTls, silentServer } from './servers.ts'
import type { Echo } from './servers.ts'

let pki: Pki
beforeAll(async () => {
  pki = await makePki()
})

const open: { close(): Promise<void> }[] = []
afterAll(async () => {
  await Promise.all(open.map((one) => one.close()))
})

function track<T extends { close(): Promise<void> }>(one: T): T {
  open.push(one)
  return one
}

/** A session that believes our CA. */
function session(
  client?: Leaf,
  options: Partial<HttpOptions> = {},
): { fetch: Fetch; close(): Promise<void> } {
  const shown = client === undefined ? {} : { identity: identity(client) }
  return track(openHttp({ tls: { ca: [pki.ca], ...shown }, ...options }))
}

async function serve(options: Parameters<typeof serveTls>[1] = {}): Promise<string> {
  const { port } = track(await serveTls(pki, options))
  return `https://localhost:${port}/graphql?token=canary`
}

async function seen(response: Promise<Response>): Promise<Echo> {
  const answer: Echo = JSON.parse(await (await response).text())
  return answer
}

describe('the server', () => {
  test('is believed when a CA of ours signed it, beside the roots of the system', async () => {
    const answer = await session(pki.first).fetch(await serve(), { method: 'POST', body: 'hello' })
    expect(answer.status).toBe(200)
    expect(await seen(Promise.resolve(answer))).toMatchObject({ method: 'POST', body: 'hello' })
  })

  test.each([
    ['tls_untrusted', 'strange', 'issued by "Other CA"'],
    ['tls_server_expired', 'expired', 'not valid now'],
    ['tls_name_mismatch', 'misnamed', 'another name'],
  ] as const)('is refused as %s when it shows the certificate "%s"', async (code, leaf, words) => {
    const url = await serve({ leaf: pki[leaf] })
    const error = await failure(session(pki.first).fetch(url))
    expect(error.code).toBe(code)
    expect(error.message).toStartWith(`Cannot reach ${new URL(url).host}: `)
    expect(error.message).toContain(words)
    expect(error.cause).toBeUndefined()
  })

  test('is believed whatever it shows only with insecureSkipVerify', async () => {
    const url = await serve({ leaf: pki.strange })
    const insecure = track(openHttp({ tls: { insecureSkipVerify: true } }))
    expect((await insecure.fetch(url)).status).toBe(200)
    expect((await failure(session().fetch(url))).code).toBe('tls_untrusted')
  })

  test('that speaks no TLS is named as that', async () => {
    const plain = track(await listen(echo, { host: '127.0.0.1', port: 0 }))
    const error = await failure(session().fetch(`https://localhost:${plain.port}/`))
    expect(error.code).toBe('tls_failed')
  })
})

describe('an identity', () => {
  test('is shown, and a new session shows the new one from its first call on', async () => {
    const url = await serve()
    for (const leaf of [pki.first, pki.second, pki.first]) {
      const { fingerprint, authorized } = await seen(session(leaf).fetch(url))
      expect(fingerprint).toBe(certificateInfo(leaf.certificate).fingerprint)
      expect(authorized).toBeTrue()
    }
    expect(await seen(session().fetch(url))).not.toHaveProperty('fingerprint')
  })

  test('keeps one connection for its calls, which no other session and nobody after close() uses', async () => {
    const { port } = track(await serveTls(pki))
    const counter = track(await countConnections(port))
    const url = `https://localhost:${counter.port}/`
    const call = async (http: { fetch: Fetch }): Promise<number> => {
      await seen(http.fetch(url))
      return counter.count()
    }
    const old = session(pki.first)
    expect([await call(old), await call(old), await call(old)]).toEqual([1, 1, 1])
    const renewed = session(pki.second)
    expect([await call(renewed), await call(renewed)]).toEqual([2, 2])
    await old.close()
    expect([await call(session(pki.first)), await call(renewed)]).toEqual([3, 2 + 1])
  })

  test('cannot be used after close()', async () => {
    const http = session(pki.first)
    await http.close()
    expect((await failure(http.fetch('https://localhost:2/'))).message).toContain(
      'session is closed',
    )
  })

  test('that is missing is asked for by the server', async () => {
    const url = await serve({ client: 'required' })
    const error = await failure(session().fetch(url))
    expect(error.code).toBe('client_certificate_refused')
    expect((await session(pki.first).fetch(url)).status).toBe(200)
  })
})

describe('a redirect', () => {
  test.each([301, 302, 303, 307, 308])('%d is refused and not followed', async (status) => {
    const paths: string[] = []
    const url = await serve({
      handler: (request) => {
        paths.push(new URL(request.url).pathname)
        return new Response('there', { status, headers: { location: '/elsewhere' } })
      },
    })
    const error = await failure(session(pki.first).fetch(url, { redirect: 'follow' }))
    expect(error.code).toBe('redirect_refused')
    expect(error.message).not.toContain('canary')
    expect(paths).toEqual(['/graphql'])
  })

  test('is not what 304 is', async () => {
    const url = await serve({ handler: () => new Response(null, { status: 304 }) })
    expect((await session().fetch(url)).status).toBe(304)
  })
})

describe('no answer', () => {
  test('because nobody listens is named', async () => {
    const error = await failure(session().fetch('https://localhost:2/?token=canary'))
    expect(error.code).toBe('unreachable')
    expect(error.message).toBe('Cannot reach localhost:2: the connection is refused (ECONNREFUSED)')
  })

  test('because the name does not resolve is named', async () => {
    const error = await failure(session().fetch('https://no-such-host.invalid/'))
    expect(error.message).toContain('the name does not resolve')
  })

  test('to the handshake ends at the connect time-out', async () => {
    const { port } = track(await silentServer())
    const begin = Date.now()
    const error = await failure(
      session(pki.first, { connectTimeout: 600 }).fetch(`https://localhost:${port}/`),
    )
    expect(error.code).toBe('timed_out')
    expect(Date.now() - begin).toBeWithin(500, 3000)
  })

  test('to the request for longer than the connect time-out is waited for', async () => {
    const url = await serve({
      handler: async () => {
        await Bun.sleep(900)
        return new Response('late')
      },
    })
    const answer = await session(pki.first, { connectTimeout: 300 }).fetch(url)
    expect(await answer.text()).toBe('late')
  })

  test('ends with the reason of the caller when the caller gives up', async () => {
    const url = await serve({ handler: () => new Promise<Response>(() => undefined) })
    const gone = new AbortController()
    const call = session(pki.first).fetch(url, { signal: gone.signal })
    await Bun.sleep(50)
    gone.abort(new RangeError('no longer wanted'))
    expect(await call.catch((thrown: unknown) => thrown)).toBeInstanceOf(RangeError)
    const late = session().fetch(url, { signal: AbortSignal.abort(new RangeError('too late')) })
    expect(await late.catch((thrown: unknown) => thrown)).toBeInstanceOf(RangeError)
  })
})

test('a Request goes with its method, headers and body', async () => {
  const url = await serve({
    handler: async (request) =>
      Response.json([request.method, request.headers.get('x-request-id'), await request.text()]),
  })
  const headers = { 'x-request-id': 'r1' }
  const request = new Request(url, { method: 'PUT', headers, body: 'text' })
  const answer: unknown = await (await session().fetch(request)).json()
  expect(answer).toEqual(['PUT', 'r1', 'text'])
})

test('a Unix socket is reached by its path', async () => {
  using directory = temporaryDirectory()
  const socket = `${directory.path}/agent.sock`
  track(await listen(echo, { socket, mode: 0o600 }))
  const local = track(openHttp({ tls: {}, socket }))
  expect(await seen(local.fetch('http://agent/status'))).toMatchObject({ path: '/status' })
  const nobody = track(openHttp({ tls: {}, socket: `${directory.path}/none` }))
  expect((await failure(nobody.fetch('http://agent/status'))).code).toBe('unreachable')
})
