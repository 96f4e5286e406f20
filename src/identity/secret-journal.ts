import type { Kubernetes } from '../clients/kubernetes/api.ts'
import {
  changeSecret,
  isLostRace,
  readSecret,
  type SecretChange,
  type SecretName,
  type SecretTexts,
} from '../clients/kubernetes/secrets.ts'
import type { PendingEnrolment } from '../model/identity.ts'
import { AgentError } from '../model/problem.ts'
import { decodePending, encodePending } from './journal.ts'
import { KEYS, nameOf, reasonOf } from './secret-data.ts'

/** The journal of an enrolment or renewal as a key of the identity Secret. */
export type SecretJournal = {
  save(pending: PendingEnrolment): Promise<void>
  load(): Promise<PendingEnrolment | undefined>
  clear(): Promise<void>
  /** Writes a stage that could not be written when it was to be. */
  saveUnsaved(): Promise<void>
  /** Takes note that all of the Secret was emptied. */
  forgotten(): void
}

export type SecretJournalOptions = {
  kubernetes: Kubernetes
  secret: SecretName
  /** The error for a journal that another writer has changed. */
  foreign: (what: string) => AgentError
}

type Kept = SecretJournalOptions & {
  /** What the journal was when we last read or wrote it; `text` undefined: there was none. */
  seen: Seen | undefined
  /**
   * A stage that could not be written. What a spent token brought is nowhere else, so that it stays until the API server
   * takes it, which the next call asks for; unless another agent has gone on with the journal since.
   */
  unsaved: { text: string; over: Seen | undefined } | undefined
}

type Seen = { text: string | undefined }

/** Bounded by the client: what is being written is not given up because the agent is asked to stop. */
const signal = new AbortController().signal

export function openSecretJournal(options: SecretJournalOptions): SecretJournal {
  const kept: Kept = { ...options, seen: undefined, unsaved: undefined }
  return {
    save: (pending) => save(kept, pending),
    load: () => load(kept),
    clear: () => write(kept, undefined),
    saveUnsaved: () => saveUnsaved(kept),
    forgotten() {
      kept.seen = { text: undefined }
      kept.unsaved = undefined
    },
  }
}

async function save(kept: Kept, pending: PendingEnrolment): Promise<void> {
  const text = encodePending(pending)
  try {
    await write(kept, text)
  } catch (thrown) {
    // The first stage holds nothing that could be lost, and tells of a call that is not made now.
    if (!isLostRace(thrown) && pending.stage !== 'intent') kept.unsaved = { text, over: kept.seen }
    throw thrown
  }
}

/** Puts a stage in place of the journal that we know, or ends it. */
async function write(kept: Kept, text: string | undefined): Promise<void> {
  const change = (texts: SecretTexts | undefined): SecretChange | undefined => {
    const there = texts?.get(KEYS.pending)
    if (there === text) return undefined
    if (kept.seen !== undefined && kept.seen.text !== there) throw kept.foreign('the journal')
    const aside = there !== undefined && text !== undefined && !isReadable(there)
    return { [KEYS.pending]: text ?? null, ...(aside && { [KEYS.damaged]: there }) }
  }
  await changeSecret(kept.kubernetes, kept.secret, change, signal)
  kept.seen = { text }
  kept.unsaved = undefined
}

async function saveUnsaved(kept: Kept): Promise<void> {
  const { unsaved } = kept
  if (unsaved === undefined) return
  kept.seen = unsaved.over
  try {
    await write(kept, unsaved.text)
  } catch (thrown) {
    if (isLostRace(thrown)) kept.unsaved = undefined
    throw thrown
  }
}

async function load(kept: Kept): Promise<PendingEnrolment | undefined> {
  await saveUnsaved(kept)
  const text = (await readSecret(kept.kubernetes, kept.secret, signal))?.get(KEYS.pending)
  kept.seen = { text }
  if (text === undefined) return undefined
  try {
    return decodePending(text)
  } catch (thrown) {
    const message = `Cannot read the journal in ${nameOf(kept.secret)}: ${reasonOf(thrown)}`
    throw new AgentError('identity_unreadable', message, {
      hint: 'put a new one-time token in place: the journal is laid aside then; an identity that works is not touched',
    })
  }
}

function isReadable(text: string): boolean {
  try {
    decodePending(text)
    return true
  } catch {
    return false
  }
}
