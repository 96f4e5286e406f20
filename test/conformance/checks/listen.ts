import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { listen } from '../../../src/runtime/listen.ts'
import type { Handler, Listener } from '../../../src/runtime/listen.ts'
import { echo, serveTls } from '../../runtime/servers.ts'
import { check, codeOf, errorOf, same } from './harness.ts'
import { closing, pki, session } from './http.ts'
import { inDirectory } from './helpers.ts'

type Way = { name: string; open(handler: Handler): Promise<{ url: string; listener: Listener }> }

const WAYS: Way[] = [
  {
    name: 'plain',
    async open(handler) {
      const listener = await listen(handler, { host: '127.0.0.1', port: 0 })
      return { url: `http://127.0.0.1:${listener.port}`, listener }
    },
  },
  {
    name: 'mTLS',
    async open(handler) {
      const listener = await serveTls(await pki(), { handler })
      return { url: `https://localhost:${listener.port}`, listener }
    },
  },
]

/** The servers. */
export function checkListen(): void {
  for (const { name, open } of WAYS) {
    check(`${name}: bodies large and small, many on one connection`, () =>
      closing(async (track) => {
        const handler: Handler = async (request) => {
          const body = await request.arrayBuffer()
          const size = Number(new URL(request.url).searchParams.get('size'))
          return new Response(new Uint8Array(size || body.byteLength), { headers: { etag: '"1"' } })
        }
        const { url, listener } = await open(handler)
        track(listener)
        const http = track(await session())
        for (const size of [3, 3_000_000, 10, 1_000_000, 5]) {
          const answer = await http.fetch(`${url}/?size=${size}`)
          same([answer.headers.get('etag'), (await answer.arrayBuffer()).byteLength], ['"1"', size])
          const body = new Uint8Array(size)
          const echoed = await http.fetch(`${url}/`, { method: 'POST', body })
          same((await echoed.arrayBuffer()).byteLength, size)
          const head = await http.fetch(`${url}/?size=${size}`, { method: 'HEAD' })
          same((await head.arrayBuffer()).byteLength, 0)
        }
      }),
    )
    check(`${name}: a handler that throws answers 500 without a word`, () =>
      closing(async (track) => {
        const { url, listener } = await open(() => {
          throw new Error('canary')
        })
        track(listener)
        const answer = await track(await session()).fetch(url)
        same([answer.status, await answer.text()], [500, ''])
      }),
    )
    check(`${name}: closing ends busy connections`, () =>
      closing(async (track) => {
        let begun = (): void => undefined
        const busy = new Promise<void>((resolve) => (begun = resolve))
        const { url, listener } = await open(() => {
          begun()
          return new Promise<Response>(() => undefined)
        })
        const call = codeOf(track(await session()).fetch(url))
        await busy
        await listener.close()
        same(await call, 'unreachable')
      }),
    )
  }
  check('a taken address is named', () =>
    closing(async (track) => {
      const { port = 0 } = track(await listen(echo, { host: '127.0.0.1', port: 0 }))
      same(await errorOf(listen(echo, { host: '127.0.0.1', port })), {
        code: 'listen_failed',
        message: `Cannot listen on 127.0.0.1:${port}: the address is taken (EADDRINUSE)`,
      })
    }),
  )
  check(
    'a Unix socket has its mode, is not taken over while it lives, and goes with its server',
    () =>
      inDirectory(async (path) => {
        const socket = join(path, 's')
        const listener = await listen(echo, { socket, mode: 0o660 })
        same([lstatSync(socket).mode & 0o7777, readdirSync(path)], [0o660, ['s']])
        same(await codeOf(listen(echo, { socket, mode: 0o600 })), 'listen_failed')
        await listener.close()
        same(readdirSync(path), [])
      }),
  )
  check('certificates that are not ours reach the handler as such, or not at all', () =>
    closing(async (track) => {
      const all = await pki()
      const optional = track(await serveTls(all))
      const required = track(await serveTls(all, { client: 'required' }))
      for (const leaf of [all.foreignClient, all.expiredClient]) {
        const http = track(await session(leaf))
        const answer = await http.fetch(`https://localhost:${optional.port}/`)
        same(JSON.parse(await answer.text()).authorized, false)
        const refused = await codeOf(http.fetch(`https://localhost:${required.port}/`))
        same(['unreachable', 'client_certificate_refused'].includes(refused), true)
      }
    }),
  )
}
