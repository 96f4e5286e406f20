import type { Secret } from '../model/secret.ts'

const LONGEST = 200
const MASK = '[masked]'
const PEM = /-----BEGIN[\s\S]*?(?:-----END[^-]*-----|$)/g
const JWT = /\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?/g
/** Base64, tokens, hashes, wrapped or not. An UUID has 36 characters and stays readable. */
const BLOB = /[\w+/=-]{40,}(?:[\r\n]+[\w+/=-]+)*/g
const CONTROL = /[\s\p{Cc}\p{Cf}]+/gu

/**
 * Text of a server, fit for an error message: what looks like a key, token or certificate is masked, as are the given
 * secrets; white space, control characters and those that turn or hide text become one space; at most 200 characters remain.
 */
export function serverText(text: string, secrets: readonly Secret[] = []): string {
  let clean = text.slice(0, 50 * LONGEST)
  for (const secret of secrets) {
    if (!secret.isEmpty) clean = clean.replaceAll(secret.reveal(), MASK)
  }
  clean = clean
    .replace(PEM, MASK)
    .replace(JWT, MASK)
    .replace(BLOB, MASK)
    .replace(CONTROL, ' ')
    .trim()
  const letters = Array.from(clean)
  return letters.length > LONGEST ? `${letters.slice(0, LONGEST - 1).join('')}…` : clean
}
