import { beforeAll, describe, expect, test } from 'bun:test'
import { X509Certificate, generateKeyPairSync } from 'node:crypto'
import { issueCertificate, createCa } from '../../src/identity/x509.ts'
import { Secret } from '../../src/model/secret.ts'
import { DAY } from '../../src/model/time.ts'
import {
  certificateInfo,
  generateRsaKey,
  hmac,
  splitPem,
  toPkcs1,
  toPkcs8,
  uuid,
} from '../../src/runtime/keys.ts'
import { failure } from './failure.ts'
import { makePki } from './pki.ts'
import type { Pki } from './pki.ts'

let pki: Pki
beforeAll(async () => {
  pki = await makePki()
})

describe('a key pair', () => {
  test('is PKCS#8 and SPKI of the size asked for, and the key is a secret', async () => {
    const { privateKeyPem, publicKeyPem } = await generateRsaKey(3072)
    expect(privateKeyPem.reveal()).toStartWith('-----BEGIN PRIVATE KEY-----\n')
    expect(publicKeyPem).toStartWith('-----BEGIN PUBLIC KEY-----\n')
    expect(JSON.stringify({ privateKeyPem })).toBe('{"privateKeyPem":"[secret]"}')
    const key = await crypto.subtle.importKey(
      'spki',
      Buffer.from(publicKeyPem.replace(/-----.*-----|\n/g, ''), 'base64'),
      { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
      true,
      ['verify'],
    )
    expect(key.algorithm).toMatchObject({ modulusLength: 3072 })
  })
})

describe('a certificate', () => {
  test('tells its dates, names and fingerprint', () => {
    const info = certificateInfo(pki.first.certificate)
    const node = new X509Certificate(pki.first.certificate)
    expect(info.subject).toBe('CN=first,O=Org')
    expect(info.issuer).toBe('CN=Our CA,O=Test')
    expect(info.notAfter - info.notBefore).toBe(10 * DAY)
    expect(info.notAfter).toBe(node.validToDate.getTime())
    expect(info.fingerprint).toBe(node.fingerprint256.replaceAll(':', '').toLowerCase())
    expect(info.der).toEqual(new Uint8Array(node.raw))
  })

  test('is the first of its chain', () => {
    const chain = pki.first.certificate + pki.ca
    expect(certificateInfo(chain).subject).toBe('CN=first,O=Org')
  })

  test('matches its own key and no other, and no text that is no key', () => {
    const info = certificateInfo(pki.first.certificate)
    expect(info.publicKeyMatches(pki.first.key)).toBeTrue()
    expect(info.publicKeyMatches(pki.second.key)).toBeFalse()
    expect(info.publicKeyMatches(new Secret('garbage'))).toBeFalse()
  })

  test('knows who signed it, by signature and not by name', async () => {
    const info = certificateInfo(pki.first.certificate)
    expect(info.issuedBy(pki.ca)).toBeTrue()
    expect(info.issuedBy(pki.otherCa)).toBeFalse()
    const now = Date.now()
    const dates = { notBefore: now, notAfter: now + DAY }
    const impostor = await createCa({ commonName: 'Our CA', organization: 'Test', ...dates })
    expect(info.issuedBy(impostor.certificate)).toBeFalse()
  })

  test('escapes what RFC 4514 escapes in its subject', async () => {
    const now = Date.now()
    const dates = { notBefore: now, notAfter: now + DAY }
    const ca = await createCa({ commonName: 'CA', organization: 'Test', ...dates })
    const { publicKeyPem } = await generateRsaKey(2048)
    const subject = [
      { type: 'O', value: 'Acme, Inc.' },
      { type: 'CN', value: 'a+b=c' },
    ]
    const pem = await issueCertificate({
      ca,
      subject,
      publicKey: publicKeyPem,
      usage: 'client',
      ...dates,
    })
    expect(certificateInfo(pem).subject).toBe('CN=a\\+b=c,O=Acme\\, Inc.')
  })

  test.each([
    ['nothing', ''],
    ['a key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
    ['garbage', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
  ])('that is %s is a named problem', async (_what, pem) => {
    const error = await failure(Promise.resolve().then(() => certificateInfo(pem)))
    expect(error.code).toBe('certificate_invalid')
  })
})

test('PEM blocks come one by one, whatever stands between them and however lines end', () => {
  const [first, second] = [pki.first.certificate, pki.ca]
  const text = `subject=x\n${first.replaceAll('\n', '\r\n')}\n\n# comment\n${second}`
  expect(splitPem(text)).toEqual([first, second])
  expect(splitPem('none')).toEqual([])
})

test('an HMAC is that of RFC 4231, test case 2', () => {
  expect(hmac(new Secret('Jefe'), 'what do ya want for nothing?')).toBe(
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  )
})

test('each UUID is another', () => {
  expect(uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(uuid()).not.toBe(uuid())
})

describe('the form of a private key', () => {
  test('changes to PKCS#1 and back without a byte of difference', async () => {
    const { privateKeyPem } = await generateRsaKey(2048)
    const old = toPkcs1(privateKeyPem)
    expect(old.reveal()).toStartWith('-----BEGIN RSA PRIVATE KEY-----\n')
    expect(old.reveal()).toEndWith('-----END RSA PRIVATE KEY-----\n')
    expect(toPkcs8(old).equals(privateKeyPem)).toBe(true)
    expect(toPkcs8(privateKeyPem).equals(privateKeyPem)).toBe(true)
  })

  test('of what is no RSA key is named, and no byte of it is shown', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const elliptic = new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }))
    for (const work of [
      () => toPkcs1(elliptic),
      () => toPkcs1(new Secret('-----BEGIN RSA PRIVATE KEY-----\nhunter2\n')),
      () => toPkcs8(new Secret('hunter2')),
    ]) {
      expect(work).toThrow(/^Cannot use the private key: it is no/)
      expect(work).not.toThrow(/hunter2/)
    }
  })
})
