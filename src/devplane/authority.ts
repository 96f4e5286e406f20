import type { Authority, CertificateRequest } from '../identity/x509.ts'
import type { DistinguishedName } from '../identity/subject.ts'
import { Secret } from '../model/secret.ts'
import { DAY, type Duration, type Instant } from '../model/time.ts'
import { generateRsaKey } from '../runtime/keys.ts'
import type { PlaneState } from './store.ts'

/**
 * The two certificate authorities of a plane: one signs clients (that is the Connector's), one its servers. They have
 * nothing to do with one another, as on a real Compass: the `caCertificate` of the Connector is no root for servers.
 */
export type Authorities = {
  client: Authority
  server: Authority
  serverKey: { privateKeyPem: Secret; publicKeyPem: string }
}

const CA_LIFETIME = 3650 * DAY

/** New authorities; three RSA keys, about half a second. */
export async function createAuthorities(now: Instant): Promise<Authorities> {
  const { createCa } = await import('../identity/x509.ts')
  const dates = { notBefore: now - DAY, notAfter: now + CA_LIFETIME }
  const [client, server, serverKey] = await Promise.all([
    createCa({ commonName: 'compass-connector-ca', organization: 'Kyma', ...dates }),
    createCa({ commonName: 'Development control plane', organization: 'Runtime agent', ...dates }),
    generateRsaKey(2048),
  ])
  return { client, server, serverKey }
}

/** As they are kept in the plane's state. */
export function storeAuthorities(authorities: Authorities): PlaneState['authorities'] {
  const { client, server, serverKey } = authorities
  return {
    client: { certificate: client.certificate, key: client.key.reveal() },
    server: { certificate: server.certificate, key: server.key.reveal() },
    serverKey: {
      privateKeyPem: serverKey.privateKeyPem.reveal(),
      publicKeyPem: serverKey.publicKeyPem,
    },
  }
}

/** The way back from {@link storeAuthorities}. */
export function loadAuthorities(stored: NonNullable<PlaneState['authorities']>): Authorities {
  const { client, server, serverKey } = stored
  return {
    client: { certificate: client.certificate, key: new Secret(client.key) },
    server: { certificate: server.certificate, key: new Secret(server.key) },
    serverKey: {
      privateKeyPem: new Secret(serverKey.privateKeyPem),
      publicKeyPem: serverKey.publicKeyPem,
    },
  }
}

/** A server certificate for these names, with its CA behind it. A lifetime below zero gives one that has expired. */
export async function serverCertificate(
  authorities: Authorities,
  options: { names: readonly string[]; lifetime: Duration; now: Instant },
): Promise<string> {
  const { issueCertificate } = await import('../identity/x509.ts')
  const notAfter = options.now + options.lifetime
  const leaf = await issueCertificate({
    ca: authorities.server,
    subject: [{ type: 'CN', value: options.names[0] ?? 'localhost' }],
    publicKey: authorities.serverKey.publicKeyPem,
    notBefore: Math.min(options.now - DAY, notAfter - DAY),
    notAfter,
    usage: 'server',
    names: options.names,
  })
  return leaf + authorities.server.certificate
}

/** A client certificate as the Connector writes it: serial 2, no back-dating, the order of Go's library. */
export async function clientCertificate(
  ca: Authority,
  request: Pick<CertificateRequest, 'subject' | 'publicKey'>,
  dates: { notBefore: Instant; lifetime: Duration },
): Promise<{ pem: string; notBefore: Instant; notAfter: Instant }> {
  const { issueCertificate } = await import('../identity/x509.ts')
  const notBefore = Math.floor(dates.notBefore / 1000) * 1000
  const notAfter = Math.floor((dates.notBefore + dates.lifetime) / 1000) * 1000
  const pem = await issueCertificate({
    ca,
    subject: goOrder(request.subject),
    publicKey: request.publicKey,
    notBefore,
    notAfter,
    serial: '02',
    usage: 'client',
  })
  return { pem, notBefore, notAfter }
}

const GO_ORDER = ['C', 'ST', 'L', 'O', 'OU']

/** Go writes a name anew: known types in an order of its own, the common name behind, further ones last. */
function goOrder(subject: DistinguishedName): DistinguishedName {
  const known = GO_ORDER.flatMap((type) => subject.filter((attribute) => attribute.type === type))
  const common = subject.filter(({ type }) => type === 'CN')
  const rest = subject.filter(({ type }) => type !== 'CN' && !GO_ORDER.includes(type))
  return [...known, ...common, ...rest]
}
