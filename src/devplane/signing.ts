import { GraphQLError } from 'graphql'
import type { DistinguishedName } from '../identity/subject.ts'
import type { CertificateRequest } from '../identity/x509.ts'
import { certificateInfo, generateRsaKey } from '../runtime/keys.ts'
import { clientCertificate, createAuthorities } from './authority.ts'
import { subjectConstants } from './configuration.ts'
import type { ConnectorContext } from './connector.ts'
import type { SubjectConstants } from './knobs.ts'

/** What `signCertificateSigningRequest` gives: base64 of PEM, each. */
export type CertificationResult = {
  certificateChain: string
  caCertificate: string
  clientCertificate: string
}

/** Checks a CSR as the Connector does, in its order and words, and signs it. */
export async function signRequest(
  csr: string,
  context: ConnectorContext,
): Promise<CertificationResult> {
  const request = await readRequest(decodeBase64(csr))
  const { call, auth } = context
  const wrong = wrongSubject(request.subject, subjectConstants(call.knobs), auth.id)
  if (wrong !== undefined) throw refusal(wrong)
  if (!request.signatureAlgorithm.startsWith('RSASSA-PKCS1-v1_5')) {
    throw refusal(unusableAlgorithm(request.signatureAlgorithm))
  }
  const { client, authority } = await issue(request, context)
  return {
    certificateChain: btoa(client + authority),
    caCertificate: btoa(authority),
    clientCertificate: btoa(client),
  }
}

/** The Connector copies the algorithm of the CSR into a certificate that its RSA key signs; of RSA-PSS it fails to read the key. */
function unusableAlgorithm(algorithm: string): string {
  return algorithm.startsWith('RSA-PSS')
    ? 'CSR signature invalid: x509: cannot verify signature: algorithm unimplemented'
    : 'Error while creating certificate: x509: requested SignatureAlgorithm does not match private key type'
}

function refusal(why: string): GraphQLError {
  return new GraphQLError(`Error while signing Certificate Signing Request: ${why}`)
}

function decodeBase64(csr: string): string {
  try {
    return atob(csr)
  } catch {
    throw new GraphQLError(
      'Error while decoding Certificate Signing Request: Error while parsing base64 content. Incorrect value provided.',
    )
  }
}

async function readRequest(pem: string): Promise<CertificateRequest> {
  if (!/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/.test(pem)) {
    throw refusal('Error while decoding pem block.')
  }
  const { parseCsr } = await import('../identity/x509.ts')
  const request = await parseCsr(pem).catch(() => undefined)
  if (request === undefined) throw refusal('Error while parsing CSR: asn1: structure error')
  if (request.verifies) return request
  throw refusal('CSR signature invalid: x509: signature over certificate error')
}

/** The first value of each attribute must be the constant; the common name is the last one, as Go reads it. */
function wrongSubject(
  subject: DistinguishedName,
  constants: SubjectConstants,
  commonName: string,
): string | undefined {
  if (subject.findLast(({ type }) => type === 'CN')?.value !== commonName) {
    return 'CSR: Invalid common name provided.'
  }
  const checks = [
    ['C', 'country'],
    ['O', 'organization'],
    ['OU', 'organizational unit'],
    ['L', 'locality'],
    ['ST', 'province'],
  ] as const
  for (const [type, name] of checks) {
    const first = subject.find((attribute) => attribute.type === type)
    if (first === undefined) return `CSR: No ${name} provided.`
    if (first.value !== constants[type]) return `CSR: Invalid ${name} provided.`
  }
  return undefined
}

async function issue(
  request: CertificateRequest,
  context: ConnectorContext,
): Promise<{ client: string; authority: string }> {
  const { call, auth, store } = context
  const { knobs, now } = call
  const spoiled = knobs.certificate
  const authority =
    spoiled === 'otherCa' ? (await createAuthorities(now)).client : context.authorities.client
  const { pem, notBefore, notAfter } = await clientCertificate(
    authority,
    {
      subject: spoiled === 'otherName' ? otherName(request.subject) : request.subject,
      publicKey:
        spoiled === 'otherKey' ? (await generateRsaKey(2048)).publicKeyPem : request.publicKey,
    },
    { notBefore: now + (knobs.certificateOffset ?? 0), lifetime: call.lifetimes.certificate },
  )
  const { fingerprint } = certificateInfo(pem)
  store.change((state) => {
    state.certificates = state.certificates.filter((known) => known.notAfter > now)
    state.certificates.push({ fingerprint, systemAuth: auth.id, notBefore, notAfter })
  })
  return { client: spoil(pem, spoiled), authority: authority.certificate }
}

function spoil(pem: string, kind: string | undefined): string {
  if (kind === 'notPem') return 'this is no certificate\n'
  return kind === 'cut' ? pem.slice(0, Math.floor(pem.length / 2)) : pem
}

function otherName(subject: DistinguishedName): DistinguishedName {
  return subject.map((attribute) =>
    attribute.type === 'CN' ? { type: 'CN', value: crypto.randomUUID() } : attribute,
  )
}
