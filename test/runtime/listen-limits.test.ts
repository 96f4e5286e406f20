import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect as connectPlain } from 'node:net'
import type { Socket } from 'node:net'
import { connect } from 'node:tls'
import { listen } from '../../src/runtime/listen.ts'
import type { Listener } from '../../src/runtime/listen.ts'
import { makePki } from './pki.ts'
import type { Pki } from './pki.ts'

const limits = { head: 700, body: 700, answer: 700, idle: 700, connections: 6 }
let pki: Pki
let secure: Listener
let plain: Listener

beforeAll(async () => {
  pki = await makePki()
  const tls = { ...pki.server, clientCa: pki.ca, requestClientCertificate: 'required' } as const
  const at = { host: '127.0.0.1', port: 0 }
  const handler = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url)
    if (request.method === 'POST') await request.text()
    if (pathname === '/long') await Bun.sleep(2500)
    if (pathname === '/large') return new Response('x'.repeat(50_000_000))
    return new Response('ok')
  }
  secure = await listen(handler, at, tls, limits)
  plain = await listen(handler, at, undefined, limits)
})
afterAll(() => Promise.all([secure.close(), plain.close()]))

const open = (kind: string): Socket => {
  const at = { host: '127.0.0.1', port: (kind === 'tls' ? secure.port : plain.port) ?? 0 }
  if (kind !== 'tls') return connectPlain(at)
  const { certificate, key } = pki.first
  return connect({ ...at, ca: pki.ca, cert: certificate, key: key.reveal() })
}

/** Writes, drips on, and tells when it was closed and what was answered. */
function life(kind: string, first: string, { drip = '' } = {}) {
  const begin = performance.now()
  const socket = open(kind)
  let answer = ''
  if (first !== '') socket.write(first)
  const timer = setInterval(() => drip !== '' && socket.writable && socket.write(drip), 100)
  socket.on('data', (chunk) => (answer += chunk.toString()))
  socket.on('error', () => undefined)
  return new Promise<{ after: number; answer: string }>((resolve) => {
    const done = (): void => {
      clearInterval(timer)
      socket.destroy()
      resolve({ after: performance.now() - begin, answer })
    }
    socket.on('close', done)
    setTimeout(done, 6000)
  })
}

test.each(['tls', 'plain'])(
  'over %s a client that says nothing, or drips a head or a body, is closed',
  async (kind) => {
    const ended = await Promise.all([
      life(kind, ''),
      life(kind, 'GET / HTTP/1.1\r\nHost: x\r\n', { drip: 'a: b\r\n' }),
      life(kind, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n', { drip: 'x' }),
      life(kind, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    ])
    for (const { after } of ended) expect(after).toBeLessThan(4000)
    expect(ended[3].answer).toStartWith('HTTP/1.1 200')
  },
  20_000,
)

test('a handshake that is never begun is closed, too', async () => {
  const socket = connectPlain({ host: '127.0.0.1', port: secure.port ?? 0 })
  const begin = performance.now()
  await new Promise((resolve) => socket.on('error', () => undefined).on('close', resolve))
  expect(performance.now() - begin).toBeLessThan(4000)
})

test.each(['tls', 'plain'])(
  'over %s an answer that nobody takes is cut',
  async (kind) => {
    const socket = open(kind)
    socket.on('error', () => undefined)
    socket.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n')
    socket.pause()
    await Bun.sleep(3000)
    let size = 0
    socket.on('data', (chunk) => (size += chunk.length))
    const closed = new Promise((resolve) => socket.on('close', resolve))
    socket.resume()
    await closed
    expect(size).toBeLessThan(50_000_000)
  },
  20_000,
)

test('an answer may take as long as it wants', async () => {
  const { answer } = await life('tls', 'GET /long HTTP/1.1\r\nHost: x\r\n\r\n')
  expect(answer).toEndWith('\r\n\r\nok')
}, 20_000)

test('more connections than there may be are closed at once, and the others go on', async () => {
  const all = Array.from({ length: 6 }, () => life('tls', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
  await Bun.sleep(300)
  const more = await Promise.all([life('tls', ''), life('tls', '')])
  for (const { after } of more) expect(after).toBeLessThan(300)
  for (const { answer } of await Promise.all(all)) expect(answer).toStartWith('HTTP/1.1 200')
}, 20_000)
