import type {
  ApiDefinition,
  Application,
  Auth,
  Bundle,
  Credential,
  Csrf,
  EventDefinition,
  InstanceAuth,
  Multimap,
  Version,
} from './application.ts'
import {
  arrayOf,
  asBoolean,
  asNumber,
  asObject,
  asString,
  Malformed,
  optional,
  recordOf,
} from './decode.ts'
import type { JsonObject } from './decode.ts'
import { canonicalPieces } from './digest.ts'
import type { CredentialsHeld } from './missing-credentials.ts'
import { problem } from './problem.ts'
import type { Problem } from './problem.ts'
import { Secret } from './secret.ts'
import { digestSnapshot, markComplete } from './snapshot.ts'
import type { Snapshot } from './snapshot.ts'

const VERSION = 1

/**
 * The snapshot as text for a private file (0600), in pieces, so that nobody has to hold that of a large tenant: JSON with
 * all secrets revealed. Equal snapshots give equal text.
 */
export function* snapshotPieces(snapshot: Snapshot): Generator<string> {
  yield* canonicalPieces({ version: VERSION, ...snapshot })
  yield '\n'
}

/** @testing {@link snapshotPieces} as one text. */
export function encodeSnapshot(snapshot: Snapshot): string {
  return [...snapshotPieces(snapshot)].join('')
}

/** The reverse. Damaged text, or one of another version, is a problem and no snapshot: never an error. */
export function decodeSnapshot(text: string): { snapshot?: Snapshot; problem?: Problem } {
  try {
    const content: unknown = JSON.parse(text)
    return { snapshot: decode(asObject(content, 'snapshot')) }
  } catch (thrown) {
    // The text of a JSON error quotes what it read, which may be a secret.
    const why = thrown instanceof Malformed ? thrown.message : 'not JSON'
    return { problem: problem('snapshot_damaged', `Cannot use the kept snapshot: ${why}`) }
  }
}

function decode(json: JsonObject): Snapshot {
  if (json['version'] !== VERSION) throw new Malformed(`version is not ${VERSION}`)
  const held = optional(json['credentialsHeld'], 'credentialsHeld', decodeHeld)
  const content = {
    runtimeId: asString(json['runtimeId'], 'runtimeId'),
    applications: arrayOf(json['applications'], 'applications', decodeApplication),
    ...(held === undefined ? {} : { credentialsHeld: held }),
    ...(json['namesNormalized'] === true ? { namesNormalized: true as const } : {}),
  }
  const digest = asString(json['digest'], 'digest')
  if (digestSnapshot(content) !== digest) throw new Malformed('its content was changed')
  return {
    ...content,
    applications: markComplete(content.applications),
    fetchedAt: asNumber(json['fetchedAt'], 'fetchedAt'),
    digest,
  }
}

function decodeHeld(value: unknown, path: string): CredentialsHeld {
  const json = asObject(value, path)
  return {
    hash: asString(json['hash'], `${path}.hash`),
    since: asNumber(json['since'], `${path}.since`),
  }
}

function decodeApplication(value: unknown, path: string): Application {
  const json = asObject(value, path)
  return {
    ...named(json, path),
    ...members(json, path, ['providerName', 'description', 'systemNumber', 'localTenantId']),
    labels: asObject(json['labels'], `${path}.labels`),
    authIds: arrayOf(json['authIds'], `${path}.authIds`, asString),
    bundles: arrayOf(json['bundles'], `${path}.bundles`, decodeBundle),
  }
}

function decodeBundle(value: unknown, path: string): Bundle {
  const json = asObject(value, path)
  const auth = optional(json['auth'], `${path}.auth`, decodeAuth)
  const since = optional(json['authMissingSince'], `${path}.authMissingSince`, asNumber)
  const asked = optional(json['instanceAuths'], `${path}.instanceAuths`, decodeInstanceAuths)
  return {
    ...named(json, path),
    ...members(json, path, ['description', 'inputSchema']),
    apis: arrayOf(json['apis'], `${path}.apis`, decodeApi),
    events: arrayOf(json['events'], `${path}.events`, decodeEvent),
    ...(auth === undefined ? {} : { auth }),
    ...(since === undefined ? {} : { authMissingSince: since }),
    ...(asked === undefined ? {} : { instanceAuths: asked }),
  }
}

function decodeInstanceAuths(value: unknown, path: string): InstanceAuth[] {
  return arrayOf(value, path, (item, at) => {
    const json = asObject(item, at)
    return {
      id: asString(json['id'], `${at}.id`),
      condition: asString(json['condition'], `${at}.condition`),
      ...members(json, at, ['runtimeId', 'bindingId']),
    }
  })
}

function decodeApi(value: unknown, path: string): ApiDefinition {
  const json = asObject(value, path)
  const targetUrl = asString(json['targetUrl'], `${path}.targetUrl`)
  return { ...decodeNamed(json, path), targetUrl, ...decodeVersioned(json, path) }
}

function decodeEvent(value: unknown, path: string): EventDefinition {
  const json = asObject(value, path)
  return { ...decodeNamed(json, path), ...decodeVersioned(json, path) }
}

/** Members in the order of their names, as clients/decode-applications.ts has them. */
function decodeNamed(json: JsonObject, path: string): Omit<EventDefinition, 'version'> {
  return { ...members(json, path, ['description', 'group']), ...named(json, path) }
}

function decodeVersioned(json: JsonObject, path: string): { version?: Version } {
  const version = optional(json['version'], `${path}.version`, decodeVersion)
  return version === undefined ? {} : { version }
}

function decodeVersion(value: unknown, path: string): Version {
  const json = asObject(value, path)
  const deprecated = optional(json['deprecated'], `${path}.deprecated`, asBoolean)
  const forRemoval = optional(json['forRemoval'], `${path}.forRemoval`, asBoolean)
  return {
    ...(deprecated === undefined ? {} : { deprecated }),
    ...members(json, path, ['deprecatedSince']),
    ...(forRemoval === undefined ? {} : { forRemoval }),
    value: asString(json['value'], `${path}.value`),
  }
}

function decodeAuth(value: unknown, path: string): Auth {
  const json = asObject(value, path)
  const credential = optional(json['credential'], `${path}.credential`, decodeCredential)
  const csrf = optional(json['csrf'], `${path}.csrf`, decodeCsrf)
  return {
    ...(credential === undefined ? {} : { credential }),
    ...multimaps(json, path),
    ...(csrf === undefined ? {} : { csrf }),
  }
}

function decodeCsrf(value: unknown, path: string): Csrf {
  const json = asObject(value, path)
  const credential = optional(json['credential'], `${path}.credential`, decodeCredential)
  return {
    tokenUrl: asString(json['tokenUrl'], `${path}.tokenUrl`),
    ...(credential === undefined ? {} : { credential }),
    ...multimaps(json, path),
  }
}

function decodeCredential(value: unknown, path: string): Credential {
  const json = asObject(value, path)
  const text = (name: string): string => asString(json[name], `${path}.${name}`)
  const secret = (name: string): Secret => new Secret(text(name))
  const type = text('type')
  switch (type) {
    case 'basic':
      return { type, username: secret('username'), password: secret('password') }
    case 'oauth': {
      const [clientId, clientSecret] = [secret('clientId'), secret('clientSecret')]
      return { type, clientId, clientSecret, tokenUrl: text('tokenUrl') }
    }
    case 'certificate_oauth': {
      const [clientId, certificate] = [secret('clientId'), secret('certificate')]
      return { type, clientId, certificate, tokenUrl: text('tokenUrl') }
    }
    case 'unknown':
      return { type, typename: text('typename') }
    default:
      throw new Malformed(`${path}.type is unknown`)
  }
}

function multimaps(json: JsonObject, path: string): { headers?: Multimap; queryParams?: Multimap } {
  const headers = optional(json['headers'], `${path}.headers`, decodeMultimap)
  const queryParams = optional(json['queryParams'], `${path}.queryParams`, decodeMultimap)
  return {
    ...(headers === undefined ? {} : { headers }),
    ...(queryParams === undefined ? {} : { queryParams }),
  }
}

function decodeMultimap(value: unknown, path: string): Multimap {
  const secret = (item: unknown, at: string): Secret => new Secret(asString(item, at))
  return recordOf(value, path, (values, at) => arrayOf(values, at, secret))
}

function named(json: JsonObject, path: string): { id: string; name: string } {
  return { id: asString(json['id'], `${path}.id`), name: asString(json['name'], `${path}.name`) }
}

/** Those of the named text members that are there. */
function members<Name extends string>(
  json: JsonObject,
  path: string,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const found: Partial<Record<Name, string>> = {}
  for (const name of names) {
    if (json[name] !== undefined) found[name] = asString(json[name], `${path}.${name}`)
  }
  return found
}
