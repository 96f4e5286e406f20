import { sha256 } from '../model/digest.ts'
import { textOfBase64 } from '../runtime/base64.ts'

/** What a request shows of itself. A browser sends `basic` by itself, also for pages of others: it must change nothing. */
export type Presented = { scheme: 'bearer' | 'basic'; user: string; token: string }

/** Far beyond every token; hashing must not become work for nothing. */
const LONGEST = 4096

/** The token of an Authorization header: of Bearer, or the password of Basic. */
export function presentedToken(header: string | undefined): Presented | undefined {
  const [, scheme = '', value = ''] = /^(bearer|basic) +([^\s]+) *$/i.exec(header ?? '') ?? []
  if (scheme === '' || value.length > LONGEST) return undefined
  if (scheme.toLowerCase() === 'bearer') return { scheme: 'bearer', user: '', token: value }
  const text = textOfBase64(value)
  const colon = text.indexOf(':')
  if (colon < 0) return undefined
  return { scheme: 'basic', user: text.slice(0, colon), token: text.slice(colon + 1) }
}

/**
 * Who has a token. All are compared, each in the same time whatever differs, and only hashes of them: how long it takes
 * tells nothing about any token.
 */
export function holderOf<Holder extends { sha256: string }>(
  holders: readonly Holder[],
  token: string,
): Holder | undefined {
  const hash = sha256(token)
  let found: Holder | undefined
  for (const holder of holders) if (sameText(holder.sha256, hash)) found = holder
  return found
}

/** Compares two texts of one length without stopping at the first difference. */
function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let at = 0; at < b.length; at += 1) difference |= a.charCodeAt(at) ^ b.charCodeAt(at)
  return difference === 0
}
