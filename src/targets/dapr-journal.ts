import { arrayOf, asBoolean, asNumber, asObject, asString } from '../model/decode.ts'
import { Malformed, optional, recordOf } from '../model/decode.ts'
import { isSame } from '../model/equal.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'

/** What was written and is not known to be taken by every sidecar yet. */
export type PendingWrite = {
  /** SHA-256 of the file; another one there means that it was never renamed in. */
  sha256: string
  /** The file as it was last known to be taken; null: there was none. It holds no secret. */
  previous: string | null
  /** Keys of the objects that differ from that. */
  changed: string[]
  /** It was renamed in again. */
  renamed: boolean
}

/** A version of an object that was taken back: it is not tried again until it is another one. */
export type Pin = {
  digest: string
  /** How often it was tried; one that may have been in bad company is tried twice. */
  tries: number
  /** What was wrong, as the second half of a sentence. */
  why: string
}

/** What a target remembers between passes and over crashes. */
export type DaprMemory = {
  pending?: PendingWrite
  pins: Record<string, Pin>
  /** Where and for whom secrets were written when a sidecar last proved that it can read them. */
  readable?: string
}

export interface DaprJournal {
  load(): DaprMemory
  save(memory: DaprMemory): Promise<void>
}

const VERSION = 1

/** A file in the state directory. */
export function openDaprJournal(path: string, disk: BulkFiles): DaprJournal {
  // Read once: nobody else writes it.
  let stored: DaprMemory | undefined
  return {
    load() {
      return (stored ??= decode(disk.read(path)))
    },
    async save(memory) {
      if (stored !== undefined && isSame(stored, memory)) return
      const text = `${JSON.stringify({ version: VERSION, ...memory })}\n`
      await disk.replace(path, text, { mode: 0o600, gid: undefined })
      stored = memory
    },
  }
}

function decode(text: string | undefined): DaprMemory {
  if (text === undefined) return { pins: {} }
  try {
    const json = asObject(JSON.parse(text) as unknown, 'journal')
    if (json['version'] !== VERSION) throw new Malformed('version')
    const pending = optional(json['pending'], 'pending', decodePending)
    const readable = optional(json['readable'], 'readable', asString)
    return {
      pins: recordOf(json['pins'], 'pins', decodePin),
      ...(pending === undefined ? {} : { pending }),
      ...(readable === undefined ? {} : { readable }),
    }
  } catch {
    // Written atomically, so this is a person's doing. Nothing is lost: the file itself says what is there.
    return { pins: {} }
  }
}

function decodePin(value: unknown, at: string): Pin {
  const { digest, tries, why } = asObject(value, at)
  return { digest: asString(digest, at), tries: asNumber(tries, at), why: asString(why, at) }
}

function decodePending(value: unknown): PendingWrite {
  const { sha256, previous, changed, renamed } = asObject(value, 'pending')
  return {
    sha256: asString(sha256, 'sha256'),
    previous: previous === null ? null : asString(previous, 'previous'),
    changed: arrayOf(changed, 'changed', asString),
    renamed: asBoolean(renamed, 'renamed'),
  }
}
