import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import type { HttpOptions, HttpSession } from '../../../src/runtime/http.ts'
import { openHttp } from '../../../src/runtime/http.ts'
import { certificateInfo } from '../../../src/runtime/keys.ts'
import { unixRequest } from '../../../src/runtime/unix-request.ts'
import { identity, makePki } from '../../runtime/pki.ts'
import type { Leaf, Pki } from '../../runtime/pki.ts'
import {
  countConnections,
  echo,
  serveTls,
  silentServer,
  startProxy,
} from '../../runtime/servers.ts'
import type { Echo } from '../../runtime/servers.ts'
import { listen } from '../../../src/runtime/listen.ts'
import { check, codeOf, errorOf, same } from './harness.ts'
import { inDirectory, startHelper } from './helpers.ts'

let made: Promise<Pki> | undefined
/** One set of certificates for all checks. */
export function pki(): Promise<Pki> {
  return (made ??= makePki())
}

type Closable = { close(): Promise<void> }

/** Runs work and closes what it opened. */
export async function closing(
  work: (track: <T extends Closable>(one: T) => T) => Promise<void>,
): Promise<void> {
  const open: Closable[] = []
  try {
    await work((one) => {
      open.push(one)
      return one
    })
  } finally {
    for (const one of open.reverse()) await one.close()
  }
}

export async function session(
  leaf?: Leaf,
  options: Partial<HttpOptions> = {},
): Promise<HttpSession> {
  const shown = leaf === undefined ? {} : { identity: identity(leaf) }
  return openHttp({ tls: { ca: [(await pki()).ca], ...shown }, ...options })
}

async function seen(answer: Response): Promise<Echo> {
  const found: Echo = JSON.parse(await answer.text())
  return found
}

/** The mTLS fetch. */
export function checkHttp(): void {
  check('a server of our CA is believed and sees our certificate', () =>
    closing(async (track) => {
      const { first } = await pki()
      const { port } = track(await serveTls(await pki()))
      const http = track(await session(first))
      const answer = await http.fetch(`https://localhost:${port}/a?b`, {
        method: 'POST',
        body: 'x',
      })
      const { fingerprint } = certificateInfo(first.certificate)
      same(await seen(answer), {
        method: 'POST',
        path: '/a?b',
        body: 'x',
        fingerprint,
        authorized: true,
      })
    }),
  )
  for (const [leaf, code] of [
    ['strange', 'tls_untrusted'],
    ['expired', 'tls_server_expired'],
    ['misnamed', 'tls_name_mismatch'],
  ] as const) {
    check(
      `a server with the certificate "${leaf}" is refused, also with NODE_TLS_REJECT_UNAUTHORIZED=0`,
      () =>
        closing(async (track) => {
          const all = await pki()
          const { port } = track(await serveTls(all, { leaf: all[leaf] }))
          const http = track(await session(all.first))
          const url = `https://localhost:${port}/`
          same(await codeOf(http.fetch(url)), code)
          await inDirectory(async (path) => {
            const ca = join(path, 'ca.pem')
            writeFileSync(ca, all.ca)
            const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }
            const helper = startHelper(['fetch', url, ca], { env })
            same(await helper.line(), code)
            await helper.kill()
          })
        }),
    )
  }
  check('insecureSkipVerify believes anybody', () =>
    closing(async (track) => {
      const all = await pki()
      const { port } = track(await serveTls(all, { leaf: all.strange }))
      const http = track(openHttp({ tls: { insecureSkipVerify: true } }))
      same((await http.fetch(`https://localhost:${port}/`)).status, 200)
    }),
  )
  check('a new identity is used by a new session at once, and no old connection by anybody', () =>
    closing(async (track) => {
      const all = await pki()
      const { port } = track(await serveTls(all))
      const counter = track(await countConnections(port))
      const url = `https://localhost:${counter.port}/`
      const call = async (http: HttpSession): Promise<[string | undefined, number]> => [
        (await seen(await http.fetch(url))).fingerprint,
        counter.count(),
      ]
      const [one, two] = [all.first, all.second].map(
        (leaf) => certificateInfo(leaf.certificate).fingerprint,
      )
      const old = await session(all.first)
      same(
        [await call(old), await call(old)],
        [
          [one, 1],
          [one, 1],
        ],
      )
      const renewed = track(await session(all.second))
      same(await call(renewed), [two, 2])
      await old.close()
      same(await codeOf(old.fetch(url)), 'internal')
      same(await call(track(await session(all.first))), [one, 3])
      same(await call(renewed), [two, 3])
    }),
  )
  check('a missing client certificate is named as that', () =>
    closing(async (track) => {
      const { port } = track(await serveTls(await pki(), { client: 'required' }))
      const http = track(await session())
      same(await codeOf(http.fetch(`https://localhost:${port}/`)), 'client_certificate_refused')
    }),
  )
  check('a redirect is refused', () =>
    closing(async (track) => {
      const redirect = (): Response =>
        new Response(null, { status: 307, headers: { location: '/x' } })
      const { port } = track(await serveTls(await pki(), { handler: redirect }))
      const http = track(await session())
      same(await codeOf(http.fetch(`https://localhost:${port}/`)), 'redirect_refused')
    }),
  )
  check('silence ends at the connect time-out, a slow answer does not', () =>
    closing(async (track) => {
      const silent = track(await silentServer())
      const handler = async (): Promise<Response> => {
        await new Promise((resolve) => setTimeout(resolve, 900))
        return new Response('late')
      }
      const slow = track(await serveTls(await pki(), { handler }))
      const http = track(await session(undefined, { connectTimeout: 600 }))
      same(await codeOf(http.fetch(`https://localhost:${silent.port}/`)), 'timed_out')
      same(await (await http.fetch(`https://localhost:${slow.port}/`)).text(), 'late')
    }),
  )
  check('an unreachable server and an unknown name are told without the query', () =>
    closing(async (track) => {
      const http = track(await session())
      const error = await errorOf(http.fetch('https://localhost:2/?token=canary'))
      same(error, {
        code: 'unreachable',
        message: 'Cannot reach localhost:2: the connection is refused (ECONNREFUSED)',
      })
      const unknown = await errorOf(http.fetch('https://no-such-host.invalid/'))
      same(unknown?.message.includes('the name does not resolve'), true)
    }),
  )
  check('an abort rejects with its reason', () =>
    closing(async (track) => {
      const handler = (): Promise<Response> => new Promise(() => undefined)
      const { port } = track(await serveTls(await pki(), { handler }))
      const http = track(await session())
      const reason = new RangeError('enough')
      const stop = new AbortController()
      setTimeout(() => stop.abort(reason), 50)
      const call = http.fetch(`https://localhost:${port}/`, { signal: stop.signal })
      same(await call.catch((thrown: unknown) => thrown), reason)
    }),
  )
  check(
    'a proxy is gone through with its credentials, named when it refuses, and gone around',
    () =>
      closing(async (track) => {
        const all = await pki()
        const { port } = track(await serveTls(all))
        const proxy = track(await startProxy('user:p@ss'))
        const through = async (credentials: string, except: string[] = []): Promise<HttpSession> =>
          track(
            await session(all.first, {
              proxy: { url: `http://${credentials}@127.0.0.1:${proxy.port}`, except },
            }),
          )
        const url = `https://compass.test:${port}/`
        const answer = await (await through('user:p%40ss')).fetch(url)
        same((await seen(answer)).authorized, true)
        same(proxy.connects, [`compass.test:${port}`])
        same(await codeOf((await through('user:wrong')).fetch(url)), 'proxy_failed')
        same(await codeOf((await through('user:p%40ss', ['.test'])).fetch(url)), 'unreachable')
      }),
  )
  check('a proxy is spoken to over TLS and over IPv6', () =>
    closing(async (track) => {
      const all = await pki()
      const { port } = track(await serveTls(all))
      const url = `https://compass.test:${port}/`
      const over = async (proxy: string): Promise<HttpSession> =>
        track(await session(all.first, { proxy: { url: proxy } }))
      const secure = track(await startProxy('user:pass', { tls: all.server }))
      const good = await over(`https://user:pass@localhost:${secure.port}`)
      same((await seen(await good.fetch(url))).authorized, true)
      const strange = track(await startProxy('user:pass', { tls: all.strange }))
      const refused = await over(`https://user:pass@localhost:${strange.port}`)
      same(await codeOf(refused.fetch(url)), 'tls_untrusted')
      same(strange.connects, [])
      const six = track(await startProxy('user:pass', { host: '::1' }))
      const answer = await (await over(`http://user:pass@[::1]:${six.port}`)).fetch(url)
      same((await seen(answer)).authorized, true)
    }),
  )
  for (const [what, answer, code] of [
    ['does not want us there', 'HTTP/1.1 403 Forbidden', 'proxy_failed'],
    ['cannot reach the server', 'HTTP/1.1 502 Bad Gateway', 'unreachable'],
    ['leads to a log-in page', 'HTTP/1.1 302 Found\r\nLocation: /canary', 'proxy_failed'],
  ] as const) {
    check(`a proxy that ${what} is told as that: ${code}`, () =>
      closing(async (track) => {
        const page = '<html>canary</html>'
        const text = `${answer}\r\nContent-Length: ${page.length}\r\n\r\n${page}`
        const { port } = track(await startProxy(undefined, { answer: text }))
        const url = `http://user:canary@127.0.0.1:${port}`
        const http = track(await session(undefined, { proxy: { url } }))
        const error = await errorOf(http.fetch('https://compass.test/?canary'))
        same([error?.code, error?.message.includes('canary')], [code, false])
      }),
    )
  }
  check('roots that have changed are read again when a server is not believed', () =>
    closing(async (track) => {
      const all = await pki()
      const { port } = track(await serveTls(all))
      const roots = [all.otherCa]
      const http = track(openHttp({ tls: { ca: () => Promise.resolve([...roots]) } }))
      const url = `https://localhost:${port}/`
      const both = await Promise.all([codeOf(http.fetch(url)), codeOf(http.fetch(url))])
      same(both, ['tls_untrusted', 'tls_untrusted'])
      roots.push(all.ca)
      same((await http.fetch(url)).status, 200)
    }),
  )
  check('SSL_CERT_FILE names the roots', () =>
    closing(async (track) => {
      const all = await pki()
      const { port } = track(await serveTls(all))
      const before = process.env['SSL_CERT_FILE']
      await inDirectory(async (path) => {
        const file = join(path, 'roots.pem')
        writeFileSync(file, all.ca)
        process.env['SSL_CERT_FILE'] = file
        const http = track(openHttp({ tls: {} }))
        same((await http.fetch(`https://localhost:${port}/`)).status, 200)
      })
      if (before === undefined) delete process.env['SSL_CERT_FILE']
      else process.env['SSL_CERT_FILE'] = before
      const http = track(openHttp({ tls: {} }))
      same(await codeOf(http.fetch(`https://localhost:${port}/`)), 'tls_untrusted')
    }),
  )
  check('a Unix socket is reached by its path, and nobody there is told from trouble', () =>
    closing((track) =>
      inDirectory(async (path) => {
        const socket = join(path, 's')
        const none = { method: 'GET', path: '/status' } as const
        const never = new AbortController().signal
        same(await unixRequest(socket, none, never), undefined)
        const server = track(await listen(echo, { socket, mode: 0o600 }))
        same((await unixRequest(socket, none, never))?.status, 200)
        await server.close()
        writeFileSync(socket, '')
        same(await unixRequest(socket, none, never), undefined)
      }),
    ),
  )
}
