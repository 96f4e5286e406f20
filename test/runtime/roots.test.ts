import { afterEach, beforeAll, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { splitPem } from '../../src/runtime/keys.ts'
import { systemRoots } from '../../src/runtime/roots.ts'
import { temporaryDirectory } from './directory.ts'
import { failure } from './failure.ts'
import { makePki } from './pki.ts'
import type { Pki } from './pki.ts'

const before = process.env['SSL_CERT_FILE']
let pki: Pki
beforeAll(async () => {
  pki = await makePki()
})
afterEach(() => {
  if (before === undefined) delete process.env['SSL_CERT_FILE']
  else process.env['SSL_CERT_FILE'] = before
})

test('the roots of the system are read once and kept for all sessions', () => {
  delete process.env['SSL_CERT_FILE']
  const roots = systemRoots()
  expect(splitPem(roots.join('\n')).length).toBeGreaterThan(20)
  expect(systemRoots()).toBe(roots)
})

test('a bundle that changes is read again', () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'bundle.pem')
  process.env['SSL_CERT_FILE'] = file
  writeFileSync(file, pki.ca)
  expect(systemRoots()).toEqual([pki.ca])
  writeFileSync(file, pki.otherCa)
  utimesSync(file, 1, 1)
  expect(systemRoots()).toEqual([pki.otherCa])
})

test('a named bundle without certificates is a problem, not a reason to believe others', async () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'bundle.pem')
  process.env['SSL_CERT_FILE'] = file
  writeFileSync(file, 'nothing')
  const error = await failure(Promise.resolve().then(systemRoots))
  expect([error.code, error.message]).toEqual([
    'tls_untrusted',
    `Cannot read the trusted roots ${file}: there is no certificate in it`,
  ])
})

test('a named bundle that is a pipe is a problem, and nobody waits for its writer', async () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'bundle.pem')
  spawnSync('mkfifo', [file])
  process.env['SSL_CERT_FILE'] = file
  const error = await failure(Promise.resolve().then(systemRoots))
  expect(error.message).toBe(`Cannot read the trusted roots ${file}: it is no file`)
})
