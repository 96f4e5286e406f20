import { Json } from '../clients/decode.ts'
import type { SecretChange, SecretName, SecretTexts } from '../clients/kubernetes/secrets.ts'
import { digestOf } from '../model/digest.ts'
import type { Identity, Plane } from '../model/identity.ts'
import { Secret } from '../model/secret.ts'
import { formatInstant, type Instant } from '../model/time.ts'
import { splitPem, toPkcs1, toPkcs8 } from '../runtime/keys.ts'
import { decodePlane } from './journal.ts'
import { identityOf } from './store.ts'

/*
 * The identity as keys of a Secret. The first three are the Go agent's, byte for byte as it writes them, so that it could
 * take over again; it leaves other keys alone (go-agent.md §3).
 */

/** Names of the keys. */
export const KEYS = {
  /** The client certificate alone, PEM. */
  certificate: 'crt',
  /** PKCS#1 PEM: the Go agent reads nothing else. */
  key: 'key',
  /** The client certificate and its issuers, PEM. */
  chain: 'crtChain',
  /** Where Compass answers, and whose certificate it is. */
  meta: 'runtime-agent.meta.json',
  /** The identity before: the way back. */
  previous: 'runtime-agent.previous.json',
  /** The journal of an enrolment or renewal. */
  pending: 'runtime-agent.pending.json',
  /** A journal that could not be read; it may hold a key that a person can still save. */
  damaged: 'runtime-agent.pending.damaged',
} as const

/** What a certificate does not say. */
export type Facts = { plane: Plane; runtimeId: string }

const VERSION = 1

/** What stands in the three keys of the Go agent, as one digest; undefined: nothing at all. Tells apart, keeps no secret. */
export function digestOfCurrent(texts: SecretTexts): string | undefined {
  const values = [KEYS.key, KEYS.certificate, KEYS.chain].map((key) => texts.get(key) ?? '')
  return values.every((value) => value === '') ? undefined : digestOf(values)
}

/** The keys that make this the current identity, and what is there now the previous one. */
export function changeTo(
  identity: Identity,
  texts: SecretTexts,
  { at, legacy }: { at: Instant; legacy: Facts | undefined },
): SecretChange {
  const { key, chain, fingerprint, notAfter, plane, runtimeId } = identity
  const meta = { version: VERSION, fingerprint, runtimeId, plane }
  const dates = { notAfter: formatInstant(notAfter), written: formatInstant(at) }
  const previous = wayBack(fingerprint, texts, legacy)
  return {
    [KEYS.key]: toPkcs1(key).reveal(),
    [KEYS.certificate]: splitPem(chain)[0] ?? '',
    [KEYS.chain]: chain,
    [KEYS.meta]: jsonText({ ...meta, ...dates }),
    ...(previous !== undefined && { [KEYS.previous]: previous }),
  }
}

/** What is to stand as the previous identity once another is the current one; undefined: what stands there stays. */
function wayBack(
  fingerprint: string,
  texts: SecretTexts,
  legacy: Facts | undefined,
): string | undefined {
  const current = attempt(() => readCurrent(texts, legacy))
  if (current !== undefined) {
    return current.fingerprint === fingerprint ? undefined : encodePrevious(current)
  }
  if (attempt(() => readPrevious(texts)) !== undefined) return undefined
  // A key that works, of which it is only not known where: nothing reads it, but a person can.
  const bare = attempt(() => readBare(texts, { plane: NO_PLANE, runtimeId: '' }))
  return bare && encodePrevious(bare)
}

const NO_PLANE: Plane = { connectorUrl: '', directorUrl: '' }

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

function encodePrevious(identity: Identity): string {
  const { key, chain, fingerprint, plane, runtimeId } = identity
  const content = { version: VERSION, fingerprint, runtimeId, plane, key: key.reveal(), chain }
  return jsonText(content)
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/**
 * The identity in the three keys, verified. What its certificate does not say comes from our own key when that is for
 * this certificate; else (the Go agent has renewed, or we never wrote here) it comes from `legacy`, and only without
 * that from what our key says of the certificate before, as a renewal is for the same runtime.
 *
 * @throws Error that names what does not fit; no message holds a value
 */
export function readCurrent(texts: SecretTexts, legacy: Facts | undefined): Identity {
  const meta = attempt(() => readMeta(texts))
  const bare = readBare(texts, { plane: NO_PLANE, runtimeId: '' })
  const own = meta?.fingerprint === bare.fingerprint ? meta : undefined
  const facts = [own, legacy, meta].find((one) => one !== undefined && isWhole(one))
  if (facts === undefined) throw new TypeError('it is not known where Compass answers')
  return { ...bare, plane: facts.plane, runtimeId: facts.runtimeId }
}

function isWhole({ plane, runtimeId }: Facts): boolean {
  return plane.connectorUrl !== '' && plane.directorUrl !== '' && runtimeId !== ''
}

/** Whether {@link readCurrent} needs `legacy` to tell where Compass answers. */
export function needsLegacy(texts: SecretTexts): boolean {
  const meta = attempt(() => readMeta(texts))
  const bare = attempt(() => readBare(texts, { plane: NO_PLANE, runtimeId: '' }))
  return bare !== undefined && meta?.fingerprint !== bare.fingerprint
}

/** @throws Error as {@link readCurrent}; also when there is none */
export function readPrevious(texts: SecretTexts): Identity {
  const json = parse(texts, KEYS.previous)
  const identity = identityOf({
    key: json.secret('key'),
    chain: json.text('chain'),
    ...factsOf(json),
  })
  if (!isWhole(identity)) throw new TypeError('it is not known where Compass answers')
  return identity
}

function readBare(texts: SecretTexts, facts: Facts): Identity {
  const key = toPkcs8(new Secret(textOf(texts, KEYS.key)))
  // The chain is what is sent to servers; the certificate alone is for the eyes of others.
  const chain = texts.get(KEYS.chain) ?? ''
  return identityOf({ key, chain: chain || textOf(texts, KEYS.certificate), ...facts })
}

function readMeta(texts: SecretTexts): Facts & { fingerprint: string } {
  const json = parse(texts, KEYS.meta)
  return { fingerprint: json.text('fingerprint'), ...factsOf(json) }
}

function factsOf(json: Json): Facts {
  return { plane: decodePlane(json.object('plane')), runtimeId: json.text('runtimeId') }
}

function parse(texts: SecretTexts, key: string): Json {
  const text = textOf(texts, key)
  try {
    return new Json(JSON.parse(text), key)
  } catch {
    throw new TypeError(`${key} is not JSON`) // the engine's own message would show a piece of the text
  }
}

function textOf(texts: SecretTexts, key: string): string {
  const text = texts.get(key)
  if (text === undefined || text === '') throw new TypeError(`${key} is missing`)
  return text
}

/** For messages. */
export function nameOf({ namespace, name }: SecretName): string {
  return `the Secret ${namespace}/${name}`
}

/** For messages: what an error of a decoder says. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : 'unknown reason'
}
