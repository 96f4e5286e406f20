import { sha256 } from '../model/digest.ts'
import { AgentError } from '../model/problem.ts'
import { Secret } from '../model/secret.ts'
import type { Instant } from '../model/time.ts'

/** A one-time token as a person gave it (reference/connector.md §6). */
export type ParsedToken = {
  /** What goes into the header. */
  token: Secret
  /** SHA-256 hex of the token itself: the same token has one digest in all three forms. */
  digest: string
  /** Held by the forms `raw` and `rawEncoded`. */
  connectorUrl?: string
  expiresAt?: Instant
  /** `raw` is JSON, `rawEncoded` its base64. */
  form: 'plain' | 'raw' | 'rawEncoded'
}

/** Real ones have 88 characters. Visible ASCII, as it goes into a header. */
const PLAIN = /^[\x21-\x7e]{1,1024}$/
const ENCODED = /^[\w+/-]+={0,2}$/

/**
 * Understands the three forms in which Compass shows a token, with white space around (and within base64).
 *
 * Throws AgentError, which never holds the text: token_invalid for what is none of them, token_spent for one that says
 * it was used, not_a_runtime for one that was made for an application.
 */
export function parseToken(text: string): ParsedToken {
  const given = text.replace(/^\uFEFF/, '').trim()
  if (given === '') throw invalid('there is no text')
  if (given.startsWith('{')) {
    return fromRaw(json(given) ?? refuse('the text begins as JSON and is none: is it cut?'), 'raw')
  }
  const encoded = given.replace(/\s+/g, '')
  const decoded = ENCODED.test(encoded) ? decode(encoded) : undefined
  if (decoded?.startsWith('{') === true) {
    const raw = json(decoded)
    if (raw !== undefined) return fromRaw(raw, 'rawEncoded')
    // A plain token is random bytes, so now and then one decodes to a brace; one that is longer than any is a cut one.
    if (encoded.length > 100) throw invalid('the text is base64 of JSON that is cut')
  }
  if (/^https?:\/\//i.test(given)) throw invalid('the text is an address, not a token')
  if (!PLAIN.test(given)) throw invalid('the text is not one word of visible ASCII')
  return { token: new Secret(given), digest: sha256(given), form: 'plain' }
}

function fromRaw(raw: Record<string, unknown>, form: 'raw' | 'rawEncoded'): ParsedToken {
  const { token, connectorURL: url, expiresAt, used, type } = raw
  if (typeof token !== 'string' || !PLAIN.test(token)) throw invalid('its JSON has no token')
  if (typeof type === 'string' && /^application$/i.test(type)) {
    const message = 'Cannot use the token: it was made for an application'
    throw new AgentError('not_a_runtime', message)
  }
  if (used === true) {
    throw new AgentError('token_spent', 'Cannot use the token: it says itself that it was used')
  }
  const end = typeof expiresAt === 'string' ? Date.parse(expiresAt) : Number.NaN
  return {
    token: new Secret(token),
    digest: sha256(token),
    form,
    ...(isThere(url) && { connectorUrl: httpsUrl(url) }),
    // Go's zero time stands for "never set".
    ...(end > 0 && { expiresAt: end }),
  }
}

function httpsUrl(url: unknown): string {
  if (typeof url !== 'string' || !URL.canParse(url) || new URL(url).protocol !== 'https:') {
    throw invalid('its connectorURL is not an https address')
  }
  return url
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

function json(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined // the error of JSON.parse quotes the text
  }
}

function decode(base64: string): string | undefined {
  try {
    const bytes = atob(base64.replaceAll('-', '+').replaceAll('_', '/'))
    return new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0)))
  } catch {
    return undefined
  }
}

function invalid(why: string): AgentError {
  return new AgentError('token_invalid', `Cannot use the token: ${why}`)
}

function refuse(why: string): never {
  throw invalid(why)
}
