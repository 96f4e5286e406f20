/**
 * X.509 by @peculiar/x509, which this is the only file to import. It costs 19 MB of memory, so import this file
 * dynamically, where a CSR is made, a fresh certificate is checked, or the dev plane's CA signs; never at start.
 *
 * Names are built from attribute objects, not from the library's text form: that one trims, unquotes and cannot hold an
 * empty value. RSA with SHA-256 only: the stock Connector copies the CSR's signature algorithm into a certificate that
 * its RSA key signs, so any other spends the token for nothing (reference/connector.md §4).
 */
import 'reflect-metadata' // must come first: the library refuses to load without it
import * as x509 from '@peculiar/x509'
import { Secret } from '../model/secret.ts'
import type { Instant } from '../model/time.ts'
import { attributeName, attributeOid, type DistinguishedName } from './subject.ts'

const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }

/** A PEM PKCS#10 request with exactly this subject, signed SHA-256 with the RSA key (PKCS#8 PEM). */
export async function createCsr(options: {
  subject: DistinguishedName
  key: Secret
}): Promise<string> {
  const keys = await importKeyPair(options.key)
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: encodeName(options.subject),
    keys,
    signingAlgorithm: RSA,
  })
  return pem(csr)
}

/** What a CSR says. `publicKey` is an SPKI PEM; `verifies`: its signature was made with that key. */
export type CertificateRequest = {
  subject: DistinguishedName
  publicKey: string
  verifies: boolean
  /** As WebCrypto names it, for example `RSASSA-PKCS1-v1_5/SHA-256`, `ECDSA/SHA-256`. */
  signatureAlgorithm: string
}

/**
 * Reads one PEM PKCS#10 request.
 *
 * @throws Error when it is not PEM or not PKCS#10
 */
export async function parseCsr(text: string): Promise<CertificateRequest> {
  const [block, ...more] = x509.PemConverter.decodeWithHeaders(text)
  if (block?.type !== 'CERTIFICATE REQUEST' || more.length > 0) {
    throw new TypeError('Cannot read the CSR: it is not one PEM block of a certificate request')
  }
  const csr = new x509.Pkcs10CertificateRequest(block.rawData)
  return {
    subject: decodeName(csr.subjectName),
    publicKey: pem(csr.publicKey),
    verifies: await csr.verify().catch(() => false),
    signatureAlgorithm: algorithmName(csr.signatureAlgorithm),
  }
}

/** A certificate authority that signs: certificate PEM and PKCS#8 key. */
export type Authority = { certificate: string; key: Secret }

/** A new self-signed CA. `bits`: 2048 takes 0.1 s, 4096 about a second. */
export async function createCa(options: {
  commonName: string
  organization: string
  notBefore: Instant
  notAfter: Instant
  bits?: number
}): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(
    { ...RSA, modulusLength: options.bits ?? 2048, publicExponent: new Uint8Array([1, 0, 1]) },
    true,
    ['sign', 'verify'],
  )
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: encodeName([
      { type: 'O', value: options.organization },
      { type: 'CN', value: options.commonName },
    ]),
    keys,
    notBefore: new Date(options.notBefore),
    notAfter: new Date(options.notAfter),
    signingAlgorithm: RSA,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const key = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    certificate: pem(certificate),
    key: new Secret(`${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n`),
  }
}

/** What to write into a certificate. */
export type CertificateOptions = {
  ca: Authority
  subject: DistinguishedName
  /** SPKI PEM, as {@link parseCsr} and runtime/keys.ts give it. */
  publicKey: string
  notBefore: Instant
  notAfter: Instant
  /** Hexadecimal; the stock Connector always writes `02`. Random when missing. */
  serial?: string
  /** Key usage and extended key usage: `client` as the Connector's, `authority` an intermediate CA. */
  usage: 'client' | 'server' | 'authority'
  /** Subject alternative names: DNS names and IP addresses. */
  names?: readonly string[]
}

/** One certificate (PEM, ends with a newline), signed SHA-256 by the CA. */
export async function issueCertificate(options: CertificateOptions): Promise<string> {
  const issuer = new x509.X509Certificate(options.ca.certificate)
  const signer = await importKeyPair(options.ca.key)
  const certificate = await x509.X509CertificateGenerator.create({
    subject: encodeName(options.subject),
    issuer: issuer.subjectName,
    publicKey: new x509.PublicKey(options.publicKey),
    signingKey: signer.privateKey,
    signingAlgorithm: RSA,
    notBefore: new Date(options.notBefore),
    notAfter: new Date(options.notAfter),
    ...(options.serial === undefined ? {} : { serialNumber: options.serial }),
    extensions: [
      ...usageExtensions(options.usage),
      await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey),
      ...alternativeNames(options.names ?? []),
    ],
  })
  return pem(certificate)
}

function usageExtensions(usage: CertificateOptions['usage']): x509.Extension[] {
  const flags = x509.KeyUsageFlags
  switch (usage) {
    case 'client':
      return [
        new x509.KeyUsagesExtension(flags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      ]
    case 'server':
      return [
        new x509.KeyUsagesExtension(flags.digitalSignature | flags.keyEncipherment, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      ]
    case 'authority':
      return [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(flags.keyCertSign | flags.cRLSign, true),
      ]
  }
}

function alternativeNames(names: readonly string[]): x509.Extension[] {
  if (names.length === 0) return []
  const isAddress = (name: string): boolean => /^[\d.]+$|:/.test(name)
  return [
    new x509.SubjectAlternativeNameExtension(
      names.map((name) => ({ type: isAddress(name) ? 'ip' : 'dns', value: name })),
    ),
  ]
}

/**
 * The subject of the first certificate in a PEM text.
 *
 * @throws Error when there is none
 */
export function certificateSubject(text: string): DistinguishedName {
  const block = x509.PemConverter.decodeWithHeaders(text).find(({ type }) => type === 'CERTIFICATE')
  if (block === undefined) throw new TypeError('Cannot read the certificate: there is no PEM block')
  return decodeName(new x509.X509Certificate(block.rawData).subjectName)
}

async function importKeyPair(key: Secret): Promise<CryptoKeyPair> {
  const der = x509.PemConverter.decodeFirst(key.reveal())
  const privateKey = await crypto.subtle.importKey('pkcs8', der, RSA, true, ['sign'])
  const { n = '', e = '' } = await crypto.subtle.exportKey('jwk', privateKey)
  const numbers = { kty: 'RSA', n, e }
  const publicKey = await crypto.subtle.importKey('jwk', numbers, RSA, true, ['verify'])
  return { privateKey, publicKey }
}

/** One relative name an attribute, value as given; C is a PrintableString as X.520 demands, where it can be one. */
function encodeName(name: DistinguishedName): x509.Name {
  return new x509.Name(
    name.map(({ type, value }) => ({
      [attributeOid(type)]: [
        type === 'C' && x509.Name.isPrintableString(value)
          ? { printableString: value }
          : { utf8String: value },
      ],
    })),
  )
}

function decodeName(name: x509.Name): DistinguishedName {
  return name
    .toJSON()
    .flatMap((relative) =>
      Object.entries(relative).flatMap(([type, values]) =>
        values.map((value) => ({ type: attributeName(type) ?? type, value })),
      ),
    )
}

function pem(object: { toString(format: 'pem'): string }): string {
  return `${object.toString('pem').trimEnd()}\n`
}

/** The library's types name globals that exist only in browsers' type libraries, so this one looks for itself. */
function algorithmName(algorithm: unknown): string {
  if (typeof algorithm === 'string') return algorithm
  if (typeof algorithm !== 'object' || algorithm === null) return 'unknown'
  const name = 'name' in algorithm ? algorithmName(algorithm.name) : 'unknown'
  return 'hash' in algorithm ? `${name}/${algorithmName(algorithm.hash)}` : name
}
