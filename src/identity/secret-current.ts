import type { Kubernetes } from '../clients/kubernetes/api.ts'
import {
  changeSecret,
  readSecret,
  type SecretChange,
  type SecretName,
  type SecretTexts,
} from '../clients/kubernetes/secrets.ts'
import type { Identity } from '../model/identity.ts'
import { AgentError, problem, type Problem } from '../model/problem.ts'
import type { Instant } from '../model/time.ts'
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
import { verifyIdentity, type LoadedIdentity } from './store.ts'

/** The current identity in its Secret, with the one before beside it. */
export type SecretCurrent = {
  load(): Promise<LoadedIdentity | undefined>
  promote(identity: Identity): Promise<void>
  /**
   * Writes again what somebody has removed, damaged or set back since it was loaded or promoted; another identity is
   * foreign.
   */
  restore(): Promise<void>
  /** Takes note that all of the Secret was emptied. */
  forgotten(): void
}

export type SecretCurrentOptions = {
  kubernetes: Kubernetes
  secret: SecretName
  legacy?: () => Promise<Facts | undefined>
  warn: (problem: Problem) => void
  /** The error for an identity that another writer has put there. */
  foreign: (what: string) => AgentError
  now: () => Instant
}

type Kept = SecretCurrentOptions & {
  /** Digest of the current identity when we last read or wrote it; `value` undefined: there was none. */
  current: { value: string | undefined } | undefined
  /** What was loaded or promoted last. */
  inUse: Identity | undefined
  /** What is read meanwhile says nothing. */
  writing: boolean
}

/** Bounded by the client: what is being written is not given up because the agent is asked to stop. */
const { signal } = new AbortController()

export function openSecretCurrent(options: SecretCurrentOptions): SecretCurrent {
  const kept: Kept = { ...options, current: undefined, inUse: undefined, writing: false }
  return {
    load: () => load(kept),
    async promote(identity) {
      kept.writing = true
      await promote(kept, identity).finally(() => (kept.writing = false))
    },
    restore: () => restore(kept),
    forgotten() {
      kept.current = { value: undefined }
      kept.inUse = undefined
    },
  }
}

async function load(kept: Kept): Promise<LoadedIdentity | undefined> {
  kept.inUse = undefined
  const loaded = await read(kept)
  kept.inUse = loaded?.identity
  return loaded
}

async function read(kept: Kept): Promise<LoadedIdentity | undefined> {
  const { kubernetes, secret } = kept
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
async function legacyFacts({ legacy }: Kept, texts: SecretTexts): Promise<Facts | undefined> {
  return needsLegacy(texts) ? await legacy?.() : undefined
}

async function promote(kept: Kept, identity: Identity): Promise<void> {
  const { kubernetes, secret, now } = kept
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
  const { inUse, kubernetes, secret, warn } = kept
  if (inUse === undefined || hasChanged(kept, inUse)) return
  const texts: SecretTexts = (await readSecret(kubernetes, secret, signal)) ?? new Map()
  const value = digestOfCurrent(texts)
  if (value === kept.current?.value || hasChanged(kept, inUse)) return
  const there = usable(texts, await legacyFacts(kept, texts))
  if (there === undefined || isOlder(there, inUse)) {
    await promote(kept, inUse)
    const what = there === undefined ? 'removed or damaged by somebody' : 'set back to an older one'
    const message = `The identity in ${nameOf(secret)} was ${what}: it was written again`
    const hint = 'agent disconnect is the way to end it'
    warn(problem('identity_unreadable', message, { hint }))
  } else if (there.fingerprint === inUse.fingerprint) kept.current = { value }
  else kept.foreign('the identity')
}

/** One of before came back, as from a backup of the cluster: it may have expired, and ours is nowhere else. */
function isOlder(there: Identity, inUse: Identity): boolean {
  return there.runtimeId === inUse.runtimeId && there.notBefore < inUse.notBefore
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
  if (kept.inUse !== undefined && isOlder(there, kept.inUse)) return
  throw kept.foreign('the identity')
}
