import * as crypto from 'node:crypto'
import { AgentError } from '../model/problem.ts'
import { Secret } from '../model/secret.ts'
import type { Instant } from '../model/time.ts'

/** PKCS#8 and SPKI PEM. */
export type KeyPair = { privateKeyPem: Secret; publicKeyPem: string }

/** A new RSA key pair, made off the main thread. 2048 bits take about 0.1 s, 4096 bits 0.9 s and more. */
export function generateRsaKey(bits: number): Promise<KeyPair> {
  const options = {
    modulusLength: bits,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  } as const
  return new Promise((resolve, reject) => {
    crypto.generateKeyPair('rsa', options, (error, publicKeyPem, privateKeyPem) => {
      if (error) reject(error)
      else resolve({ privateKeyPem: new Secret(privateKeyPem), publicKeyPem })
    })
  })
}

/** What an X.509 certificate says, and how it fits to keys and issuers. */
export interface CertificateInfo {
  /** SHA-256 of the DER, 64 lower-case hex characters. */
  readonly fingerprint: string
  /** RFC 4514 text, last part of the encoded name first: `CN=…,OU=…`. */
  readonly subject: string
  readonly issuer: string
  readonly notBefore: Instant
  readonly notAfter: Instant
  readonly der: Uint8Array
  /** Whether the certificate is for the public half of this private key (PEM). An unreadable key is no match. */
  publicKeyMatches(key: Secret): boolean
  /** Whether the first certificate of a PEM signed this one. Names and signature are checked, dates are not. */
  issuedBy(caPem: string): boolean
}

/** Reads the first certificate of a PEM text. Throws `certificate_invalid` when there is none that can be read. */
export function certificateInfo(pem: string): CertificateInfo {
  const certificate = parse(pem)
  return {
    fingerprint: sha256Hex(certificate.raw),
    subject: nameText(certificate.subject),
    issuer: nameText(certificate.issuer),
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    der: new Uint8Array(certificate.raw),
    publicKeyMatches: (key) => matches(certificate, key),
    issuedBy(caPem) {
      const issuer = parse(caPem)
      return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
    },
  }
}

function parse(pem: string): crypto.X509Certificate {
  const block = splitPem(pem)[0]
  if (block === undefined) throw unreadable('there is no PEM certificate in it')
  try {
    return new crypto.X509Certificate(block)
  } catch {
    throw unreadable('its encoding is broken')
  }
}

function unreadable(why: string): AgentError {
  return new AgentError('certificate_invalid', `Cannot read the certificate: ${why}`)
}

function matches(certificate: crypto.X509Certificate, key: Secret): boolean {
  try {
    return certificate.checkPrivateKey(crypto.createPrivateKey(key.reveal()))
  } catch {
    return false
  }
}

/** node prints one part a line in encoded order, values already escaped; RFC 4514 wants the reverse and commas. */
export function nameText(lines: string | undefined): string {
  return (lines ?? '').split('\n').filter(Boolean).reverse().join(',')
}

/** SHA-256, 64 lower-case hex characters. */
export function sha256Hex(data: Uint8Array): string {
  return crypto.createHash('sha256').update(data).digest('hex')
}

/** The PEM blocks `CERTIFICATE` of a text, in order, each with a newline at its end. */
export function splitPem(text: string): string[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => `${block.replaceAll('\r', '')}\n`)
}

/** Bytes of the system's cryptographic generator. */
export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length))
}

/** A random UUID (version 4). */
export function uuid(): string {
  return crypto.randomUUID()
}

/** HMAC-SHA-256, 64 lower-case hex characters. */
export function hmac(key: Secret, data: string | Uint8Array): string {
  return crypto.createHmac('sha256', key.reveal()).update(data).digest('hex')
}

/** A number in [0, 1) for jitter; not for secrets. */
export function randomUnit(): number {
  return Math.random()
}

/**
 * An RSA key as PKCS#1 PEM (`RSA PRIVATE KEY`), the only form that the Go agent reads.
 *
 * @throws AgentError certificate_invalid: no private key, or not an RSA one
 */
export function toPkcs1(key: Secret): Secret {
  const read = readPrivateKey(key)
  if (read.asymmetricKeyType !== 'rsa') throw unfitKey('it is no RSA key')
  return new Secret(read.export({ type: 'pkcs1', format: 'pem' }))
}

/**
 * A private key of any PEM form as PKCS#8 PEM (`PRIVATE KEY`).
 *
 * @throws AgentError certificate_invalid: no private key
 */
export function toPkcs8(key: Secret): Secret {
  return new Secret(readPrivateKey(key).export({ type: 'pkcs8', format: 'pem' }))
}

function readPrivateKey(key: Secret): crypto.KeyObject {
  try {
    return crypto.createPrivateKey(key.reveal())
  } catch {
    throw unfitKey('it is not PEM of a private key')
  }
}

function unfitKey(why: string): AgentError {
  return new AgentError('certificate_invalid', `Cannot use the private key: ${why}`)
}
