import type { Instant } from './time.ts'
import type { Secret } from './secret.ts'

/** Where the management plane answers over mTLS; from the Connector's `configuration`, stored with the certificate, never derived. */
export type Plane = { connectorUrl: string; directorUrl: string }

/** A client key with its certificate, verified to belong together. Serial numbers are all 2: the fingerprint tells them apart. */
export type Identity = {
  /** PKCS#8 PEM. */
  key: Secret
  /** PEM blocks: client certificate, then its issuers; this is what a TLS client sends. */
  chain: string
  /** SHA-256 of the client certificate's DER, 64 lower-case hex characters. */
  fingerprint: string
  /** RFC 4514 text as the certificate has it. CN is the id of the system auth, not of the runtime. */
  subject: string
  notBefore: Instant
  notAfter: Instant
  plane: Plane
  /** Learned from `viewer` over mTLS. */
  runtimeId: string
}

/** A one-time token as the operator gave it, told apart by digest only. */
export type TokenIntent = {
  /** SHA-256 hex of the token. */
  digest: string
  firstSeen: Instant
  /** When the token stops to live: its own `expiresAt`, or 60 minutes after firstSeen. */
  until: Instant
  /** When it was sent to the Connector. */
  attempts: Instant[]
  /** Set when the answer proved that the token is gone (an answer came, or was lost after it was sent on). */
  spent?: boolean
}

/**
 * The journal of one enrolment or renewal: each stage is stored before the call that needs it (design §6 Enrolment).
 *
 * - `intent`: a token is about to be sent (enrolment only).
 * - `signing`: key, CSR, subject, URLs and token 2 are stored; the signing call may have been made.
 * - `signed`: the certificate is stored and verified; it has not yet carried a successful call.
 */
export type PendingEnrolment =
  | { stage: 'intent'; kind: 'enrol'; token: TokenIntent }
  | ({ stage: 'signing' } & Signing)
  | ({ stage: 'signed'; chain: string } & Signing)

type Signing = {
  /** Missing: a renewal over mTLS. */
  token?: TokenIntent
  kind: 'enrol' | 'renew'
  key: Secret
  /** PEM. */
  csr: string
  subject: string
  plane: Plane
  /** Token 2, the only one that works for the signing call of an enrolment. */
  signingToken?: Secret
}
