import type { Connector } from '../clients/connector.ts'
import type { ParsedToken } from '../clients/token.ts'
import type { Identity, PendingEnrolment, TokenIntent } from '../model/identity.ts'
import { AgentError, type Code } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { DAY, formatInstant, HOUR, type Instant } from '../model/time.ts'
import {
  candidateOf,
  prepareRequest,
  proveAndPromote,
  readJournal,
  verifySigned,
  type CertificatePorts,
  type ExpectedRuntime,
  type Signed,
  type Signing,
} from './candidate.ts'
import { isOfStore } from './store.ts'
import { TOKEN_LIFE, tokenDue } from './token-due.ts'

export type EnrolOptions = CertificatePorts & {
  /** Missing: only what the journal holds can be finished. */
  token?: ParsedToken | undefined
  /** On the token port. Missing: only a certificate that is signed already can be proved. */
  connector?: Connector | undefined
  /** `runtime.id` of agent.yaml. */
  expectedRuntimeId?: string | undefined
  /** Of the identity that is replaced; a new token must be for the same runtime unless expectedRuntimeId says otherwise. */
  previousRuntimeId?: string | undefined
}

/**
 * Turns a one-time token into an identity, in steps that a crash may part anywhere. Before each call its stage is in the
 * journal; the next call of this function goes on from there:
 *
 * | stage | what is known to have happened | going on |
 * |---|---|---|
 * | none, `intent` | token 1 may have been sent | the same token again, as {@link tokenDue} lets |
 * | `signing` | token 2 may have been sent | the same CSR with the same token 2, as tokenDue lets |
 * | `signed` | the certificate is there | it is proved; nothing is signed |
 *
 * No answer can be had twice (observed-compass.md §1), so two answers cannot be saved by anyone when they are lost: then
 * tries go on until the token's hour is over, as a 400 may also be a Compass that is down, and status asks for a new
 * token. A token of another digest takes the place of every stage but a certificate that can still be proved.
 *
 * The identity in use is never touched before the new one has carried a call. One pass: nothing is tried twice here.
 *
 * @throws AgentError: of store, Connector and proof; token_missing, token_refused (with retryAfter: not due yet),
 * token_spent, subject_invalid, key_algorithm_unknown, certificate_invalid, not_a_runtime, runtime_mismatch
 */
export async function enrol(options: EnrolOptions): Promise<Identity> {
  await options.store.check()
  const journal = await readJournal(options.store)
  if (journal?.stage === 'signed') {
    const identity = await finishSigned(options, journal)
    if (identity !== undefined) return identity
  }
  const signing = await openSigning(options, journal)
  const signed = await sign(options, signing)
  return proveAndPromote(options, signed, expected(options))
}

function expected({ expectedRuntimeId, previousRuntimeId }: EnrolOptions): ExpectedRuntime {
  return expectedRuntimeId === undefined
    ? { id: previousRuntimeId, why: 'the identity before it was for' }
    : { id: expectedRuntimeId, why: 'runtime.id names' }
}

/** Failures that say something about the certificate, not about the network or the other side's health. */
const ANSWERED = new Set<Code>([
  'client_certificate_refused',
  'identity_refused',
  'not_a_runtime',
  'runtime_mismatch',
  'scope_missing',
  'tenant_wrong',
  'director_refused',
])

/** Proves what an earlier pass was given. undefined: it cannot become an identity, or a new token takes its place. */
async function finishSigned(options: EnrolOptions, signed: Signed): Promise<Identity | undefined> {
  const candidate = candidateOf(signed)
  if (candidate === undefined) return undefined
  const newToken = options.token !== undefined && options.token.digest !== signed.token?.digest
  const current = await currentIf(options, candidate)
  if (current !== undefined) {
    if (newToken) return undefined
    await options.store.clearPending()
    return current
  }
  const now = options.now()
  if (now >= candidate.notAfter + (newToken ? 0 : DAY)) return undefined
  try {
    return await proveAndPromote(options, signed, expected(options))
  } catch (thrown) {
    // A Director that cannot be reached for an hour may have moved; the person with the new token will know.
    const old = now - candidate.notBefore > HOUR
    if (newToken && thrown instanceof AgentError && (old || ANSWERED.has(thrown.code)))
      return undefined
    throw thrown
  }
}

/** A crash, or a store that fails, between promotion and the end of the journal leaves a stage that is done. */
async function currentIf(
  { store }: EnrolOptions,
  candidate: Identity,
): Promise<Identity | undefined> {
  const loaded = await store.load().catch(() => undefined) // a damaged identity is what enrolling heals
  return loaded?.identity.fingerprint === candidate.fingerprint ? loaded.identity : undefined
}

/** Everything up to the stage `signing` with one more attempt noted, ready to be sent. */
async function openSigning(
  options: EnrolOptions,
  journal: PendingEnrolment | undefined,
): Promise<Signing> {
  const { token } = options
  const known = journal?.token
  const same = token === undefined || token.digest === known?.digest
  if (known !== undefined && same && journal?.stage === 'signing') {
    connectorOf(options)
    return noteAttempt(options, journal, known)
  }
  if (token === undefined) {
    throw new AgentError('token_missing', 'Cannot enrol: there is no one-time token')
  }
  if (known !== undefined && same && journal?.stage === 'signed') {
    throw new AgentError('token_spent', 'Cannot enrol with this token again: it was used before')
  }
  const intent = same && known !== undefined ? known : newIntent(token, options.now())
  return configure(options, token.token, intent)
}

function newIntent({ digest, expiresAt }: ParsedToken, now: Instant): TokenIntent {
  return { digest, firstSeen: now, until: expiresAt ?? now + TOKEN_LIFE, attempts: [] }
}

async function configure(
  options: EnrolOptions,
  secret: Secret,
  intent: TokenIntent,
): Promise<Signing> {
  const connector = connectorOf(options)
  const start: PendingEnrolment = { stage: 'intent', kind: 'enrol', token: intent }
  const pending = await noteAttempt(options, start, intent)
  const makeRequest = prepareRequest(options.makeKey)
  return noteOutcome(options, pending, async (answered) => {
    const configuration = await connector.configuration({ token: secret }, options.call)
    answered()
    if (configuration.token === undefined) {
      throw new AgentError(
        'answer_malformed',
        'Cannot enrol: the Connector gave no token to sign with',
      )
    }
    const request = await makeRequest(configuration)
    const now = options.now()
    // Token 2 is another token, with a life and tries of its own; its first try follows at once.
    const until = Math.max(pending.token.until, now + TOKEN_LIFE)
    const token = { ...pending.token, until, attempts: [now] }
    const signing = { ...request, kind: 'enrol', token, signingToken: configuration.token } as const
    await options.store.savePending({ stage: 'signing', ...signing })
    return { stage: 'signing', ...signing }
  })
}

async function sign(options: EnrolOptions, signing: Signing): Promise<Signed> {
  const { signingToken } = signing
  if (signingToken === undefined) {
    throw new AgentError('token_spent', 'Cannot enrol with this token again: its successor is lost')
  }
  return noteOutcome(options, signing, async (answered) => {
    const connector = connectorOf(options)
    const answer = await connector.sign(signing.csr, { token: signingToken }, options.call)
    answered()
    const signed = await verifySigned(signing, answer, options.now())
    await options.store.savePending(signed)
    return signed
  })
}

function connectorOf({ connector }: EnrolOptions): Connector {
  if (connector !== undefined) return connector
  throw new AgentError(
    'connector_url_missing',
    'Cannot enrol: the address of the Connector is not known',
  )
}

/** More are not needed to count an hour's. */
const KEPT_ATTEMPTS = 12

/** Notes in the journal that the token is about to be sent, when it may be. */
async function noteAttempt<Stage extends PendingEnrolment>(
  { store, now: clock }: EnrolOptions,
  stage: Stage,
  intent: TokenIntent,
): Promise<Stage> {
  const now = clock()
  const due = tokenDue(intent, now)
  if (typeof due === 'string') throw noMore(due, intent)
  if (due.at > now) {
    const message = 'Cannot enrol yet: the token was refused and is tried at most 6 times an hour'
    throw new AgentError('token_refused', message, { retryAfter: due.at - now })
  }
  const attempts = [...intent.attempts, now].slice(-KEPT_ATTEMPTS)
  const noted = { ...stage, token: { ...intent, attempts } }
  await store.savePending(noted)
  return noted
}

function noMore(due: 'spent' | 'over', { firstSeen }: TokenIntent): AgentError {
  const why =
    due === 'spent'
      ? 'an answer of the Connector showed that it is spent'
      : `it was refused since ${formatInstant(firstSeen)} and its time is over`
  return new AgentError('token_spent', `Cannot enrol with this token again: ${why}`)
}

/** Nothing was sent: the proxy or the server's certificate was in the way. */
const NEVER_SENT = new Set<Code>([
  'tls_untrusted',
  'tls_name_mismatch',
  'tls_server_expired',
  'proxy_failed',
])

/** Nor where there was no connection: `detail.reason` as the operating system or the runtime names it. */
const NO_CONNECTION =
  /^(ECONNREFUSED|ConnectionRefused|FailedToOpenSocket|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT)$/

function wasNeverSent({ code, detail }: AgentError): boolean {
  if (NEVER_SENT.has(code)) return true
  const trouble = code === 'unreachable' || code === 'timed_out'
  return trouble && NO_CONNECTION.test(String(detail['reason']))
}

type WithToken = PendingEnrolment & { token?: TokenIntent }

/**
 * Runs one exchange and notes what its failure says of the token: spent when the Connector answered (`answered`, or
 * `detail.token` of clients/failure.ts), not tried when it was never sent. The error goes on to the caller.
 */
async function noteOutcome<T>(
  { store }: EnrolOptions,
  pending: WithToken,
  work: (answered: () => void) => Promise<T>,
): Promise<T> {
  let known = false
  try {
    return await work(() => (known = true))
  } catch (thrown) {
    const token = pending.token && outcome(pending.token, thrown, known)
    // When the journal cannot be written, it says less than is known, and the token is only tried more rarely or in vain.
    if (token) await store.savePending({ ...pending, token }).catch(() => undefined)
    throw thrown
  }
}

function outcome(token: TokenIntent, thrown: unknown, answered: boolean): TokenIntent | undefined {
  // It may have taken the next stage, with token 2 or the certificate, and failed after that: that must stay.
  if (thrown instanceof AgentError && isOfStore(thrown)) return undefined
  if (answered) return { ...token, spent: true }
  if (!(thrown instanceof AgentError)) return undefined
  // "Failed to authenticate" is an answer too, and may be trouble behind it (connector.md §9).
  if (thrown.detail['token'] === 'spent' && thrown.code !== 'token_refused') {
    return { ...token, spent: true }
  }
  return wasNeverSent(thrown) ? { ...token, attempts: token.attempts.slice(0, -1) } : undefined
}
