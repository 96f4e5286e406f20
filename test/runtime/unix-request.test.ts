import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listen } from '../../src/runtime/listen.ts'
import { unixRequest } from '../../src/runtime/unix-request.ts'
import { firstLine, killHard, startChild } from './children.ts'
import { temporaryDirectory } from './directory.ts'
import { failure } from './failure.ts'

const never = new AbortController().signal
const GET = { method: 'GET', path: '/status?x=1' } as const

test('a request over a Unix socket gives status and body', async () => {
  using directory = temporaryDirectory()
  const socket = join(directory.path, 's')
  const server = await listen(
    (request) => new Response(`${request.method} ${request.url}`, { status: 202 }),
    { socket, mode: 0o600 },
  )
  const body = 'POST http://localhost/status?x=1'
  expect(await unixRequest(socket, { ...GET, method: 'POST' }, never)).toEqual({
    status: 202,
    body,
  })
  await server.close()
})

test('nobody there is undefined: no file, or the socket of a process that was killed', async () => {
  using directory = temporaryDirectory()
  const socket = join(directory.path, 's')
  expect(await unixRequest(socket, GET, never)).toBeUndefined()
  const child = startChild('socket-child.ts', [socket])
  await firstLine(child)
  await killHard(child)
  expect(await unixRequest(socket, GET, never)).toBeUndefined()
})

test('a server that hangs up is not nobody', async () => {
  using directory = temporaryDirectory()
  const socket = join(directory.path, 's')
  const server = Bun.listen({
    unix: socket,
    socket: { data: (peer) => void peer.end(), open: () => undefined },
  })
  expect((await failure(unixRequest(socket, GET, never))).code).toBe('unreachable')
  server.stop(true)
})

test('a file that is no socket is nobody', async () => {
  using directory = temporaryDirectory()
  const socket = join(directory.path, 's')
  writeFileSync(socket, '')
  expect(await unixRequest(socket, GET, never)).toBeUndefined()
})

test('an answer without end is not read to its end', async () => {
  using directory = temporaryDirectory()
  const socket = join(directory.path, 's')
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024)),
  })
  const server = await listen(() => new Response(endless), { socket, mode: 0o600 })
  const error = await failure(unixRequest(socket, GET, never))
  expect([error.code, error.message]).toEqual([
    'answer_too_large',
    `Cannot read the answer of ${socket}: it is larger than 64 MiB`,
  ])
  await server.close()
})
