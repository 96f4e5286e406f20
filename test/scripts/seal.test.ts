import { afterAll, expect, test } from 'bun:test'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from '../../scripts/repository.ts'
import { seal, stampedInstaller } from '../../scripts/seal.ts'

const work = mkdtempSync(join(tmpdir(), 'seal-test-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

const pair = generateKeyPairSync('ed25519')
const privatePem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' })
const publicPem = pair.publicKey.export({ type: 'spki', format: 'pem' })

test('the script gets the public half of a key, whichever half is given, and nothing else', () => {
  const before = readFileSync(join(ROOT, 'install.sh'), 'utf8')
  const stamped = stampedInstaller(privatePem)
  expect(stamped).toContain(publicPem)
  expect(stamped).not.toContain('PRIVATE')
  expect(stamped.replace(publicPem, '')).toBe(before)
  expect(stampedInstaller(publicPem)).toBe(stamped)
})

test('only a key that releases can be signed with is stamped', () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
  const pem = other.export({ type: 'spki', format: 'pem' })
  expect(() => stampedInstaller(pem)).toThrow('Cannot stamp: found a key of type ec, want ed25519')
})

test('sealing again counts neither the sums nor the signature that are there', () => {
  writeFileSync(join(work, 'VERSION'), '1.0.0\n')
  seal(work, privatePem)
  const [sums, signature] = ['SHA256SUMS', 'SHA256SUMS.sig'].map((name) => join(work, name))
  const first = [readFileSync(sums!, 'utf8'), readFileSync(signature!, 'hex')]
  seal(work, privatePem)
  expect([readFileSync(sums!, 'utf8'), readFileSync(signature!, 'hex')]).toEqual(first)
  expect(first[0]).toMatch(/^[0-9a-f]{64} {2}VERSION\n$/)
})
