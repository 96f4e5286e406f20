import type { ConfigObject, ConfigValue } from '../model/config-value.ts'
import { sha256 } from '../model/digest.ts'
import { matchesGlob } from '../model/names.ts'
import { problem } from '../model/problem.ts'
import { Secret } from '../model/secret.ts'
import type { ConfigDocument, Owner } from '../model/target.ts'
import type { DaprPart } from './dapr-applications.ts'
import { storedText } from './dapr-credentials.ts'
import { DAPR_KINDS, DaprContent, daprObject, isMap } from './dapr-document.ts'
import type { DaprDocument, DaprKind, DaprSecret, Json, JsonMap } from './dapr-document.ts'
import type { DaprRules } from './dapr-rules.ts'
import { faultIn } from './dapr-schema.ts'

/*
 * Documents of the Runtime Director as Dapr has them, pure: secrets become references into our store, ignoreErrors and
 * scopes are ours to say, and what daprd would not take as it is meant is a named problem of that document.
 */

const documentKey = ({ id }: { id: string }): string => `config/${id}`

/** What may read or write files and variables of the machine of daprd: only when it is named in full. */
const LOCAL = new Set([
  'bindings.localstorage',
  'crypto.dapr.jwks',
  'crypto.dapr.localstorage',
  'secretstores.local.env',
  'secretstores.local.file',
])

export function renderDocument(given: ConfigDocument, rules: DaprRules): DaprPart {
  const owner: Owner = { slice: 'configuration', document: given.id }
  const subject = `${given.kind} ${given.name}`
  const refuse = (why: string): DaprPart => {
    const message = `Cannot give ${subject} to Dapr: ${why}`
    return {
      objects: [],
      problems: [
        { owner, problem: problem('document_refused', message, { subject }), withheld: true },
      ],
    }
  }
  const { kind } = given
  if (!isKind(kind))
    return refuse(
      kind === 'Configuration'
        ? NO_CONFIGURATION
        : `not of a kind that it reads from files (${Object.keys(DAPR_KINDS).join(', ')})`,
    )
  if (given.apiVersion !== DAPR_KINDS[kind])
    return refuse(`its apiVersion is ${given.apiVersion}, and daprd reads ${DAPR_KINDS[kind]}`)
  const moved = withoutSecrets(given)
  if ('why' in moved) return refuse(moved.why)
  const document = settled(moved.document, kind, given.name)
  const why =
    faultIn(kind, document) ??
    storeFault(document, moved.secret, rules) ??
    ruleFault(document as DaprDocument, moved.secret, rules)
  if (why !== undefined) return refuse(why)
  return {
    objects: [
      daprObject(
        documentKey(given),
        owner,
        finished(document as DaprDocument, moved.secret, rules),
      ),
    ],
    problems: [],
  }
}

const NO_CONFIGURATION =
  'a Configuration among the resources would restart daprd at each change: its file is given to daprd with --config'

function isKind(kind: string): kind is DaprKind {
  return Object.hasOwn(DAPR_KINDS, kind)
}

/** What is decided here whatever the document says. */
function settled(document: JsonMap, kind: DaprKind, name: string): JsonMap {
  const { metadata, spec } = document
  const { labels, annotations } = isMap(metadata) ? metadata : {}
  const meta: JsonMap = {
    name,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  }
  const ours = kind === 'Component' && isMap(spec) ? { ...spec, ignoreErrors: true } : spec
  return { ...document, metadata: meta, ...(ours === undefined ? {} : { spec: ours }) }
}

/** One Component has one store: what it refers to by itself cannot be in ours. */
function storeFault(
  document: JsonMap,
  secret: DaprSecret | undefined,
  { store }: DaprRules,
): string | undefined {
  const { auth } = document
  const own = isMap(auth) ? auth['secretStore'] : undefined
  if (secret === undefined || typeof own !== 'string' || own === '' || own === store)
    return undefined
  return `it has secrets inside and refers to those of the store ${own}, and Dapr knows one store a document`
}

function ruleFault(
  { kind, metadata: { name }, spec, scopes }: DaprDocument,
  secret: DaprSecret | undefined,
  rules: DaprRules,
): string | undefined {
  if (/^ucl-/.test(name)) return 'names that begin with ucl- are those of applications'
  if (kind === 'HTTPEndpoint' && rules.scopes.includes(name))
    return 'an HTTPEndpoint of the name of an application would take its calls'
  if (kind === 'HTTPEndpoint' && rules.endpoints === 'none') return 'endpoints is none'
  if (kind === 'HTTPEndpoint' && secret !== undefined && rules.endpoints !== 'all')
    return 'an HTTPEndpoint with secrets makes daprd restart at each change of anything (endpoints: all allows it)'
  const { type } = spec
  if (kind === 'Component' && typeof type === 'string' && !isAllowedType(type, rules.types))
    return `types does not let Components of type ${type} in`
  if (rules.scopes.length === 0 || scopes === undefined || scopes.length === 0) return undefined
  const common = scopes.some((scope) => rules.scopes.includes(scope))
  return common ? undefined : `none of its scopes (${scopes.join(', ')}) is one of the target's`
}

function isAllowedType(type: string, allowed: readonly string[]): boolean {
  const known = type.toLowerCase()
  return LOCAL.has(known)
    ? allowed.some((one) => one.toLowerCase() === known)
    : allowed.some((one) => matchesGlob(one.toLowerCase(), known))
}

function finished(
  document: DaprDocument,
  secret: DaprSecret | undefined,
  rules: DaprRules,
): DaprContent {
  const { scopes: given = [], auth: _, ...rest } = document
  const scopes =
    rules.scopes.length === 0 || given.length === 0
      ? [...given, ...(given.length === 0 ? rules.scopes : [])]
      : given.filter((scope) => rules.scopes.includes(scope))
  const store = secret === undefined ? document.auth?.secretStore : rules.store
  return new DaprContent(
    {
      ...rest,
      ...(store === undefined || store === '' ? {} : { auth: { secretStore: store } }),
      ...(scopes.length === 0 ? {} : { scopes }),
    },
    secret,
  )
}

type Moved = { document: JsonMap; secret: DaprSecret | undefined } | { why: string }

/** Puts a reference where a secret stands. Dapr has a place for one beside `value`, and nowhere else. */
function withoutSecrets({ document, kind, name }: ConfigDocument): Moved {
  const secret = `ucl-config-${kind.toLowerCase()}-${name}`
  const values = new Map<string, Secret>()
  const stuck: string[] = []
  const move = (value: ConfigValue, path: string): Json => {
    if (value instanceof Secret) {
      stuck.push(path)
      return null
    }
    if (value === null || typeof value !== 'object') return value
    if (Array.isArray(value)) return value.map((item, index) => move(item, `${path}[${index}]`))
    const inline = value['value']
    const members = Object.entries(value).filter(
      ([key]) => !(key === 'value' && inline instanceof Secret),
    )
    const moved: JsonMap = Object.fromEntries(
      members.map(([key, member]) => [key, move(member, path === '' ? key : `${path}.${key}`)]),
    )
    if (!(inline instanceof Secret)) return moved
    const key = keyFor(value, path, values)
    values.set(key, storedText(inline))
    return { ...moved, secretKeyRef: { name: secret, key } }
  }
  const plain = move(document, '')
  if (stuck.length > 0)
    return { why: `it has a secret in ${stuck.join(', ')}, where Dapr takes no reference to one` }
  return {
    document: isMap(plain) ? plain : {},
    secret: values.size === 0 ? undefined : { name: secret, values: Object.fromEntries(values) },
  }
}

/** By the name of the item; two of one name are told apart by their place. */
function keyFor(item: ConfigObject, path: string, taken: ReadonlyMap<string, unknown>): string {
  const name = typeof item['name'] === 'string' ? item['name'] : path
  const safe = /^[A-Za-z0-9_-]{1,100}$/.test(name) ? name : `item-${sha256(name).slice(0, 16)}`
  return taken.has(safe) ? `${safe}-${sha256(path).slice(0, 8)}` : safe
}
