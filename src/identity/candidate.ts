import type { Call, Connector, ConnectorConfiguration } from '../clients/connector.ts'
import type { Identity, PendingEnrolment, Plane } from '../model/identity.ts'
import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { DAY, formatInstant, type Duration, type Instant } from '../model/time.ts'
import { generateRsaKey } from '../runtime/keys.ts'
import { identityOf, type IdentityStore } from './store.ts'
import { formatSubject, parseSubject, subjectFits, type DistinguishedName } from './subject.ts'

/*
 * What enrolment and renewal share: from the Connector's configuration to a CSR, from its answer to a verified
 * candidate, from that by one mTLS call to an identity.
 */

/** A key and certificate that are to be proved. */
export type Candidate = { key: Secret; chain: string; plane: Plane }

/** One mTLS call with the candidate: the Director's `viewer`. Throws AgentError when there is no answer. */
export type Prove = (candidate: Candidate, call: Call) => Promise<{ id: string; type: string }>

/** A new RSA key as PKCS#8 PEM. */
export type MakeKey = (bits: number) => Promise<Secret>

/** What both ways to a certificate need. */
export type CertificatePorts = {
  store: IdentityStore
  prove: Prove
  /** Corrected by the server's time where that is known. */
  now: () => Instant
  call: Call
  /** runtime/keys.ts when missing. */
  makeKey?: MakeKey | undefined
}

export type Signing = Extract<PendingEnrolment, { stage: 'signing' }>
export type Signed = Extract<PendingEnrolment, { stage: 'signed' }>

/** `keyAlgorithm` of the Connector → bits. Others are refused, not guessed: a wrong key spends the token. */
const BITS: ReadonlyMap<string, number> = new Map([
  ['rsa2048', 2048],
  ['rsa3072', 3072],
  ['rsa4096', 4096],
])
const USUAL_BITS = 2048

/**
 * A certificate that expired longer ago is refused on sight. A fresh one that only seems expired is left to the proof
 * over mTLS: the clock that is wrong may be ours, and the token behind it is spent.
 */
const CLOCK_LEEWAY: Duration = DAY

/** Key and CSR for a configuration that may come later. */
type RequestMaker = (
  configuration: ConnectorConfiguration,
) => Promise<{ key: Secret; csr: string; subject: string; plane: Plane }>

/**
 * Starts what takes time, so that it runs while `configuration` does: a key of the usual size and the X.509 library.
 * The less time between that answer and the journal, the smaller the gap in which a crash costs a token.
 *
 * The maker throws subject_invalid and key_algorithm_unknown before anything is made.
 */
export function prepareRequest(makeKey: MakeKey = makeRsaKey): RequestMaker {
  const usualKey = makeKey(USUAL_BITS)
  const library = import('./x509.ts')
  for (const early of [usualKey, library]) early.catch(() => undefined) // thrown where it is awaited
  return async ({ subject, keyAlgorithm, plane }) => {
    const bits = BITS.get(keyAlgorithm.toLowerCase())
    if (bits === undefined) throw unknownAlgorithm(keyAlgorithm)
    const name = parseSubject(subject)
    const key = await (bits === USUAL_BITS ? usualKey : makeKey(bits))
    const csr = await (await library).createCsr({ subject: name, key })
    return { key, csr, subject, plane }
  }
}

async function makeRsaKey(bits: number): Promise<Secret> {
  return (await generateRsaKey(bits)).privateKeyPem
}

function unknownAlgorithm(name: string): AgentError {
  const shown = /^[\w.-]{1,40}$/.test(name) ? name : 'a name that is none'
  const known = [...BITS.keys()].join(', ')
  return new AgentError(
    'key_algorithm_unknown',
    `Cannot make a key for the Connector: it asks for ${shown}, known are ${known}`,
  )
}

/** The answer to the signing call. */
type Answer = Awaited<ReturnType<Connector['sign']>>

/**
 * The stage after `signing`, once the certificate is for our key, in a chain in order, for the subject that was asked,
 * and not long expired.
 *
 * @throws AgentError certificate_invalid
 */
export async function verifySigned(
  signing: Signing,
  answer: Answer,
  now: Instant,
): Promise<Signed> {
  const identity = identityOf({ ...signing, chain: answer.chain, runtimeId: '' })
  if (now - identity.notAfter >= CLOCK_LEEWAY) {
    throw unfit(`it has expired on ${formatInstant(identity.notAfter)}`)
  }
  const { certificateSubject } = await import('./x509.ts')
  const asked = parseSubject(signing.subject)
  const got = readSubject(identity.chain, certificateSubject)
  if (!subjectFits(asked, got)) throw unfit(`it is for ${shown(got)}, asked was ${shown(asked)}`)
  return { ...signing, stage: 'signed', chain: identity.chain }
}

function readSubject(chain: string, read: (chain: string) => DistinguishedName): DistinguishedName {
  try {
    return read(chain)
  } catch {
    throw unfit('its subject cannot be read')
  }
}

function shown(name: DistinguishedName): string {
  return formatSubject(name).slice(0, 200)
}

function unfit(why: string): AgentError {
  return new AgentError(
    'certificate_invalid',
    `Cannot use the certificate of the Connector: ${why}`,
  )
}

/** The identity that a journal at stage `signed` would become; undefined when it does not fit together any more. */
export function candidateOf(signed: Signed): Identity | undefined {
  try {
    return identityOf({ ...signed, runtimeId: '' })
  } catch {
    return undefined
  }
}

/** Whose certificate a candidate must be; undefined: any runtime's. */
export type ExpectedRuntime = { id: string | undefined; why: string }

/**
 * Proves the candidate with one mTLS call, makes it current and ends the journal.
 *
 * @throws AgentError of the call; not_a_runtime; runtime_mismatch; of the store
 */
export async function proveAndPromote(
  ports: CertificatePorts,
  signed: Signed,
  expected: ExpectedRuntime,
): Promise<Identity> {
  const { key, chain, plane } = signed
  const viewer = await ports.prove({ key, chain, plane }, ports.call)
  if (viewer.type.toUpperCase() !== 'RUNTIME') {
    const shown = viewer.type.slice(0, 40)
    throw new AgentError(
      'not_a_runtime',
      `Cannot use the certificate: it is for ${shown}, no runtime`,
    )
  }
  if (expected.id !== undefined && expected.id.toLowerCase() !== viewer.id.toLowerCase()) {
    throw new AgentError(
      'runtime_mismatch',
      `Cannot use the certificate: it is for runtime ${viewer.id.slice(0, 80)}, ${expected.why} ${expected.id}`,
    )
  }
  return promote(ports.store, signed, viewer.id)
}

/**
 * Makes the candidate current and ends the journal. That is done once it is current: a journal that could not be ended
 * is one that whoever reads it next knows to be over.
 */
export async function promote(
  store: IdentityStore,
  signed: Signed,
  runtimeId: string,
): Promise<Identity> {
  const { key, chain, plane } = signed
  const identity = identityOf({ key, chain, plane, runtimeId })
  await store.promote(identity)
  await store.clearPending().catch((thrown: unknown) => {
    if (!(thrown instanceof AgentError)) throw thrown
  })
  return identity
}

/** The journal; a damaged one counts as none, as the next write lays it aside (store.ts). */
export async function readJournal(store: IdentityStore): Promise<PendingEnrolment | undefined> {
  try {
    return await store.loadPending()
  } catch (thrown) {
    if (thrown instanceof AgentError && thrown.code === 'identity_unreadable') return undefined
    throw thrown
  }
}
