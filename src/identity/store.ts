import type { Identity, PendingEnrolment, Plane } from '../model/identity.ts'
import { AgentError, type Problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { formatInstant } from '../model/time.ts'
import { certificateInfo, splitPem } from '../runtime/keys.ts'

/**
 * Where the identity and the journal of its enrolment or renewal are kept. Each call is all or nothing, also when the
 * process is killed in it; what was there before stays usable until the new one is.
 */
export interface IdentityStore {
  /**
   * The current identity; an older one with `fallback`, which says why, when the current one cannot be used; undefined
   * when there never was one. Dates are not looked at: an expired identity loads.
   *
   * Throws identity_unreadable when there is something, and none of it can be used; nothing is deleted then.
   */
  load(): Promise<LoadedIdentity | undefined>
  savePending(pending: PendingEnrolment): Promise<void>
  /** Throws identity_unreadable on a damaged journal; the next savePending lays that aside. */
  loadPending(): Promise<PendingEnrolment | undefined>
  clearPending(): Promise<void>
  /** Makes the identity current once it is stored and verified as stored. Throws certificate_invalid, or a disk's error. */
  promote(identity: Identity): Promise<void>
  /** Ends what promote and savePending began, when a person disconnects the runtime: no identity and no journal is left. */
  forget(): Promise<void>
  /** Proves by writing that the calls above can succeed; asked before a token is spent. */
  check(): Promise<void>
}

/** Detail of an AgentError of a store whose codes are also those of servers (kubernetes_failed, unreachable, …). */
export const OF_STORE = { store: 'identity' } as const

/**
 * Whether the store itself failed: that says nothing of a token, a certificate or a server, and the store may have kept
 * all the same what it was given.
 */
export function isOfStore({ code, detail }: AgentError): boolean {
  if (code === 'disk_full' || code === 'disk_failed' || code === 'identity_unreadable') return true
  return detail['store'] === OF_STORE.store
}

export type LoadedIdentity = { identity: Identity; fallback?: Problem }

/** What an identity is made of; the rest is read from the certificate. */
export type IdentityParts = { key: Secret; chain: string; plane: Plane; runtimeId: string }

/** Real chains have two or three certificates and some 4 KB. */
const LONGEST_CHAIN = 256 * 1024
const MOST_CERTIFICATES = 16

/**
 * The identity made of these parts, verified: the first certificate of the chain is for the key, the next one (if any)
 * issued it, all can be read, NotBefore is before NotAfter. Whether it is valid now is asked elsewhere: at enrolment by
 * candidate.ts, in the end by the server. A chain without its CA is fine: the TLS front knows it (observed-compass.md §3).
 *
 * @throws AgentError certificate_invalid
 */
export function identityOf({ key, chain, plane, runtimeId }: IdentityParts): Identity {
  if (chain.length > LONGEST_CHAIN) throw unfit(`its chain has ${chain.length} characters`)
  const blocks = splitPem(chain)
  const [leaf, ...issuers] = blocks
  if (leaf === undefined) throw unfit('its chain holds no certificate')
  if (blocks.length > MOST_CERTIFICATES) throw unfit(`its chain has ${blocks.length} certificates`)
  const certificate = certificateInfo(leaf)
  const { fingerprint, subject, notBefore, notAfter } = certificate
  if (!certificate.publicKeyMatches(key)) {
    const elsewhere = issuers.some((block) => certificateInfo(block).publicKeyMatches(key))
    throw unfit(elsewhere ? 'its chain is in the wrong order' : 'it is for another key')
  }
  issuers.forEach((block) => certificateInfo(block))
  if (issuers[0] !== undefined && !isIssuedBy(leaf, issuers[0])) {
    throw unfit('the next certificate of its chain did not issue it')
  }
  if (!(notBefore < notAfter)) {
    throw unfit(`it is valid from ${formatInstant(notBefore)} to ${formatInstant(notAfter)}`)
  }
  return {
    key,
    chain: blocks.join(''),
    fingerprint,
    subject,
    notBefore,
    notAfter,
    plane,
    runtimeId,
  }
}

function isIssuedBy(leaf: string, issuer: string): boolean {
  try {
    return certificateInfo(leaf).issuedBy(issuer)
  } catch {
    return false // a key of another kind than the signature
  }
}

/**
 * Checks that an identity is what it says: all of {@link identityOf}, and fingerprint and dates those of its certificate.
 *
 * @throws AgentError certificate_invalid
 */
export function verifyIdentity(identity: Identity): void {
  const real = identityOf(identity)
  const same =
    real.fingerprint === identity.fingerprint &&
    real.notBefore === identity.notBefore &&
    real.notAfter === identity.notAfter
  if (!same) throw unfit('it is another one than the identity says')
  if (identity.runtimeId === '') throw unfit('it is not known for which runtime it is')
}

function unfit(why: string): AgentError {
  return new AgentError('certificate_invalid', `Cannot use the client certificate: ${why}`)
}
