import { digestOf } from './digest.ts'
import { isSame } from './equal.ts'
import type { Problem } from './problem.ts'
import type { Complete, ConfigDocument } from './target.ts'
import type { Instant } from './time.ts'

/** The last complete answer of the Runtime Director, as far as it was let in. A slice of its own beside the Snapshot. */
export type ConfigurationSnapshot = {
  runtimeId: string
  /** By id. */
  documents: Complete<ConfigDocument[]>
  refused: Refusal[]
  /** When the fetch was made that brought this content, or last confirmed it in this process. */
  fetchedAt: Instant
  /** SHA-256 over everything but `fetchedAt` and `etag`. Hashes secrets without a key: it stays in the state directory. */
  digest: string
  /** What the server calls this content. */
  etag?: string
  /** Digest of address and rules by which it was fetched and let in: under others it is fetched anew as a whole. */
  rules: string
}

/** An item that is not applied. */
export type Refusal = {
  problem: Problem
  /**
   * What is there must not go for it, as nobody can tell what was meant: the objects of this document, or all of them
   * where the item does not even say which document it is. Missing: it is clear, and simply not to be here.
   */
  keeps?: 'everything' | { document: string }
}

/** What {@link ConfigurationSnapshot.digest} holds. */
export function digestConfiguration({
  runtimeId,
  documents,
  refused,
  rules,
}: Pick<ConfigurationSnapshot, 'runtimeId' | 'documents' | 'refused' | 'rules'>): string {
  return digestOf({ runtimeId, documents, refused, rules })
}

/** The new one, with what did not change as the very same objects, so that whoever renders can tell by `===`. */
export function reuseConfiguration(
  before: ConfigurationSnapshot | undefined,
  now: ConfigurationSnapshot,
): ConfigurationSnapshot {
  if (before === undefined) return now
  if (before.digest === now.digest) {
    const { documents, refused } = before
    return { ...now, documents, refused }
  }
  const old = new Map(before.documents.map((document) => [document.id, document]))
  const documents = now.documents.map((document) => {
    const same = old.get(document.id)
    return same !== undefined && isSame(same, document) ? same : document
  })
  return { ...now, documents: documents as typeof now.documents }
}
