import type { Connector } from '../clients/connector.ts'
import type { Identity, PendingEnrolment } from '../model/identity.ts'
import { AgentError, type Code } from '../model/problem.ts'
import type { Instant } from '../model/time.ts'
import {
  candidateOf,
  prepareRequest,
  promote,
  proveAndPromote,
  readJournal,
  verifySigned,
  type CertificatePorts,
  type Signed,
  type Signing,
} from './candidate.ts'
import { isOfStore } from './store.ts'

export type RenewOptions = CertificatePorts & {
  /** The one in use. */
  identity: Identity
  /** Over mTLS with that identity. */
  connector: Connector
}

/** Below this part of its life left, an identity is replaced by one that could not be proved (design §6 Renewal). */
const EMERGENCY = 1 / 20

/**
 * Gets a new certificate, with a new key, over the old one, which stays as it is until the new one has carried a call.
 *
 * At most one signing call a pass. When its answer is lost, the next pass sends the same CSR again: over mTLS that works
 * any number of times. A signed certificate that cannot be proved because of the network stays in the journal and is
 * proved first by the next pass; with under 5 % of the old one's life left it is taken unproved. One that is refused,
 * is for another runtime, or does not get through where the old one does, is dropped; the old identity goes on.
 *
 * @throws AgentError: of store, Connector and proof; subject_invalid, key_algorithm_unknown, certificate_invalid,
 * not_a_runtime, runtime_mismatch
 */
export async function renew(options: RenewOptions): Promise<Identity> {
  const { store } = options
  await store.check()
  const journal = await readJournal(store)
  if (journal?.stage === 'signed' && isAnother(options, journal)) return prove(options, journal)
  const signing = isOurs(journal) ? journal : await openSigning(options)
  return prove(options, await sign(options, signing))
}

/** Whether what an earlier pass was given is worth a proof: not the one in use (a crash before the end), not expired. */
function isAnother({ identity, now }: RenewOptions, signed: Signed): boolean {
  const candidate = candidateOf(signed)
  if (candidate === undefined || candidate.fingerprint === identity.fingerprint) return false
  return candidate.notAfter > now()
}

function isBetter(options: RenewOptions, signed: Signed): boolean {
  const lasts = candidateOf(signed)?.notAfter ?? 0
  return isAnother(options, signed) && lasts > options.identity.notAfter
}

function isOurs(journal: PendingEnrolment | undefined): journal is Signing {
  return journal?.stage === 'signing' && journal.kind === 'renew'
}

async function openSigning({ store, connector, call, makeKey }: RenewOptions): Promise<Signing> {
  const makeRequest = prepareRequest(makeKey)
  const configuration = await connector.configuration('mtls', call)
  const request = await makeRequest(configuration)
  const signing: Signing = { stage: 'signing', kind: 'renew', ...request }
  await store.savePending(signing)
  return signing
}

/** Answers after which the same CSR would get the same again: the next pass begins anew. */
const HOPELESS = new Set<Code>(['csr_refused', 'certificate_invalid'])

async function sign(options: RenewOptions, signing: Signing): Promise<Signed> {
  const { store, connector, call, now } = options
  const signed = await droppedOn(HOPELESS, options, async () => {
    const answer = await connector.sign(signing.csr, 'mtls', call)
    return verifySigned(signing, answer, now())
  })
  await store.savePending(signed)
  return signed
}

/** Answers that are about the new certificate and final. */
const REFUSED = new Set<Code>(['client_certificate_refused', 'not_a_runtime', 'runtime_mismatch'])

async function prove(options: RenewOptions, signed: Signed): Promise<Identity> {
  const { identity, store, now } = options
  const expected = { id: identity.runtimeId, why: 'the identity in use is for' }
  try {
    return await droppedOn(REFUSED, options, () => proveAndPromote(options, signed, expected))
  } catch (thrown) {
    // A store that fails is no reason to do without the proof: promotion failed, not the proof.
    const unproved = thrown instanceof AgentError && !REFUSED.has(thrown.code) && !isOfStore(thrown)
    if (!unproved) throw thrown
    if (DOUBTFUL.has(thrown.code) && (await works(options))) {
      await store.clearPending()
      throw thrown
    }
    if (!isEmergency(identity, now()) || !isBetter(options, signed)) throw thrown
    return promote(store, signed, identity.runtimeId)
  }
}

/** Trouble on the way, or a server that refuses the new certificate without saying so: the old one tells which. */
const DOUBTFUL = new Set<Code>(['unreachable', 'tls_failed', 'identity_refused'])

async function works({ identity, prove: ask, call }: RenewOptions): Promise<boolean> {
  return ask(identity, call).then(
    () => true,
    () => false,
  )
}

function isEmergency({ notBefore, notAfter }: Identity, now: Instant): boolean {
  return notAfter - now < (notAfter - notBefore) * EMERGENCY
}

/** Runs `work`; ends the journal when it fails with one of these. The error goes on to the caller. */
async function droppedOn<T>(
  codes: ReadonlySet<Code>,
  { store }: RenewOptions,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (thrown instanceof AgentError && codes.has(thrown.code)) await store.clearPending()
    throw thrown
  }
}
