/** A certificate authority, keys and certificates for tests; made once, as RSA keys take time. */
import type { DistinguishedName } from '../../src/identity/subject.ts'
import { identityOf } from '../../src/identity/store.ts'
import { createCa, issueCertificate, type Authority } from '../../src/identity/x509.ts'
import type { Identity } from '../../src/model/identity.ts'
import { DAY, type Instant } from '../../src/model/time.ts'
import { generateRsaKey, type KeyPair } from '../../src/runtime/keys.ts'
import { PLANE } from './plane.ts'

export { PLANE }

export const NOW: Instant = Date.UTC(2026, 10, 21, 12)

export const SUBJECT = 'O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=system-auth-1'

/** As the stock Connector writes it: Go's order. */
export const ISSUED_SUBJECT: DistinguishedName = [
  { type: 'C', value: 'DE' },
  { type: 'ST', value: 'province' },
  { type: 'L', value: 'locality' },
  { type: 'O', value: 'Org' },
  { type: 'OU', value: 'OrgUnit' },
  { type: 'CN', value: 'system-auth-1' },
]

const authority = (commonName: string): Promise<Authority> =>
  createCa({ commonName, organization: 'Kyma', notBefore: NOW - DAY, notAfter: NOW + 3650 * DAY })

export const [ca, otherCa, keyA, keyB, keyC] = await Promise.all([
  authority('compass-connector-ca'),
  authority('another-ca'),
  generateRsaKey(2048),
  generateRsaKey(2048),
  generateRsaKey(2048),
])

export type Issue = {
  key: KeyPair
  subject?: DistinguishedName
  notBefore?: Instant
  notAfter?: Instant
  by?: Authority
}

/** One client certificate, PEM. */
export function issue({ key, subject, notBefore, notAfter, by = ca }: Issue): Promise<string> {
  return issueCertificate({
    ca: by,
    publicKey: key.publicKeyPem,
    subject: subject ?? ISSUED_SUBJECT,
    notBefore: notBefore ?? NOW,
    notAfter: notAfter ?? NOW + 90 * DAY,
    serial: '02',
    usage: 'client',
  })
}

/** A whole identity with its chain. */
export async function makeIdentity(options: Issue & { runtimeId?: string }): Promise<Identity> {
  const chain = (await issue(options)) + ca.certificate
  const runtimeId = options.runtimeId ?? 'runtime-1'
  return identityOf({ key: options.key.privateKeyPem, chain, plane: PLANE, runtimeId })
}
