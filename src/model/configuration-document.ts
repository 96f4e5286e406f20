import type { ConfigObject, ConfigValue } from './config-value.ts'
import { canonicalJson } from './digest.ts'
import { matchesGlob } from './names.ts'
import { Secret } from './secret.ts'

/** One document, ready to apply. */
export type Made = {
  document: ConfigObject
  restartSelector?: string
  /** What was filled in, as the second half of a sentence. */
  note?: string
}

/**
 * What becomes of one item that is let in (reference/runtime-director.md §4 Transform 1 to 4). Its size was checked.
 *
 * The proof of concept's conventions are taken out: the annotation that marked a change, and the metadata item that named
 * Pods. So is what an API server adds when somebody copies an object out of a cluster.
 */
export function documentOf(
  item: ConfigObject,
  { apiVersion, kind }: { apiVersion: string; kind: string },
  secrets: readonly string[],
): Made {
  const { status: _, ...rest } = item
  const cleaned = withMember(rest, 'metadata', cleanMetadata)
  const made =
    kind === 'Component' && apiVersion.startsWith('dapr.io/')
      ? component(cleaned)
      : { document: cleaned }
  return { ...made, document: hideObject(made.document, secrets) }
}

const CHANGE_MARK = 'kcp-res-version'

/** Of one object in one cluster. Owners and finalizers would let others delete it, or keep it for ever. */
const OF_A_CLUSTER: ReadonlySet<string> = new Set([
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'ownerReferences',
  'finalizers',
  'selfLink',
  'generateName',
])

function cleanMetadata(metadata: ConfigValue): ConfigValue | undefined {
  if (!isObject(metadata)) return metadata
  const kept = only(metadata, (key) => !OF_A_CLUSTER.has(key))
  return withMember(kept, 'annotations', (annotations) => {
    if (!isObject(annotations)) return undefined
    const others = only(annotations, (key) => key !== CHANGE_MARK)
    return Object.keys(others).length === 0 ? undefined : others
  })
}

const SELECTOR = 'selector'
const VERSION = 'v1'

function component(document: ConfigObject): Made {
  const spec = document['spec']
  if (!isObject(spec)) return { document }
  const items = Array.isArray(spec['metadata']) ? spec['metadata'] : []
  const selectors = items.filter((one) => isObject(one) && one['name'] === SELECTOR)
  const [selector] = selectors.flatMap((one) =>
    isObject(one) && typeof one['value'] === 'string' ? one['value'] : [],
  )
  const version = spec['version']
  const fill = version === undefined || version === null || version === ''
  const filled: ConfigObject = {
    ...spec,
    ...(fill ? { version: VERSION } : {}),
    ...(selectors.length === 0
      ? {}
      : { metadata: items.filter((one) => !selectors.includes(one)) }),
  }
  return {
    document: { ...document, spec: filled },
    ...(selector === undefined ? {} : { restartSelector: selector }),
    ...(fill ? { note: `names no spec.version: ${VERSION} is meant` } : {}),
  }
}

/** A reference names a secret and is none. */
const REFERENCES: ReadonlySet<string> = new Set(['secretKeyRef', 'envRef', 'configMapKeyRef'])
const SECRET_TEXT = /^[a-z][a-z0-9+.-]*:\/\/[^/\s@]*:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----/i

/**
 * Secret leaves: the value of a `{name, value}` whose name says so (metadata of Components, headers of HTTPEndpoints),
 * text under a key that does, addresses with a password in them, private keys.
 */
function hide(value: ConfigValue, secrets: readonly string[]): ConfigValue {
  if (typeof value === 'string') return SECRET_TEXT.test(value) ? new Secret(value) : value
  if (Array.isArray(value)) return value.map((item) => hide(item, secrets))
  return isObject(value) ? hideObject(value, secrets) : value
}

function hideObject(object: ConfigObject, secrets: readonly string[]): ConfigObject {
  const name = object['name']
  const isNamedSo = typeof name === 'string' && isSecretName(name, secrets)
  return mapped(object, (key, member) => {
    if (REFERENCES.has(key)) return member
    if (key === 'value' && isNamedSo) return secretOf(member)
    return isSecretName(key, secrets) ? secretMember(member, secrets) : hide(member, secrets)
  })
}

/** `password: text`, or `privateKey: {value: text}` as in clientTLS. */
function secretMember(member: ConfigValue, secrets: readonly string[]): ConfigValue {
  if (typeof member === 'string') return new Secret(member)
  if (!isObject(member)) return hide(member, secrets)
  return mapped(member, (key, value) => (key === 'value' ? secretOf(value) : hide(value, secrets)))
}

/** Dapr reads a value that is not text as the text of its JSON. */
function secretOf(value: ConfigValue): ConfigValue {
  if (value === null || value instanceof Secret) return value
  return new Secret(typeof value === 'string' ? value : canonicalJson(value))
}

/** Dapr does not look at the case of names. */
function isSecretName(name: string, patterns: readonly string[]): boolean {
  const lower = name.toLowerCase()
  return patterns.some((pattern) => matchesGlob(pattern.toLowerCase(), lower))
}

function isObject(value: ConfigValue | undefined): value is ConfigObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Secret)
  )
}

/** Never by assignment: a key may be `__proto__`. */
function mapped(
  object: ConfigObject,
  map: (key: string, value: ConfigValue) => ConfigValue,
): ConfigObject {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(key, value)]))
}

function only(object: ConfigObject, wanted: (key: string) => boolean): ConfigObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => wanted(key)))
}

/** The same object with another member, or without it. */
function withMember(
  object: ConfigObject,
  key: string,
  change: (value: ConfigValue) => ConfigValue | undefined,
): ConfigObject {
  return Object.fromEntries(
    Object.entries(object).flatMap(([name, value]) => {
      const changed = name === key ? change(value) : value
      return changed === undefined ? [] : [[name, changed]]
    }),
  )
}
