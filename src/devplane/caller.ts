import { parseSubject } from '../identity/subject.ts'
import type { PeerCertificate } from '../runtime/listen.ts'
import type { Taken } from './knob-board.ts'
import type { PlaneStore, SystemAuth } from './store.ts'

/** Who makes a request of the Director, and what the identity proxy lets it do. */
export type Caller = SystemAuth['owner'] & { systemAuth: string; scopes: readonly string[] }

/** Scopes of runtimes in the last public chart of Compass (reference/director.md §2). */
const RUNTIME_SCOPES = [
  'runtime:read',
  'runtime:write',
  'application:read',
  'runtime.auths:read',
  'bundle.instance_auths:read',
  'runtime.webhooks:read',
  'webhook:write',
]

const APPLICATION_SCOPES = [
  'application:read',
  'application:write',
  'application.auths:read',
  'application.webhooks:read',
  'bundle.instance_auths:read',
  'webhook:write',
]

/**
 * The system auth of a client certificate, as the Hydrator finds it by the common name; `undefined` when the
 * certificate is revoked, or its system auth or owner is gone.
 */
export function systemAuthOf(
  store: PlaneStore,
  certificate: PeerCertificate,
  options: { strictSubject: boolean },
): SystemAuth | undefined {
  if (store.state.revoked.includes(certificate.fingerprint)) return undefined
  // The Hydrator's regular expressions stop at these characters, so a constant that holds one never matches.
  if (options.strictSubject && /\\,|[(|]|\\\+/.test(certificate.subject)) return undefined
  const commonName = commonNameOf(certificate.subject)
  const auth = commonName === undefined ? undefined : store.state.systemAuths[commonName]
  if (auth !== undefined && !auth.certified) {
    store.change(() => {
      auth.certified = true
      delete auth.token
    })
  }
  return auth
}

function commonNameOf(subject: string): string | undefined {
  try {
    return parseSubject(subject).find(({ type }) => type === 'CN')?.value
  } catch {
    return undefined
  }
}

/** A system auth as a caller, with the scopes of its kind. */
export function callerOf(auth: SystemAuth, knobs: Taken): Caller {
  const scopes = auth.owner.type === 'RUNTIME' ? RUNTIME_SCOPES : APPLICATION_SCOPES
  return { ...auth.owner, systemAuth: auth.id, scopes: knobs.scopes ?? scopes }
}
