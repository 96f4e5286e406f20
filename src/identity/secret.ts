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
import { AgentError, type Problem } from '../model/problem.ts'
import type { Instant } from '../model/time.ts'
import { openCaSecret } from './secret-ca.ts'
import { openSecretCurrent } from './secret-current.ts'
import { KEYS, nameOf, type Facts } from './secret-data.ts'
import { openSecretJournal } from './secret-journal.ts'
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
  /**
   * Reads the identity for the next `load`, which then asks nobody. Throws what may be over soon: an agent that goes on
   * without its identity because of that would ask for a token.
   */
  begin(): Promise<void>
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
  const current = openSecretCurrent({ ...options, foreign })
  const ca = openCaSecret(options)
  /** What `begin` has found. */
  let begun: (() => Promise<LoadedIdentity | undefined>) | undefined
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
      await current.restore().catch(() => undefined)
      await keepCa()
    },
    caProblem: () => ca.problem(),
    async begin() {
      begun = undefined
      begun = await settled(() => marked(() => current.load()))
    },
    load() {
      const found = begun ?? (() => marked(() => current.load()))
      begun = undefined
      return found()
    },
    async promote(identity) {
      verifyIdentity(identity)
      begun = undefined
      await marked(() => current.promote(identity))
      await ca.keep(identity.chain)
    },
    async forget() {
      begun = undefined
      await marked(() => empty(options))
      current.forgotten()
      journal.forgotten()
    },
    check: () =>
      marked(async () => {
        await check(options)
        await journal.saveUnsaved()
      }),
    savePending: (pending) => marked(() => journal.save(pending)),
    loadPending: () => marked(() => journal.load()),
    clearPending: () => marked(() => journal.clear()),
  }
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

function changedBySomebody({ secret, foreign }: SecretStoreOptions, what: string): AgentError {
  const message = `Cannot write ${nameOf(secret)}: ${what} in it was changed by somebody else`
  foreign?.(message)
  return new AgentError('kubernetes_conflict', message, {
    hint: 'is another agent at work on this Secret? What it wrote is kept, and read again',
  })
}

/** What the next who asks is told: what was found, or that it cannot be used. Other failures are thrown at once. */
async function settled<T>(work: () => Promise<T>): Promise<() => Promise<T>> {
  try {
    const found = await work()
    return () => Promise.resolve(found)
  } catch (thrown) {
    if (!(thrown instanceof AgentError) || thrown.code !== 'identity_unreadable') throw thrown
    return () => Promise.reject(thrown)
  }
}

async function empty({ kubernetes, secret }: SecretStoreOptions): Promise<void> {
  const change = (texts: SecretTexts | undefined): SecretChange | undefined => {
    const there = Object.values(KEYS).filter((key) => texts?.has(key) === true)
    return there.length === 0 ? undefined : Object.fromEntries(there.map((key) => [key, null]))
  }
  await changeSecret(kubernetes, secret, change, signal)
}

async function check({ kubernetes, secret, rights = [] }: SecretStoreOptions): Promise<void> {
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
}
