import { concealed, revealed, secretPaths } from './config-value.ts'
import type { ConfigObject, SecretPath } from './config-value.ts'
import { digestConfiguration } from './configuration.ts'
import type { ConfigurationSnapshot, Refusal } from './configuration.ts'
import { arrayOf, asNumber, asObject, asString, Malformed, optional } from './decode.ts'
import type { JsonObject } from './decode.ts'
import { canonicalPieces } from './digest.ts'
import { PROBLEMS, problem } from './problem.ts'
import type { Code, Problem, Turn } from './problem.ts'
import { markComplete } from './snapshot.ts'
import type { ConfigDocument } from './target.ts'

const VERSION = 1

/** As text for a private file (0600): JSON with all secrets revealed, and where they are. Equal ones give equal text. */
export function encodeConfiguration(configuration: ConfigurationSnapshot): string {
  const documents = configuration.documents.map(({ document, ...rest }) => ({
    ...rest,
    document: revealed(document),
    secrets: secretPaths(document),
  }))
  return `${[...canonicalPieces({ version: VERSION, ...configuration, documents })].join('')}\n`
}

/** The reverse. Damaged text, or one of another version, is a problem and no configuration: never an error. */
export function decodeConfiguration(text: string): {
  configuration?: ConfigurationSnapshot
  problem?: Problem
} {
  try {
    const content: unknown = JSON.parse(text)
    return { configuration: decode(asObject(content, 'configuration')) }
  } catch (thrown) {
    // The text of a JSON error quotes what it read, which may be a secret.
    const why = thrown instanceof Malformed ? thrown.message : 'not JSON'
    return { problem: problem('snapshot_damaged', `Cannot use the kept configuration: ${why}`) }
  }
}

function decode(json: JsonObject): ConfigurationSnapshot {
  if (json['version'] !== VERSION) throw new Malformed(`version is not ${VERSION}`)
  const etag = optional(json['etag'], 'etag', asString)
  const content = {
    runtimeId: asString(json['runtimeId'], 'runtimeId'),
    documents: markComplete(arrayOf(json['documents'], 'documents', decodeDocument)),
    refused: arrayOf(json['refused'], 'refused', decodeRefusal),
    rules: asString(json['rules'], 'rules'),
  }
  const digest = asString(json['digest'], 'digest')
  if (digestConfiguration(content) !== digest) throw new Malformed('its content was changed')
  const fetchedAt = asNumber(json['fetchedAt'], 'fetchedAt')
  return { ...content, fetchedAt, digest, ...(etag === undefined ? {} : { etag }) }
}

function decodeDocument(value: unknown, path: string): ConfigDocument {
  const json = asObject(value, path)
  const text = (name: string): string => asString(json[name], `${path}.${name}`)
  const namespace = optional(json['namespace'], `${path}.namespace`, asString)
  const restartSelector = optional(json['restartSelector'], `${path}.restartSelector`, asString)
  const secrets = arrayOf(json['secrets'], `${path}.secrets`, decodePath)
  // JSON is what a ConfigValue is before its secrets are concealed.
  const plain = asObject(json['document'], `${path}.document`) as ConfigObject
  return {
    id: text('id'),
    apiVersion: text('apiVersion'),
    kind: text('kind'),
    ...(namespace === undefined ? {} : { namespace }),
    name: text('name'),
    document: concealed(plain, secrets) as ConfigObject,
    ...(restartSelector === undefined ? {} : { restartSelector }),
  }
}

function decodePath(value: unknown, path: string): SecretPath {
  return arrayOf(value, path, (item, at) => (typeof item === 'number' ? item : asString(item, at)))
}

function decodeRefusal(value: unknown, path: string): Refusal {
  const json = asObject(value, path)
  const { keeps } = json
  const found = decodeProblem(json['problem'], `${path}.problem`)
  if (keeps === undefined) return { problem: found }
  if (keeps === 'everything') return { problem: found, keeps }
  const document = asString(asObject(keeps, `${path}.keeps`)['document'], `${path}.keeps.document`)
  return { problem: found, keeps: { document } }
}

function decodeProblem(value: unknown, path: string): Problem {
  const json = asObject(value, path)
  const text = (name: string): string => asString(json[name], `${path}.${name}`)
  const [code, turn] = [text('code'), text('turn')]
  if (!isCode(code) || !isTurn(turn)) throw new Malformed(`${path} is unknown`)
  const subject = optional(json['subject'], `${path}.subject`, asString)
  return problem(code, text('message'), { hint: text('hint'), turn, subject })
}

function isCode(text: string): text is Code {
  return Object.hasOwn(PROBLEMS, text)
}

function isTurn(text: string): text is Turn {
  return ['agent', 'operator', 'compass', 'application'].includes(text)
}
