import { createCa, issueCertificate } from '../../src/identity/x509.ts'
import type { Authority } from '../../src/identity/x509.ts'
import type { Secret } from '../../src/model/secret.ts'
import { DAY } from '../../src/model/time.ts'
import { generateRsaKey } from '../../src/runtime/keys.ts'

/** A certificate with its key, as servers and clients show it. */
export type Leaf = { certificate: string; key: Secret }

/** All that TLS tests need, made anew for each run. Runs under all three runtimes. */
export type Pki = {
  /** PEM. */
  ca: string
  otherCa: string
  /** For `localhost`, `compass.test` and 127.0.0.1. */
  server: Leaf
  expired: Leaf
  /** For another name only. */
  misnamed: Leaf
  /** Signed by the other CA. */
  strange: Leaf
  first: Leaf
  second: Leaf
  expiredClient: Leaf
  /** Signed by the other CA. */
  foreignClient: Leaf
}

type Kind = { usage: 'client' | 'server'; ca: Authority; from?: number; names?: string[] }

export async function makePki(): Promise<Pki> {
  const now = Date.now()
  const dates = { notBefore: now - DAY, notAfter: now + 30 * DAY }
  const [ours, other, keyOne, keyTwo] = await Promise.all([
    createCa({ commonName: 'Our CA', organization: 'Test', ...dates }),
    createCa({ commonName: 'Other CA', organization: 'Test', ...dates }),
    generateRsaKey(2048),
    generateRsaKey(2048),
  ])
  const issue = async (name: string, kind: Kind, keys = keyOne): Promise<Leaf> => {
    const { usage, ca, from = now - DAY, names = [] } = kind
    const certificate = await issueCertificate({
      ca,
      subject: [
        { type: 'O', value: 'Org' },
        { type: 'CN', value: name },
      ],
      publicKey: keys.publicKeyPem,
      notBefore: from,
      notAfter: from + 10 * DAY,
      usage,
      names,
    })
    return { certificate, key: keys.privateKeyPem }
  }
  const server = {
    usage: 'server',
    ca: ours,
    names: ['localhost', 'compass.test', '127.0.0.1'],
  } as const
  const names = [...server.names]
  const past = now - 100 * DAY
  return {
    ca: ours.certificate,
    otherCa: other.certificate,
    server: await issue('server', { ...server, names }),
    expired: await issue('expired', { ...server, names, from: past }),
    misnamed: await issue('misnamed', { ...server, names: ['example.test'] }),
    strange: await issue('strange', { ...server, names, ca: other }),
    first: await issue('first', { usage: 'client', ca: ours }),
    second: await issue('second', { usage: 'client', ca: ours }, keyTwo),
    expiredClient: await issue('late', { usage: 'client', ca: ours, from: past }),
    foreignClient: await issue('foreign', { usage: 'client', ca: other }),
  }
}

/** A client identity as openHttp takes it. */
export function identity({ certificate, key }: Leaf): { key: Secret; chain: string } {
  return { key, chain: certificate }
}
