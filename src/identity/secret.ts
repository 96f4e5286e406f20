import type { Access, Kubernetes } from '../clients/kubernetes/api.ts'
import { SECRETS } from '../clients/kubernetes/api.ts'
import { lackOf } from '../clients/kubernetes/rights.ts'
import {
  changeSecret,
  readSecret,
  tryChange,
  type SecretChange,
  type SecretName,
  type SecretTexts,
} from '../clients/kubernetes/secrets.ts'
import type { Identity } from '../model/identity.ts'
import { AgentError, problem, type Problem } from '../model/problem.ts'
import type { Instant } from '../model/time.ts'
import { openCaSecret } from './secret-ca.ts'
import {
  changeTo,
  digestOfCurrent,
  KEYS,
  nameOf,
  needsLegacy,
  readCurrent,
  readPrevious,
  reasonOf,
  type Facts,
} from './secret-data.ts'
import { openSecretJournal, type SecretJournal } from './secret-journal.ts'
import { OF_STORE, verifyIdentity, type IdentityStore, type LoadedIdentity } from './store.ts'

/*
 * The identity in one Secret (secret-data.ts has its keys). Each change is one write by compare and swap, so that it is
 * there whole or not at all, wherever this process is killed. Two things another writer may have changed since we read
 * them are ours alone, and never written over: the current identity and the journal. Who finds one changed ends with
 * kubernetes_conflict, and reads all of it again.
 */

export type SecretStoreOptions = {
  kubernetes: Kubernetes
  secret: SecretName
  /** Gets the certificates of the authorities, as the Go agent does; what fails there is warned of, and no more. */
  caSecret?: SecretName
  /** What the Go agent keeps elsewhere; undefined: nothing is known. */
  legacy?: () => Promise<Facts | undefined>
  /** What else this agent must be allowed to do for a token to be well spent. */
  rights?: readonly Access[]
  warn: (problem: Problem) => void
  /** Another writer has changed identity or journal: what this agent knows of them is not true any more. */
  foreign?: (why: string) => void
  now: () => Instant
}

export type SecretStore = IdentityStore & {
  /** Brings the CA Secret in step with the identity, also after somebody deleted it. For the owner; never throws. */
  keepCa(): Promise<void>
  /**
   * Writes the identity in use again when somebody has removed or damaged it, and finds out when there is another one.
   * For the owner, now and then; never throws.
   */
  tend(): Promise<void>
  /** What is wrong with the CA Secret. */
  caProblem(): Problem | undefined
}

/** More than a journal needs; one Secret holds 1 MiB. */
const PROBE_CHARACTERS = 64 * 1024
const PROBE = 'runtime-agent.probe'

/** Calls are bounded by the client; a journal that is being written is not given up because the agent is asked to stop. */
const signal = new AbortController().signal

/** The rights that the store itself needs. */
export function identityRights({ namespace, name }: SecretName): Access[] {
  const right = (verb: string): Access => ({ verb, resource: SECRETS, namespace })
  return [{ ...right('get'), name }, { ...right('patch'), name }, right('create')]
}

/** The store in this Secret; nothing is read or written before its first call. */
export function openSecretStore(options: SecretStoreOptions): SecretStore {
  const foreign = (what: string): AgentError => changedBySomebody(options, what)
  const journal = openSecretJournal({ ...options, foreign })
  const kept: Kept = {
    options,
    journal,
    current: undefined,
    inUse: undefined,
    writing: false,
    foreign,
  }
  const ca = openCaSecret(options)
  const keepCa = async (): Promise<void> => {
    const { kubernetes, secret } = options
    const texts = await readSecret(kubernetes, secret, signal).catch(() => undefined)
    const chain = texts?.get(KEYS.chain)
    if (chain !== undefined) await ca.keep(chain)
  }
  return {
    keepCa,
    async tend() {
      // What cannot be asked now is asked again.
      await restore(kept).catch(() => undefined)
      await keepCa()
    },
    caProblem: () => ca.problem(),
    load: () => marked(() => load(kept)),
    promote: async (identity) => {
      verifyIdentity(identity)
      kept.writing = true
      await marked(() => promote(kept, identity)).finally(() => (kept.writing = false))
      await ca.keep(identity.chain)
    },
    forget: () => marked(() => forget(kept)),
    check: () => marked(() => check(kept)),
    savePending: (pending) => marked(() => journal.save(pending)),
    loadPending: () => marked(() => journal.load()),
    clearPending: () => marked(() => journal.clear()),
  }
}

/** What this process knows of the Secret. */
type Kept = {
  options: SecretStoreOptions
  journal: SecretJournal
  /** What the current identity was when we last read or wrote it; `value` undefined: there was none. */
  current: { value: string | undefined } | undefined
  /** What was loaded or promoted last. */
  inUse: Identity | undefined
  /** What is read meanwhile says nothing. */
  writing: boolean
  foreign: (what: string) => AgentError
}

/** Errors of the store are told apart from those of Compass: they say nothing of a token or a certificate. */
async function marked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (!(thrown instanceof AgentError)) throw thrown
    const { code, message, class: kind, hint, turn, subject, retryAfter, detail } = thrown
    const options = { class: kind, hint, turn, subject, retryAfter, cause: thrown.cause }
    throw new AgentError(code, message, { ...options, detail: { ...detail, ...OF_STORE } })
  }
}

async function load(kept: Kept): Promise<LoadedIdentity | undefined> {
  kept.inUse = undefined
  const loaded = await read(kept)
  kept.inUse = loaded?.identity
  return loaded
}

async function read(kept: Kept): Promise<LoadedIdentity | undefined> {
  const { kubernetes, secret } = kept.options
  const texts: SecretTexts = (await readSecret(kubernetes, secret, signal)) ?? new Map()
  kept.current = { value: digestOfCurrent(texts) }
  if (kept.current.value === undefined && !texts.get(KEYS.previous)) return undefined
  const legacy = await legacyFacts(kept, texts)
  try {
    return { identity: readCurrent(texts, legacy) }
  } catch (thrown) {
    const why = `Cannot use the identity in ${nameOf(secret)}: ${reasonOf(thrown)}`
    try {
      return { identity: readPrevious(texts), fallback: fallback(why) }
    } catch (other) {
      throw new AgentError('identity_unreadable', `${why}; nor the one before: ${reasonOf(other)}`)
    }
  }
}

function fallback(why: string): Problem {
  return problem('identity_unreadable', `${why}; the one before is used instead`, {
    hint: 'look at the Secret; the next renewal writes a new one, agent renew does so at once',
  })
}

/** What is told of a certificate by the objects of the Go agent, where our own key is not for it. */
async function legacyFacts(
  { options: { legacy } }: Kept,
  texts: SecretTexts,
): Promise<Facts | undefined> {
  return needsLegacy(texts) ? await legacy?.() : undefined
}

async function promote(kept: Kept, identity: Identity): Promise<void> {
  const { kubernetes, secret, now } = kept.options
  let written: SecretChange = {}
  const change = async (found: SecretTexts | undefined): Promise<SecretChange> => {
    const texts: SecretTexts = found ?? new Map()
    const legacy = await legacyFacts(kept, texts)
    assertOursToReplace(kept, identity, { texts, legacy })
    written = changeTo(identity, texts, { at: now(), legacy })
    verifyIdentity(readCurrent(new Map(Object.entries(written).map(asText)), undefined))
    return written
  }
  await changeSecret(kubernetes, secret, change, signal)
  kept.current = { value: digestOfCurrent(new Map(Object.entries(written).map(asText))) }
  kept.inUse = identity
}

/** A pod that ends before its next renewal would leave nothing behind. */
async function restore(kept: Kept): Promise<void> {
  const { inUse, options } = kept
  const { kubernetes, secret, warn } = options
  if (inUse === undefined || hasChanged(kept, inUse)) return
  const texts: SecretTexts = (await readSecret(kubernetes, secret, signal)) ?? new Map()
  const value = digestOfCurrent(texts)
  if (value === kept.current?.value || hasChanged(kept, inUse)) return
  const there = usable(texts, await legacyFacts(kept, texts))
  if (there === undefined) {
    await promote(kept, inUse)
    const message = `The identity in ${nameOf(secret)} was removed or damaged by somebody: it was written again`
    const hint = 'agent disconnect is the way to end it'
    warn(problem('identity_unreadable', message, { hint }))
  } else if (there.fingerprint === inUse.fingerprint) kept.current = { value }
  else kept.foreign('the identity')
}

/** Whether what was read a moment ago may be of another time than what we know. */
function hasChanged({ writing, inUse }: Kept, then: Identity): boolean {
  return writing || inUse !== then
}

function usable(texts: SecretTexts, legacy: Facts | undefined): Identity | undefined {
  try {
    return readCurrent(texts, legacy)
  } catch {
    return undefined
  }
}

function asText([key, text]: [string, string | null]): [string, string] {
  return [key, text ?? '']
}

/**
 * An identity that can be used and that we have not seen is another writer's, and newer. One that cannot is damage; one
 * that is just what is to be written came there by a write of ours whose answer was lost.
 */
function assertOursToReplace(
  kept: Kept,
  identity: Identity,
  { texts, legacy }: { texts: SecretTexts; legacy: Facts | undefined },
): void {
  const value = digestOfCurrent(texts)
  if (kept.current === undefined || value === undefined || value === kept.current.value) return
  const there = usable(texts, legacy)
  if (there === undefined || there.fingerprint === identity.fingerprint) return
  throw kept.foreign('the identity')
}

function changedBySomebody({ secret, foreign }: SecretStoreOptions, what: string): AgentError {
  const message = `Cannot write ${nameOf(secret)}: ${what} in it was changed by somebody else`
  foreign?.(message)
  return new AgentError('kubernetes_conflict', message, {
    hint: 'is another agent at work on this Secret? What it wrote is kept, and read again',
  })
}

async function forget(kept: Kept): Promise<void> {
  const { kubernetes, secret } = kept.options
  const change = (texts: SecretTexts | undefined): SecretChange | undefined => {
    const there = Object.values(KEYS).filter((key) => texts?.has(key) === true)
    return there.length === 0 ? undefined : Object.fromEntries(there.map((key) => [key, null]))
  }
  await changeSecret(kubernetes, secret, change, signal)
  kept.current = { value: undefined }
  kept.inUse = undefined
  kept.journal.forgotten()
}

async function check(kept: Kept): Promise<void> {
  const { kubernetes, secret, rights = [] } = kept.options
  const denied = await kubernetes.denied([...identityRights(secret), ...rights], signal)
  const mayGet = !denied.some(({ verb, name }) => verb === 'get' && name === secret.name)
  const found = mayGet && (await kubernetes.get(SECRETS, secret, signal)) !== undefined
  // Whoever finds the Secret made by somebody else need not be able to make it.
  const missing = denied.filter(
    ({ verb, name }) => !(found && verb === 'create' && name === undefined),
  )
  if (missing.length > 0) throw lackOf(missing)
  const wanted = { [PROBE]: 'x'.repeat(PROBE_CHARACTERS) }
  await tryChange(kubernetes, secret, { found, wanted }, signal)
  await kept.journal.saveUnsaved()
}
