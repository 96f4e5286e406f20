import { Secret } from '../model/secret.ts'
import { readText, writeAtomic } from '../runtime/files.ts'
import { randomBytes } from '../runtime/keys.ts'
import { join } from '../runtime/path.ts'

const KEY = /^[0-9a-f]{64}$/

/**
 * The key of all digests of secrets that leave the state directory: without it a weak password could be guessed from
 * a manifest. Made when it is missing or damaged; a lost key costs one rewrite of what it was used for.
 */
export async function loadDigestKey(stateDirectory: string): Promise<Secret> {
  const path = join(stateDirectory, 'digest.key')
  const kept = (await readText(path))?.trim()
  if (kept !== undefined && KEY.test(kept)) return new Secret(kept)
  const made = Array.from(randomBytes(32), (byte) => byte.toString(16).padStart(2, '0')).join('')
  await writeAtomic(path, `${made}\n`, { mode: 0o600 })
  return new Secret(made)
}
