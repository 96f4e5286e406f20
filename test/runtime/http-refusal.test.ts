import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { toAgentError } from '../../src/model/problem.ts'
import type { Code } from '../../src/model/problem.ts'
import { openHttp } from '../../src/runtime/http.ts'
import { skipUnless } from '../skip.ts'
import { killHard } from './children.ts'
import { temporaryDirectory } from './directory.ts'
import { identity, makePki } from './pki.ts'
import type { Leaf, Pki } from './pki.ts'

// Node's servers send no alert for a certificate that they refuse; fronts like haproxy and Envoy do, as OpenSSL does.
const withOpenssl = skipUnless(spawnSync('openssl', ['version']).status === 0, {
  why: 'openssl is not installed',
  how: 'apt-get install openssl',
})

const directory = temporaryDirectory()
const servers: ChildProcess[] = []
let pki: Pki

beforeAll(async () => {
  pki = await makePki()
  const files = { 'ca.pem': pki.ca, 'server.pem': pki.server.certificate }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory.path, name), text)
  writeFileSync(join(directory.path, 'server.key'), pki.server.key.reveal(), { mode: 0o600 })
})
afterAll(async () => {
  for (const server of servers) await killHard(server)
  directory[Symbol.dispose]()
})

/** An OpenSSL server that demands a certificate of our CA. */
async function strictServer(version: string): Promise<string> {
  const port = await freePort()
  const files = ['-key', 'server.key', '-cert', 'server.pem', '-CAfile', 'ca.pem']
  const args = ['-accept', `127.0.0.1:${port}`, ...files, '-Verify', '1', '-verify_return_error']
  const server = spawn('openssl', ['s_server', ...args, '-www', version], {
    cwd: directory.path,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  servers.push(server)
  await new Promise<void>((resolve) => {
    server.stdout.on('data', (chunk: Buffer) => {
      if (chunk.toString().includes('ACCEPT')) resolve()
    })
  })
  return `https://localhost:${port}/`
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return address === null || typeof address === 'string' ? 0 : address.port
}

async function call(url: string, leaf?: Leaf): Promise<Code | number> {
  const shown = leaf === undefined ? {} : { identity: identity(leaf) }
  const session = openHttp({ tls: { ca: [pki.ca], ...shown } })
  const outcome = await session.fetch(url).catch((thrown: unknown) => thrown)
  await session.close()
  return outcome instanceof Response ? outcome.status : toAgentError(outcome).code
}

describe('a server that verifies client certificates', () => {
  withOpenssl(
    'under TLS 1.3 refuses ours by an alert after the handshake, and we see it',
    async () => {
      const url = await strictServer('-tls1_3')
      expect(await call(url, pki.first)).toBe(200)
      expect(await call(url, pki.foreignClient)).toBe('client_certificate_refused') // 48
      expect(await call(url, pki.expiredClient)).toBe('client_certificate_refused') // 45
      expect(await call(url)).toBe('client_certificate_refused') // 116
    },
  )

  withOpenssl('under TLS 1.2 refuses ours within the handshake, and we see it', async () => {
    const url = await strictServer('-tls1_2')
    expect(await call(url, pki.first)).toBe(200)
    expect(await call(url, pki.foreignClient)).toBe('client_certificate_refused')
    expect(await call(url, pki.expiredClient)).toBe('client_certificate_refused')
    expect(await call(url)).toBe('tls_failed') // 40 says no more than that
  })
})
