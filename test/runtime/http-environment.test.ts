import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Listener } from '../../src/runtime/listen.ts'
import { outputOf, startChild } from './children.ts'
import { temporaryDirectory } from './directory.ts'
import type { Outcome } from './fetch-child.ts'
import { makePki } from './pki.ts'
import type { Pki } from './pki.ts'
import { serveTls, startProxy } from './servers.ts'

const directory = temporaryDirectory()
const ca = join(directory.path, 'ca.pem')
const servers: Record<string, Listener> = {}
let pki: Pki

beforeAll(async () => {
  pki = await makePki()
  writeFileSync(ca, pki.ca)
  servers['good'] = await serveTls(pki)
  servers['strange'] = await serveTls(pki, { leaf: pki.strange })
  servers['expired'] = await serveTls(pki, { leaf: pki.expired })
  servers['misnamed'] = await serveTls(pki, { leaf: pki.misnamed })
})
afterAll(async () => {
  for (const server of Object.values(servers)) await server.close()
  directory[Symbol.dispose]()
})

const url = (name: string, host = 'localhost'): string => `https://${host}:${servers[name]?.port}/`

async function fetchInChild(args: string[], env: Record<string, string>): Promise<Outcome> {
  const outcome: Outcome = JSON.parse(await outputOf(startChild('fetch-child.ts', args, env)))
  return outcome
}

test.each([
  ['strange', 'tls_untrusted'],
  ['expired', 'tls_server_expired'],
  ['misnamed', 'tls_name_mismatch'],
])('NODE_TLS_REJECT_UNAUTHORIZED=0 lets no "%s" server pass: %s', async (name, code) => {
  const off = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }
  expect(await fetchInChild([url('good'), ca], off)).toEqual({ status: 200 })
  expect((await fetchInChild([url(name), ca], off)).code).toBe(code)
})

test('BUN_CONFIG_VERBOSE_FETCH prints no header', async () => {
  const env = { BUN_CONFIG_VERBOSE_FETCH: 'curl' }
  const output = await outputOf(startChild('fetch-child.ts', [url('good'), ca], env), true)
  expect(output).toBe('{"status":200}\n')
})

test('SSL_CERT_FILE names the roots of the system', async () => {
  expect(await fetchInChild([url('good')], { SSL_CERT_FILE: ca })).toEqual({ status: 200 })
  expect((await fetchInChild([url('good')], {})).code).toBe('tls_untrusted')
})

test('SSL_CERT_FILE that cannot be read is named, not replaced by other roots', async () => {
  const missing = join(directory.path, 'none.pem')
  const outcome = await fetchInChild([url('good'), ca], { SSL_CERT_FILE: missing })
  expect(outcome.code).toBe('tls_untrusted')
  expect(outcome.message).toStartWith(`Cannot read the trusted roots ${missing}: no such file`)
})

test('HTTPS_PROXY is gone through and NO_PROXY around, though Bun would read them itself', async () => {
  const proxy = await startProxy('user:p@ss')
  const address = `http://user:p%40ss@127.0.0.1:${proxy.port}`
  const target = url('good', 'compass.test')
  expect(await fetchInChild([target, ca], { HTTPS_PROXY: address })).toEqual({ status: 200 })
  expect(proxy.connects).toEqual([new URL(target).host])
  const around = { HTTPS_PROXY: address, NO_PROXY: '.test' }
  expect((await fetchInChild([target, ca], around)).message).toContain('does not resolve')
  expect(await fetchInChild([url('good'), ca], { HTTPS_PROXY: address })).toEqual({ status: 200 })
  expect(proxy.connects.length).toBe(1)
  await proxy.close()
})
