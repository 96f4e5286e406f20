import { isMap } from './dapr-document.ts'
import type { DaprKind, Json } from './dapr-document.ts'

/*
 * The shapes of Dapr's documents as its Go types have them (reference/dapr.md §1), strictly: a member that daprd does not
 * know would be dropped without a word, and one of another type would make the whole document unreadable, which removes
 * the live Component.
 */

/** The first fault, as the second half of a sentence. */
type Check = (value: Json, path: string) => string | undefined

/** What is wrong with a document of this kind; undefined: nothing. */
export function faultIn(kind: DaprKind, document: Json): string | undefined {
  return DOCUMENTS[kind](document, '')
}

const text: Check = (value, path) => (typeof value === 'string' ? undefined : `${path} is no text`)
const some: Check = (value, path) =>
  typeof value === 'string' && value !== '' ? undefined : `${path} is empty or no text`
const flag: Check = (value, path) =>
  typeof value === 'boolean' ? undefined : `${path} is neither true nor false`
const whole: Check = (value, path) =>
  Number.isSafeInteger(value) ? undefined : `${path} is no whole number`
const matching =
  (pattern: RegExp, what: string): Check =>
  (value, path) =>
    typeof value === 'string' && pattern.test(value) ? undefined : `${path} is no ${what}`

/** As Go reads them; an empty one is that of Dapr. */
const length = matching(/^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$/, 'length of time such as 5s')
const url = matching(/^https?:\/\/[^/\s]/, 'http:// or https:// URL')

const listOf =
  (check: Check): Check =>
  (value, path) =>
    Array.isArray(value)
      ? first(value.map((item, index) => check(item, `${path}[${index}]`)))
      : `${path} is no list`

const mapOf =
  (check: Check): Check =>
  (value, path) =>
    isMap(value)
      ? first(Object.entries(value).map(([key, member]) => check(member, `${path}.${key}`)))
      : `${path} is no section`

/** A name that ends in `!` must be there. */
function section(members: Record<string, Check>): Check {
  const known = new Map(
    Object.entries(members).map(([name, check]) => [name.replace('!', ''), check]),
  )
  const needed = Object.keys(members).flatMap((name) =>
    name.endsWith('!') ? [name.slice(0, -1)] : [],
  )
  return (value, path) => {
    if (!isMap(value)) return `${path === '' ? 'it' : path} is no section`
    const at = (name: string): string => (path === '' ? name : `${path}.${name}`)
    return first([
      ...needed
        .filter((name) => !Object.hasOwn(value, name))
        .map((name) => `${at(name)} is missing`),
      ...Object.entries(value).map(([name, member]) => {
        const check = known.get(name)
        return check === undefined
          ? `${at(name)} is nothing that daprd knows`
          : check(member, at(name))
      }),
    ])
  }
}

function first(faults: (string | undefined)[]): string | undefined {
  return faults.find((fault) => fault !== undefined)
}

const any: Check = () => undefined
/** daprd hands none of these on, and goes on with an empty value. */
const variable: Check = (value, path) =>
  some(value, path) ??
  (typeof value === 'string' && /^(DAPR_|APP_API_TOKEN$)/.test(value)
    ? `${path} names a variable that daprd hands to no Component`
    : undefined)
const ref = section({ 'name!': some, key: text })

/** At most one way to give a value. */
function one(members: Record<string, Check>): Check {
  const shape = section(members)
  return (value, path) => {
    const ways = isMap(value)
      ? ['value', 'secretKeyRef', 'envRef'].filter((way) => Object.hasOwn(value, way))
      : []
    return (
      shape(value, path) ?? (ways.length > 1 ? `${path} has both ${ways.join(' and ')}` : undefined)
    )
  }
}

const item = one({ 'name!': some, value: any, secretKeyRef: ref, envRef: variable })
const tlsValue = one({ value: text, secretKeyRef: ref })
const names = listOf(some)

const head = {
  'apiVersion!': some,
  'kind!': some,
  'metadata!': section({ 'name!': some, labels: mapOf(text), annotations: mapOf(text) }),
}

const retry = section({
  policy: matching(/^(constant|exponential)?$/, 'policy of retries'),
  duration: length,
  maxInterval: length,
  maxRetries: whole,
  matching: section({ httpStatusCodes: text, gRPCStatusCodes: text }),
})
const breaker = section({ maxRequests: whole, interval: length, timeout: length, trip: text })
const policies = { timeout: text, retry: text, circuitBreaker: text }
const scoped = { circuitBreakerScope: text, circuitBreakerCacheSize: whole }
const direction = section(policies)

const DOCUMENTS: Record<DaprKind, Check> = {
  Component: section({
    ...head,
    'spec!': section({
      'type!': some,
      'version!': some,
      ignoreErrors: flag,
      initTimeout: length,
      metadata: listOf(item),
    }),
    auth: section({ secretStore: text }),
    scopes: names,
  }),
  HTTPEndpoint: section({
    ...head,
    'spec!': section({
      'baseUrl!': url,
      headers: listOf(item),
      clientTLS: section({
        rootCA: tlsValue,
        certificate: tlsValue,
        privateKey: tlsValue,
        renegotiation: matching(/^(Never|OnceAsClient|FreelyAsClient)$/, 'kind of renegotiation'),
      }),
    }),
    auth: section({ secretStore: text }),
    scopes: names,
  }),
  Subscription: section({
    ...head,
    'spec!': section({
      'pubsubname!': some,
      'topic!': some,
      'routes!': section({ rules: listOf(section({ match: text, 'path!': some })), default: text }),
      deadLetterTopic: text,
      bulkSubscribe: section({
        'enabled!': flag,
        maxMessagesCount: whole,
        maxAwaitDurationMs: whole,
      }),
      metadata: mapOf(text),
    }),
    scopes: names,
  }),
  Resiliency: section({
    ...head,
    'spec!': section({
      policies: section({
        timeouts: mapOf(length),
        retries: mapOf(retry),
        circuitBreakers: mapOf(breaker),
      }),
      targets: section({
        apps: mapOf(section({ ...policies, ...scoped })),
        actors: mapOf(section({ ...policies, ...scoped })),
        components: mapOf(section({ inbound: direction, outbound: direction })),
      }),
    }),
    scopes: names,
  }),
}
