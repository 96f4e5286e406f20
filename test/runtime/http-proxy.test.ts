import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { HttpSession } from '../../src/runtime/http.ts'
import { openHttp } from '../../src/runtime/http.ts'
import { certificateInfo } from '../../src/runtime/keys.ts'
import { failure } from './failure.ts'
import { identity, makePki } from './pki.ts'
import type { Pki } from './pki.ts'
import { serveTls, startProxy } from './servers.ts'
import type { Echo, Proxy } from './servers.ts'

let pki: Pki
let good: Awaited<ReturnType<typeof serveTls>>
let strange: Awaited<ReturnType<typeof serveTls>>
let proxy: Proxy
const sessions: HttpSession[] = []

beforeAll(async () => {
  pki = await makePki()
  good = await serveTls(pki)
  strange = await serveTls(pki, { leaf: pki.strange })
  proxy = await startProxy('user:canary')
})
afterAll(async () => {
  await Promise.all([...sessions, good, strange, proxy].map((one) => one.close()))
})

/** A session that goes through a proxy; `compass.test` is a name that only the proxy knows. */
function through(url: string, except: string[] = []): HttpSession {
  const tls = { ca: [pki.ca], identity: identity(pki.first) }
  const session = openHttp({ tls, proxy: { url, except }, connectTimeout: 2000 })
  sessions.push(session)
  return session
}

const withPassword = (): string => `http://user:canary@127.0.0.1:${proxy.port}`

test('a proxy carries our TLS to the server, with its credentials and our certificate', async () => {
  const answer = await through(withPassword()).fetch(`https://compass.test:${good.port}/x`)
  const seen: Echo = JSON.parse(await answer.text())
  expect(seen.fingerprint).toBe(certificateInfo(pki.first.certificate).fingerprint)
  expect(proxy.connects).toContain(`compass.test:${good.port}`)
})

test('a server behind a proxy is verified as any other', async () => {
  const error = await failure(
    through(withPassword()).fetch(`https://compass.test:${strange.port}/`),
  )
  expect(error.code).toBe('tls_untrusted')
})

test('a proxy that refuses our credentials is named, without them', async () => {
  const wrong = `http://user:wrong-canary@127.0.0.1:${proxy.port}`
  const error = await failure(through(wrong).fetch(`https://compass.test:${good.port}/?canary`))
  expect(error.code).toBe('proxy_failed')
  expect(error.message).toContain(`the proxy 127.0.0.1:${proxy.port}: the proxy refuses (407)`)
  expect(error.message).not.toContain('canary')
})

test('a proxy that cannot be reached is named as that', async () => {
  const error = await failure(through('http://127.0.0.1:2').fetch('https://compass.test/'))
  expect(error.code).toBe('proxy_failed')
  expect(error.message).toContain('ECONNREFUSED')
})

test('a proxy that cannot reach the server is not blamed', async () => {
  const error = await failure(through(withPassword()).fetch('https://compass.test:2/'))
  expect(error.code).toBe('unreachable')
})

test('an exception is reached without the proxy', async () => {
  const before = proxy.connects.length
  const direct = through(withPassword(), ['compass.test'])
  const error = await failure(direct.fetch(`https://compass.test:${good.port}/`))
  expect(error.message).toContain('does not resolve')
  expect((await direct.fetch(`https://localhost:${good.port}/`)).status).toBe(200)
  expect(proxy.connects.length).toBe(before)
})
