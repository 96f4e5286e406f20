import type { Secret } from '../model/secret.ts'
import type { Instant } from '../model/time.ts'

/** A new RSA key pair, made off the main thread. 2048 bits take about 0.1 s, 4096 bits 0.9 s and more. */
export function generateRsaKey(
  bits: number,
): Promise<{ /** PKCS#8 PEM */ privateKeyPem: Secret; /** SPKI PEM */ publicKeyPem: string }> {
  void bits
  return Promise.reject(new Error('not yet'))
}

/** What an X.509 certificate says, and how it fits to keys and issuers. */
export interface CertificateInfo {
  /** SHA-256 of the DER, 64 lower-case hex characters. */
  readonly fingerprint: string
  /** RFC 4514 text, most specific part first: `CN=…,OU=…`. */
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
  void pem
  throw new Error('not yet')
}

/** The PEM blocks `CERTIFICATE` of a text, in order, each with a newline at its end. */
export function splitPem(text: string): string[] {
  void text
  throw new Error('not yet')
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
  void key
  void data
  throw new Error('not yet')
}

/** A number in [0, 1) for jitter; not for secrets. */
export function randomUnit(): number {
  return Math.random()
}
