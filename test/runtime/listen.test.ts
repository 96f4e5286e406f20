import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, lstatSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { openHttp } from '../../src/runtime/http.ts'
import { certificateInfo } from '../../src/runtime/keys.ts'
import { listen } from '../../src/runtime/listen.ts'
import type { Handler, Listener, Peer } from '../../src/runtime/listen.ts'
import { firstLine, killHard, startChild } from './children.ts'
import { temporaryDirectory } from './directory.ts'
import { failure } from './failure.ts'
import { identity, makePki } from './pki.ts'
import type { Leaf, Pki } from './pki.ts'
import { echo } from './servers.ts'

let pki: Pki
beforeAll(async () => {
  pki = await makePki()
})

const open: { close(): Promise<void> }[] = []
afterAll(async () => {
  await Promise.all(open.map((one) => one.close()))
})

const LOOPBACK = { host: '127.0.0.1', port: 0 }

/** The two ways to serve: Bun's own server, and node's with TLS handed over. */
const WAYS = {
  async plain(handler: Handler): Promise<{ url: string; listener: Listener }> {
    const listener = await listen(handler, LOOPBACK)
    return { url: `http://localhost:${listener.port}`, listener }
  },
  async mtls(handler: Handler): Promise<{ url: string; listener: Listener }> {
    const tls = { ...pki.server, clientCa: pki.ca, requestClientCertificate: 'optional' } as const
    const listener = await listen(handler, LOOPBACK, tls)
    return { url: `https://localhost:${listener.port}`, listener }
  },
}

function client(leaf?: Leaf) {
  const shown = leaf === undefined ? {} : { identity: identity(leaf) }
  const session = openHttp({ tls: { ca: [pki.ca], ...shown } })
  open.push(session)
  return session
}

describe.each(['plain', 'mtls'] as const)('a server (%s)', (way) => {
  const start = async (handler: Handler): Promise<string> => {
    const { url, listener } = await WAYS[way](handler)
    open.push(listener)
    return url
  }

  test('gives the handler method, path, query and body', async () => {
    const url = await start(echo)
    const body = 'x'.repeat(300_000)
    const answer = await client().fetch(`${url}/a%20b?c=d&e`, { method: 'POST', body })
    expect(await answer.json()).toEqual({ method: 'POST', path: '/a%20b?c=d&e', body })
  })

  test('keeps several cookies and other headers apart', async () => {
    const headers: [string, string][] = [
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['etag', '"7"'],
    ]
    const url = await start(() => new Response('x', { headers, status: 201 }))
    const answer = await client().fetch(url)
    expect(answer.status).toBe(201)
    expect(answer.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(answer.headers.get('etag')).toBe('"7"')
  })

  test('tells the length of a short body and sends a large one whole', async () => {
    const url = await start((request) => new Response(new Uint8Array(sizeIn(request))))
    const short = await client().fetch(`${url}/7`)
    expect(short.headers.get('content-length')).toBe('7')
    const large = await client().fetch(`${url}/5000000`)
    expect((await large.bytes()).length).toBe(5_000_000)
    const head = await client().fetch(`${url}/7`, { method: 'HEAD' })
    expect((await head.bytes()).length).toBe(0)
  })

  test('sends each part of a stream when it is there', async () => {
    let go = (): void => undefined
    const wait = new Promise<void>((resolve) => (go = resolve))
    const parts = ['one', 'two']
    const url = await start(() => new Response(slowly(parts, wait)))
    const answer = await client().fetch(url)
    const reader = answer.body!.getReader()
    const decode = new TextDecoder()
    expect(decode.decode((await reader.read()).value)).toBe('one')
    go()
    expect(decode.decode((await reader.read()).value)).toBe('two')
    expect((await reader.read()).done).toBeTrue()
  })

  test('answers 500 without a word when the handler throws', async () => {
    const url = await start(() => {
      throw new Error('canary')
    })
    const answer = await client().fetch(url)
    expect([answer.status, await answer.text()]).toEqual([500, ''])
  })

  test('tells the handler when the client has gone', async () => {
    const gone = Promise.withResolvers<undefined>()
    const url = await start((request) => {
      request.signal.addEventListener('abort', () => gone.resolve(undefined))
      return new Promise<Response>(() => undefined)
    })
    const abort = new AbortController()
    const call = client()
      .fetch(url, { signal: abort.signal })
      .catch(() => undefined)
    await Bun.sleep(50)
    abort.abort()
    await Promise.all([gone.promise, call])
  })

  test('ends its connections when it is closed, busy ones too, and frees the port', async () => {
    const begun = Promise.withResolvers<undefined>()
    const { url, listener } = await WAYS[way](() => {
      begun.resolve(undefined)
      return new Promise<Response>(() => undefined)
    })
    const call = failure(client().fetch(url))
    await begun.promise
    await listener.close()
    expect((await call).code).toBe('unreachable')
    const again = await listen(echo, { host: '127.0.0.1', port: listener.port! })
    await again.close()
  })
})

function sizeIn(request: Request): number {
  return Number(new URL(request.url).pathname.slice(1))
}

function slowly(parts: string[], wait: Promise<void>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      if (parts.length === 1) await wait
      const part = parts.shift()
      if (part === undefined) controller.close()
      else controller.enqueue(new TextEncoder().encode(part))
    },
  })
}

test('a request with a Host that is no host is refused before the handler', async () => {
  let calls = 0
  const tls = { ...pki.server, requestClientCertificate: 'optional' } as const
  const listener = await listen(() => new Response(String((calls += 1))), LOOPBACK, tls)
  const { connect: connectTls } = await import('node:tls')
  const socket = connectTls({ port: listener.port!, host: '127.0.0.1', ca: pki.ca })
  const answer = new Promise<string>((resolve) => {
    socket.once('data', (data: Buffer) => resolve(data.toString()))
  })
  socket.write('GET / HTTP/1.1\r\nHost: a/b?c\r\n\r\n')
  expect(await answer).toStartWith('HTTP/1.1 400')
  expect(calls).toBe(0)
  socket.destroy()
  await listener.close()
})

describe('the peer', () => {
  const peers: Peer[] = []
  const remember: Handler = (_request, peer) => {
    peers.push(peer)
    return new Response(null)
  }
  const seenBy = async (leaf: Leaf | undefined): Promise<Peer | undefined> => {
    const tls = { ...pki.server, clientCa: pki.ca, requestClientCertificate: 'optional' } as const
    const listener = await listen(remember, LOOPBACK, tls)
    open.push(listener)
    await client(leaf).fetch(`https://localhost:${listener.port}/`)
    return peers.pop()
  }

  test('is its certificate as it stands', async () => {
    const seen = (await seenBy(pki.first))?.certificate
    const { fingerprint, der } = certificateInfo(pki.first.certificate)
    expect(seen).toEqual({ subject: 'CN=first,O=Org', fingerprint, der, authorized: true })
  })

  test('is shown with the reason when its certificate is not authorized', async () => {
    const foreign = (await seenBy(pki.foreignClient))?.certificate
    expect([foreign?.authorized, foreign?.subject]).toEqual([false, 'CN=foreign,O=Org'])
    expect(foreign?.authorizationError).toMatch(/^UNABLE_TO_/)
    const late = (await seenBy(pki.expiredClient))?.certificate
    expect(late).toMatchObject({ authorized: false, authorizationError: 'CERT_HAS_EXPIRED' })
  })

  test('is nobody without a certificate', async () => {
    expect(await seenBy(undefined)).toEqual({})
  })
})

test.each([
  ['an expired certificate', 'expiredClient'],
  ['one of another CA', 'foreignClient'],
] as const)('a server that requires one never hands %s to the handler', async (_what, leaf) => {
  let calls = 0
  const tls = { ...pki.server, clientCa: pki.ca, requestClientCertificate: 'required' } as const
  const listener = await listen(() => new Response(String((calls += 1))), LOOPBACK, tls)
  open.push(listener)
  const url = `https://localhost:${listener.port}/`
  expect((await failure(client(pki[leaf]).fetch(url))).code).toBeOneOf([
    'unreachable',
    'client_certificate_refused',
  ])
  expect(calls).toBe(0)
  expect((await client(pki.first).fetch(url)).status).toBe(200)
})

test('an address that is taken is named, also by another server of this process', async () => {
  const first = await listen(echo, LOOPBACK)
  open.push(first)
  const error = await failure(listen(echo, { host: '127.0.0.1', port: first.port! }))
  expect(error.code).toBe('listen_failed')
  expect(error.message).toBe(
    `Cannot listen on 127.0.0.1:${first.port}: the address is taken (EADDRINUSE)`,
  )
})

describe('a Unix socket', () => {
  test('has its mode and nothing else lies beside it', async () => {
    using directory = temporaryDirectory()
    const socket = join(directory.path, 'agent.sock')
    const listener = await listen(echo, { socket, mode: 0o600 })
    expect(lstatSync(socket).mode & 0o7777).toBe(0o600)
    expect(readdirSync(directory.path)).toEqual(['agent.sock'])
    await listener.close()
    expect(existsSync(socket)).toBeFalse()
  })

  test('of a live server is not taken over', async () => {
    using directory = temporaryDirectory()
    const socket = join(directory.path, 'agent.sock')
    const listener = await listen(() => new Response('first'), { socket, mode: 0o600 })
    const error = await failure(listen(echo, { socket, mode: 0o600 }))
    expect(error.message).toBe(`Cannot listen on ${socket}: the address is taken (EADDRINUSE)`)
    const http = openHttp({ tls: {}, socket })
    expect(await (await http.fetch('http://agent/')).text()).toBe('first')
    await http.close()
    await listener.close()
  })

  test('of a process that was killed is replaced', async () => {
    using directory = temporaryDirectory()
    const socket = join(directory.path, 'agent.sock')
    const child = startChild('socket-child.ts', [socket])
    await firstLine(child)
    await killHard(child)
    expect(lstatSync(socket).isSocket()).toBeTrue()
    await (await listen(echo, { socket, mode: 0o660 })).close()
  })

  test('does not replace what is no socket', async () => {
    using directory = temporaryDirectory()
    const socket = join(directory.path, 'agent.sock')
    writeFileSync(socket, 'precious')
    const error = await failure(listen(echo, { socket, mode: 0o600 }))
    expect(error.message).toBe(`Cannot listen on ${socket}: there is something else`)
    expect(await Bun.file(socket).text()).toBe('precious')
  })

  test('with too long a path or without its directory is a named problem', async () => {
    using directory = temporaryDirectory()
    const long = join(directory.path, 'x'.repeat(100))
    expect((await failure(listen(echo, { socket: long, mode: 0o600 }))).message).toContain(
      'longer than 107 bytes',
    )
    const nowhere = join(directory.path, 'none', 's')
    expect((await failure(listen(echo, { socket: nowhere, mode: 0o600 }))).message).toContain(
      'its directory does not exist',
    )
  })
})

test('a connection that never finishes its handshake does not keep the server from closing', async () => {
  const { listener } = await WAYS.mtls(echo)
  const socket = connect(listener.port!, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  const ended = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => undefined)
  await listener.close()
  await ended
})
