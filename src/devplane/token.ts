import { sha256 } from '../model/digest.ts'
import type { Duration, Instant } from '../model/time.ts'
import { randomBytes, uuid } from '../runtime/keys.ts'
import type { PlaneStore, SystemAuth } from './store.ts'

/** A one-time token as `requestOneTimeTokenForRuntime` gives it, in all its forms. */
export type OneTimeToken = {
  token: string
  /** JSON with token, connectorURL, expiresAt and more. */
  raw: string
  /** Base64 of `raw`: all that a person has to give to an agent. */
  rawEncoded: string
  connectorURL: string
  used: false
  expiresAt: string
  createdAt: string
  usedAt: string
  type: 'Runtime' | 'Application'
  /** CN of the certificate that will be signed with it. */
  systemAuthID: string
}

/** Makes a new system auth with a token. Tokens that were given out before stay what they are. */
export function newSystemAuth(
  store: PlaneStore,
  owner: SystemAuth['owner'],
  now: Instant,
): { auth: SystemAuth; token: string } {
  const auth: SystemAuth = { id: uuid(), owner, created: now, certified: false }
  store.change((state) => {
    state.systemAuths[auth.id] = auth
  })
  return { auth, token: newToken(store, auth, now) }
}

/** Gives a system auth another token; the one before stops to live. */
export function newToken(store: PlaneStore, auth: SystemAuth, now: Instant): string {
  const token = encodeUrlSafe(randomBytes(64))
  store.change(() => {
    auth.token = { digest: sha256(token), created: now, used: false }
  })
  return token
}

/**
 * Takes a token: whoever gets a system auth back has spent it, whatever becomes of the request.
 *
 * `lifetime` counts from the token's creation with the present setting. Unknown, used and expired are one answer.
 */
export function spendToken(
  store: PlaneStore,
  token: string,
  clock: { now: Instant; lifetime: Duration },
): SystemAuth | undefined {
  const digest = sha256(token)
  const auth = Object.values(store.state.systemAuths).find(
    (candidate) => candidate.token?.digest === digest,
  )
  const found = auth?.token
  if (auth === undefined || found === undefined || found.used) return undefined
  if (clock.now - found.created >= clock.lifetime) return undefined
  store.change(() => {
    found.used = true
  })
  return auth
}

/** The three forms of a token. */
export function describeToken(
  token: string,
  auth: SystemAuth,
  options: { connectorURL: string; created: Instant; lifetime: Duration },
): OneTimeToken {
  const { connectorURL, created, lifetime } = options
  const type = auth.owner.type === 'RUNTIME' ? 'Runtime' : 'Application'
  const usedAt = '0001-01-01T00:00:00Z'
  const raw = JSON.stringify({
    token,
    connectorURL,
    used: false,
    expiresAt: nanoseconds(created + lifetime),
    createdAt: nanoseconds(created),
    usedAt,
    type,
    scenario_groups: null,
  })
  return {
    token,
    raw,
    rawEncoded: btoa(raw),
    connectorURL,
    used: false,
    expiresAt: timestamp(created + lifetime),
    createdAt: timestamp(created),
    usedAt,
    type,
    systemAuthID: auth.id,
  }
}

/** RFC 3339 with whole seconds: every timestamp of the Director's API. */
export function timestamp(at: Instant): string {
  return new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z')
}

/** As Go writes a time into JSON. */
function nanoseconds(at: Instant): string {
  return new Date(at)
    .toISOString()
    .replace(/(\.\d{3})Z$/, '$1000000Z')
    .replace('.000000000Z', 'Z')
}

function encodeUrlSafe(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
}
