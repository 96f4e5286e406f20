import { AgentError } from '../model/problem.ts'

/** One attribute of a name. `type` is the short name of {@link attributeOid}'s table, else a dotted OID. */
export type Attribute = { readonly type: string; readonly value: string }

/**
 * A certificate subject as an ordered list, one attribute a relative name (Compass knows no multi-valued ones).
 * Order, repetition and empty values matter: the Connector compares the first value of each type.
 */
export type DistinguishedName = readonly Attribute[]

/** Short name, OID, and the other spellings that tools print. The first six are all that the stock Connector names. */
const ATTRIBUTES: readonly (readonly [name: string, oid: string, ...others: string[]])[] = [
  ['O', '2.5.4.10', 'organizationName'],
  ['OU', '2.5.4.11', 'organizationalUnitName'],
  ['L', '2.5.4.7', 'localityName'],
  ['ST', '2.5.4.8', 'stateOrProvinceName'],
  ['C', '2.5.4.6', 'countryName'],
  ['CN', '2.5.4.3', 'commonName'],
  ['DC', '0.9.2342.19200300.100.1.25', 'domainComponent'],
  ['UID', '0.9.2342.19200300.100.1.1', 'userId'],
  ['STREET', '2.5.4.9', 'streetAddress'],
  ['SERIALNUMBER', '2.5.4.5'],
  ['POSTALCODE', '2.5.4.17'],
  ['EMAIL', '1.2.840.113549.1.9.1', 'emailAddress', 'E'],
]

const OIDS = new Map(ATTRIBUTES.map(([name, oid]) => [name, oid]))
const NAMES = new Map(
  ATTRIBUTES.flatMap(([name, ...spellings]) =>
    [name, ...spellings].map((spelling) => [spelling.toUpperCase(), name] as const),
  ),
)

/** The OID of an attribute type; a type that is no known name is an OID already. */
export function attributeOid(type: string): string {
  return OIDS.get(type) ?? type
}

/** The short name for an OID or any known spelling; undefined when it is unknown. */
export function attributeName(spelling: string): string | undefined {
  return NAMES.get(spelling.toUpperCase())
}

/** Longest subject that is read, in characters; the real ones have about 100. */
const LONGEST = 4096

const SPELLINGS = [...NAMES.keys()].map((name) => name.replaceAll('.', '\\.')).join('|')
/** Any dotted OID separates too, so that one which is not known is refused instead of glued to the value before it. */
const TYPE = `(?:OID\\.)?(${SPELLINGS}|\\d+(?:\\.\\d+)+)=`
const FIRST = new RegExp(`^ *${TYPE}`, 'i')
const NEXT = new RegExp(`(\\\\*), *${TYPE}`, 'gi')
/** What RFC 4514 lets stand after a backslash; a backslash before anything else is one of the value. */
const ESCAPE = /((?:\\[0-9a-f]{2})+)|\\([ "#+,;<=>\\])/gi

/**
 * Reads the subject that the Connector wants to see in the CSR.
 *
 * Compass fills `O=%s,OU=%s,L=%s,ST=%s,C=%s,CN=%s` without escaping anything (reference/connector.md §4), so a value may
 * hold `=`, `+`, spaces and commas. A comma ends a value only when a known attribute name (or an OID) and `=` follow;
 * white space is kept, except between that comma and the name. For Connectors that do escape, RFC 4514 escapes and
 * RFC 2253 quotes are taken away; what only looks like one (`\x`, bytes that are no UTF-8, a lone quote) stays as it is.
 * A `+` never starts another attribute.
 *
 * @throws AgentError `subject_invalid`, before a key or token is spent on it
 */
export function parseSubject(text: string): DistinguishedName {
  if (text.length > LONGEST) throw invalid(`it has ${text.length} characters`)
  if (!text.isWellFormed()) throw invalid('it is not well-formed Unicode')
  const first = FIRST.exec(text)
  if (first === null) throw invalid('it does not begin with a known attribute name and "="')
  const attributes: Attribute[] = []
  let type = first[1] ?? ''
  let start = first[0].length
  for (const separator of separators(text, start)) {
    attributes.push(attribute(type, text.slice(start, separator.at)))
    type = separator.type
    start = separator.end
  }
  attributes.push(attribute(type, text.slice(start)))
  return attributes
}

type Separator = { at: number; end: number; type: string }

function* separators(text: string, from: number): Generator<Separator> {
  let start = from
  for (const match of text.matchAll(NEXT)) {
    const [all, backslashes = '', type = ''] = match
    if (match.index < from || backslashes.length % 2 === 1) continue
    const at = match.index + backslashes.length
    if (insideQuotes(text.slice(start, at), text.slice(at))) continue
    start = match.index + all.length
    yield { at, end: start, type }
  }
}

/** True when the value began with a quote, has not closed it yet, and closes it later right before an end or a comma. */
function insideQuotes(before: string, after: string): boolean {
  return /^"(?:[^"\\]|\\.)*$/s.test(before) && /^(?:[^"\\]|\\.)*"(?= *(?:,|$))/s.test(after)
}

function attribute(type: string, raw: string): Attribute {
  const name = attributeName(type)
  if (name === undefined) throw invalid(`the attribute ${type} is not known`)
  return { type: name, value: unescape(unquote(raw)) }
}

function unquote(raw: string): string {
  return /^"((?:[^"\\]|\\.)*)" *$/s.exec(raw)?.[1] ?? raw
}

function unescape(raw: string): string {
  return raw.replace(ESCAPE, (all: string, bytes: string | undefined, character: string) =>
    bytes === undefined ? character : (utf8(bytes) ?? all),
  )
}

/** `\c3\b6` as text, or undefined when the bytes are no UTF-8. */
function utf8(escapes: string): string | undefined {
  const bytes = Uint8Array.from(escapes.split('\\').slice(1), (hex) => Number.parseInt(hex, 16))
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function invalid(why: string): AgentError {
  return new AgentError('subject_invalid', `Cannot use the subject of the Connector: ${why}`)
}

/** RFC 4514 text, in the order given, escaped so that {@link parseSubject} reads back the same list. */
export function formatSubject(name: DistinguishedName): string {
  return name.map(({ type, value }) => `${type}=${escapeValue(value)}`).join(',')
}

function escapeValue(value: string): string {
  return (
    value
      .replace(/[",+;<=>\\]/g, '\\$&')
      .replace(/^[ #]| $/g, '\\$&')
      // Control characters would break a line of a log or a file.
      .replace(
        /[\u0000-\u001f\u007f]/g,
        (c) => `\\${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
      )
  )
}

/**
 * Whether a certificate's subject is the one asked for: every attribute asked is there as often as asked, and the common
 * name is exactly the one asked.
 *
 * Order is no matter: the stock Connector writes them anew as C, ST, L, O, OU, CN. Empty values may be left out, and
 * attributes that a Connector adds besides do no harm.
 */
export function subjectFits(asked: DistinguishedName, got: DistinguishedName): boolean {
  const left = got.map(({ type, value }) => `${type}=${value}`)
  for (const { type, value } of asked) {
    if (value === '') continue
    const index = left.indexOf(`${type}=${value}`)
    if (index < 0) return false
    left.splice(index, 1)
  }
  return !left.some((rest) => rest.startsWith('CN=') && rest !== 'CN=')
}
