import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { createHash, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import {
  formatSubject,
  parseSubject,
  subjectFits,
  type DistinguishedName,
} from '../../src/identity/subject.ts'
import { identityOf } from '../../src/identity/store.ts'
import {
  certificateSubject,
  createCa,
  createCsr,
  issueCertificate,
  parseCsr,
} from '../../src/identity/x509.ts'
import { Secret } from '../../src/model/secret.ts'
import { DAY, SECOND } from '../../src/model/time.ts'
import { needsShared, shared } from '../shared.ts'
import { PLANE } from './plane.ts'

const NOW = Date.UTC(2026, 10, 21, 12)
const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
})
const key = new Secret(privateKey)
const compass: DistinguishedName = [
  { type: 'O', value: 'Org' },
  { type: 'OU', value: 'OrgUnit' },
  { type: 'L', value: 'locality' },
  { type: 'ST', value: 'province' },
  { type: 'C', value: 'DE' },
  { type: 'CN', value: 'eeba0c32-4e7a-4eae-8d03-6a46957e32f7' },
]
const hostile: DistinguishedName = [
  { type: 'O', value: '' },
  { type: 'OU', value: 'a, b=c' },
  { type: 'OU', value: '"quoted" + more' },
  { type: 'L', value: ' spaces kept ' },
  { type: 'ST', value: '#hash' },
  { type: 'C', value: '' },
  { type: 'OU', value: 'Größe 日本 \\ end' },
  { type: 'CN', value: 'CN=twice,CN=' },
  { type: '1.2.3.4.5', value: 'own' },
]

describe('the certificate request', () => {
  test('carries the subject of the Connector, in its order, and verifies', async () => {
    const csr = await parseCsr(await createCsr({ subject: compass, key }))
    expect(csr).toEqual({
      subject: compass,
      publicKey: csr.publicKey,
      verifies: true,
      signatureAlgorithm: 'RSASSA-PKCS1-v1_5/SHA-256',
    })
    const [asked, got] = [publicKey, csr.publicKey].map((pem) =>
      createPublicKey(pem).export({ type: 'spki', format: 'der' }),
    )
    expect(got).toEqual(asked)
  })

  test('keeps empty, repeated, spaced, quoted and foreign values exactly', async () => {
    const csr = await parseCsr(await createCsr({ subject: hostile, key }))
    expect(csr.subject).toEqual(hostile)
    expect(csr.verifies).toBe(true)
  })

  test('encodes an empty value as a present attribute of length 0, and C as PrintableString', async () => {
    const pem = await createCsr({
      subject: [
        { type: 'O', value: '' },
        { type: 'C', value: 'DE' },
      ],
      key,
    })
    const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64').toString('hex')
    expect(der).toContain('310930070603550' + '40a' + '0c00') // SET { SEQUENCE { OID 2.5.4.10, UTF8String "" } }
    expect(der).toContain('310b30090603550' + '406' + '13024445') // SET { SEQUENCE { OID 2.5.4.6, PrintableString "DE" } }
  })

  test('is one PEM block that ends with a newline', async () => {
    const pem = await createCsr({ subject: compass, key })
    expect(pem).toMatch(
      /^-----BEGIN CERTIFICATE REQUEST-----\n([A-Za-z0-9+/=]+\n)+-----END CERTIFICATE REQUEST-----\n$/,
    )
  })

  test('is reported as not verifying when one bit of it was changed', async () => {
    const pem = await createCsr({ subject: compass, key })
    const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
    der[der.indexOf('OrgUnit')] = 0x50
    const changed = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
    expect((await parseCsr(changed)).verifies).toBe(false)
  })

  test('is refused when it is no PEM, another PEM, or two of them', async () => {
    const pem = await createCsr({ subject: compass, key })
    for (const text of ['', 'hello', publicKey, pem + pem]) {
      expect(parseCsr(text)).rejects.toThrow()
    }
  })
})

describe('the certificate authority', () => {
  test('issues what the stock Connector issues: serial 2, client usage, dates to the second', async () => {
    const ca = await createCa({
      commonName: 'compass-connector-ca',
      organization: 'Kyma',
      notBefore: NOW - DAY,
      notAfter: NOW + 3650 * DAY,
    })
    const pem = await issueCertificate({
      ca,
      subject: compass,
      publicKey,
      notBefore: NOW + 999,
      notAfter: NOW + 90 * DAY,
      serial: '02',
      usage: 'client',
    })
    const certificate = new X509Certificate(pem)
    const authority = new X509Certificate(ca.certificate)
    expect(certificate.serialNumber).toBe('02')
    expect(Date.parse(certificate.validFrom)).toBe(NOW)
    expect(Date.parse(certificate.validTo)).toBe(NOW + 90 * DAY)
    expect(certificate.verify(authority.publicKey)).toBe(true)
    expect(certificate.checkIssued(authority)).toBe(true)
    expect(certificate.ca).toBe(false)
    expect(authority.ca).toBe(true)
    expect(certificateSubject(pem)).toEqual(compass)
    expect(certificateSubject(pem + ca.certificate)).toEqual(compass)
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
  })

  test('issues server certificates for names and addresses', async () => {
    const ca = await createCa({
      commonName: 'root',
      organization: 'Test',
      notBefore: NOW,
      notAfter: NOW + DAY,
    })
    const pem = await issueCertificate({
      ca,
      subject: [{ type: 'CN', value: 'localhost' }],
      publicKey,
      notBefore: NOW,
      notAfter: NOW + 30 * SECOND,
      usage: 'server',
      names: ['localhost', '127.0.0.1', '::1'],
    })
    const certificate = new X509Certificate(pem)
    expect(certificate.checkHost('localhost')).toBe('localhost')
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
  })

  test('gives every certificate without a serial of its own another fingerprint', async () => {
    const ca = await createCa({
      commonName: 'root',
      organization: 'Test',
      notBefore: NOW,
      notAfter: NOW + DAY,
    })
    const options = { ca, subject: compass, publicKey, notBefore: NOW, notAfter: NOW + DAY }
    const issued = await Promise.all(
      [1, 2].map(() => issueCertificate({ ...options, usage: 'client' })),
    )
    const prints = issued.map((pem) =>
      createHash('sha256').update(new X509Certificate(pem).raw).digest('hex'),
    )
    expect(new Set(prints).size).toBe(2)
  })
})

describe('what a real Connector said', () => {
  const decoded = (name: string): { csr: string; chain: string; subject: string } => {
    const read = (file: string) =>
      JSON.parse(readFileSync(new URL(`recordings/connector/${file}.json`, shared), 'utf8'))
    const { request, response } = read(name)
    const csr: string = /csr: "([^"]+)"/.exec(request.body.query)?.[1] ?? request.body.variables.csr
    const info = read('configuration-with-token').response.body.data.result
    return {
      csr: atob(csr.replaceAll('\\n', '')),
      chain: atob(response.body.data.result.certificateChain),
      subject: info.certificateSigningRequestInfo.subject,
    }
  }

  needsShared.each(['sign-with-token', 'mtls-renew'])('is understood: %s', async (name) => {
    const { csr, chain, subject } = decoded(name)
    const request = await parseCsr(csr)
    expect(request.verifies).toBe(true)
    const asked = parseSubject(formatSubject(request.subject))
    expect(asked.map(({ type }) => type)).toEqual(parseSubject(subject).map(({ type }) => type))
    expect(subjectFits(asked, certificateSubject(chain))).toBe(true)
    expect(() => identityOf({ key, chain, plane: PLANE, runtimeId: 'r' })).toThrow(
      'Cannot use the client certificate: it is for another key',
    )
  })
})

test('nothing but the dev plane loads the X.509 library before it is needed', () => {
  const source = new URL('../../src/', import.meta.url)
  const early = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('devplane/'))
    .filter((name) =>
      /^import (?!type)[^;]*?from '[^']*x509[^']*'/m.test(
        readFileSync(new URL(name, source), 'utf8').replaceAll(/^import type .*$/gm, ''),
      ),
    )
  expect(early).toEqual(['identity/x509.ts'])
})
