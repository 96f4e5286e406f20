import { Secret } from '../model/secret.ts'
import { readText, writeAtomic } from '../runtime/files.ts'
import { randomBytes } from '../runtime/keys.ts'
import { join } from '../runtime/path.ts'

/** Keys the hashes of secrets that leave the state directory; losing it costs one rewrite of what is published. */
export interface DigestKey {
  readonly key: Secret
  /** Stores a key that was made new. For the owner of the state only. */
  keep(): Promise<void>
}

/** `<state>/digest.key`, 0600, 64 hex characters; a new one when there is none that fits. Writes nothing. */
export async function openDigestKey(directory: string): Promise<DigestKey> {
  const path = join(directory, 'digest.key')
  const stored = parseDigestKey(await readText(path))
  if (stored !== undefined) return { key: new Secret(stored), keep: () => Promise.resolve() }
  const made = makeDigestKey()
  return { key: new Secret(made), keep: () => writeAtomic(path, `${made}\n`) }
}

/** A new key: 64 hex characters. */
export function makeDigestKey(): string {
  return Array.from(randomBytes(32), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** A key as it was stored; undefined: there is none that fits. */
export function parseDigestKey(stored: string | undefined): string | undefined {
  const text = stored?.trim()
  return text !== undefined && /^[0-9a-f]{64}$/.test(text) ? text : undefined
}
