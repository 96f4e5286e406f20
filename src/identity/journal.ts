import { Json } from '../clients/decode.ts'
import type { PendingEnrolment, Plane, TokenIntent } from '../model/identity.ts'
import type { Secret } from '../model/secret.ts'
import type { Instant } from '../model/time.ts'

const VERSION = 1

/** The journal as JSON text. It holds private keys and tokens in the clear: for a private file or Secret only. */
export function encodePending(pending: PendingEnrolment): string {
  return `${JSON.stringify({ version: VERSION, ...plain(pending) }, null, 2)}\n`
}

function plain(pending: PendingEnrolment): object {
  if (pending.stage === 'intent') return pending
  return {
    ...pending,
    key: pending.key.reveal(),
    ...(pending.signingToken && { signingToken: pending.signingToken.reveal() }),
  }
}

/**
 * Reads {@link encodePending}'s text.
 *
 * @throws Error that names the place which does not fit, and no value
 */
export function decodePending(text: string): PendingEnrolment {
  const json = parse(text)
  const kind = oneOf(json, 'kind', ['enrol', 'renew'])
  const stage = oneOf(json, 'stage', ['intent', 'signing', 'signed'])
  if (stage === 'intent') {
    if (kind === 'renew') throw json.unfit('kind', '"enrol" at the stage intent')
    return { stage, kind, token: decodeToken(json.object('token')) }
  }
  const signing = { kind, ...decodeSigning(json) }
  return stage === 'signing'
    ? { stage, ...signing }
    : { stage, chain: json.text('chain'), ...signing }
}

function parse(text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new TypeError('it is not JSON') // the engine's own message would show a piece of the text
  }
  const json = new Json(value)
  const version = json.count('version')
  if (version !== VERSION)
    throw new TypeError(`it is of version ${version}, this agent knows ${VERSION}`)
  return json
}

function decodeSigning(json: Json): {
  key: Secret
  csr: string
  subject: string
  plane: Plane
  token?: TokenIntent
  signingToken?: Secret
} {
  const token = json.objectOrNone('token')
  return {
    key: json.secret('key'),
    csr: json.text('csr'),
    subject: json.text('subject'),
    plane: decodePlane(json.object('plane')),
    ...(token && { token: decodeToken(token) }),
    ...(json.textOrNone('signingToken') !== undefined && {
      signingToken: json.secret('signingToken'),
    }),
  }
}

/** Both URLs of the management plane. */
export function decodePlane(json: Json): Plane {
  return { connectorUrl: json.text('connectorUrl'), directorUrl: json.text('directorUrl') }
}

function decodeToken(json: Json): TokenIntent {
  return {
    digest: json.text('digest'),
    firstSeen: json.count('firstSeen'),
    until: json.count('until'),
    attempts: decodeInstants(json, 'attempts'),
    ...(json.flagOrNone('spent') === true && { spent: true }),
  }
}

function decodeInstants(json: Json, key: string): Instant[] {
  const values = json.any(key)
  if (!Array.isArray(values)) throw json.unfit(key, 'a list of numbers')
  return values.map((value: unknown) => {
    if (typeof value !== 'number') throw json.unfit(key, 'a list of numbers')
    return value
  })
}

function oneOf<const Name extends string>(json: Json, key: string, names: readonly Name[]): Name {
  const text = json.text(key)
  const found = names.find((name) => name === text)
  if (found === undefined) throw json.unfit(key, names.map((name) => `"${name}"`).join(' or '))
  return found
}
