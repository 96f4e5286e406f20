import * as v from 'valibot'

/** The object of a namespace, as `namespace/name`. */
export type ObjectName = { namespace: string; name: string }

/** One key of a Secret, as `namespace/name/key`. */
export type SecretKeyName = ObjectName & { key: string }

/** RFC 1123 label: what a namespace may be called. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** RFC 1123 subdomain of at most 253 characters: what a Secret or a CompassConnection may be called. */
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/

/** What a key of a Secret may be called. */
const KEY = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,253}$/

const WANT_NAMESPACE = 'a namespace: lower-case letters, digits and -, at most 63'
const WANT_OBJECT =
  'a name in the cluster: lower-case letters, digits, - and dots between them, at most 253'

/** A namespace. */
export function namespaceName(about: string, examples: string[] = []) {
  return named(about, LABEL, WANT_NAMESPACE, examples)
}

/** The name of an object of the cluster. */
export function objectName(about: string, examples: string[] = []) {
  return named(about, SUBDOMAIN, WANT_OBJECT, examples)
}

/** `namespace/name` of a Secret. */
export function secretName(about: string, examples: string[]) {
  const want = 'namespace/name of a Secret'
  return v.pipe(
    v.string(want),
    v.title('namespace/name'),
    v.description(about),
    v.examples(examples),
    v.check((text) => parseObjectName(text) !== undefined, want),
    v.transform((text): ObjectName => parseObjectName(text) ?? { namespace: '', name: '' }),
  )
}

/** `namespace/name/key` of a Secret. */
export function secretKeyName(about: string, examples: string[]) {
  const want = 'namespace/name/key of a Secret'
  return v.pipe(
    v.string(want),
    v.title('namespace/name/key'),
    v.description(about),
    v.examples(examples),
    v.check((text) => parseSecretKeyName(text) !== undefined, want),
    v.transform(
      (text): SecretKeyName => parseSecretKeyName(text) ?? { namespace: '', name: '', key: '' },
    ),
  )
}

/** Whether the API would take it for a namespace. */
export function isNamespace(text: string): boolean {
  return LABEL.test(text)
}

/** Whether the API would take it for the name of a Secret. */
export function isObjectName(text: string): boolean {
  return SUBDOMAIN.test(text)
}

function parseObjectName(text: string): ObjectName | undefined {
  const [namespace = '', name = '', ...rest] = text.split('/')
  const valid = rest.length === 0 && LABEL.test(namespace) && SUBDOMAIN.test(name)
  return valid ? { namespace, name } : undefined
}

function parseSecretKeyName(text: string): SecretKeyName | undefined {
  const at = text.lastIndexOf('/')
  const object = parseObjectName(text.slice(0, Math.max(at, 0)))
  const key = text.slice(at + 1)
  return object !== undefined && KEY.test(key) ? { ...object, key } : undefined
}

function named(about: string, pattern: RegExp, want: string, examples: string[]) {
  return v.pipe(v.string(want), v.description(about), v.examples(examples), v.regex(pattern, want))
}
