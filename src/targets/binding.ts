import type { BindingTypeRule } from '../config/config.ts'
import type {
  ApiDefinition,
  Application,
  Auth,
  Bundle,
  Credential,
  EventDefinition,
  Multimap,
} from '../model/application.ts'
import { matchesGlob } from '../model/names.ts'
import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'

/** One key of a binding. Values may be secrets: they are made on the way into a private file and kept nowhere. */
export type BindingEntry = {
  /** Lower-case kebab (Cloud Foundry refuses others). */
  key: string
  value: string
  format: 'text' | 'json'
}

export type Binding = {
  /** Missing: these credentials cannot be written, and a binding without them must not take the place of one with them. */
  entries?: BindingEntry[]
  problems: Problem[]
}

const DEFAULT_TYPE = 'ucl-api'

/**
 * A bundle as the keys of a binding, the same for files, Kubernetes Secrets and Cloud Foundry (reference/vm.md §2).
 * Always with `type` first; `ucl-revision` and `.metadata` are added by whoever writes it.
 */
export function bindingOf(
  application: Application,
  bundle: Bundle,
  types: readonly BindingTypeRule[],
): Binding {
  const unsupported = unsupportedIn(bundle.auth)
  if (unsupported !== undefined) return { problems: [refused(application, bundle, unsupported)] }
  const entries = [
    text('type', typeOf(application, bundle, types)),
    text('provider', application.providerName === '' ? 'ucl' : (application.providerName ?? 'ucl')),
    ...address(bundle.apis),
    json('target-urls', Object.fromEntries(bundle.apis.map((api) => [api.name, api.targetUrl]))),
    json('apis', bundle.apis.map(describe)),
    json('events', bundle.events.map(describe)),
    ...credentials(bundle.auth),
    text('ucl-application-id', application.id),
    text('ucl-bundle-id', bundle.id),
  ]
  return { entries, problems: suspects(application, bundle, entries) }
}

/** Says when a binding changed last; what it says is the business of whoever writes it. */
export const REVISION = 'ucl-revision'
const DESCRIPTOR = '.metadata'

/** What readers of a binding find, the revision excepted. */
export function publishedValues(entries: readonly BindingEntry[]): [key: string, value: string][] {
  const revision: BindingEntry = { key: REVISION, value: '', format: 'text' }
  return [
    ...entries.map(({ key, value }): [string, string] => [key, value]),
    [DESCRIPTOR, descriptor([...entries, revision])],
  ]
}

/**
 * Every key that a binding of this or an earlier version may have: these are ours in an object that others may add keys
 * to. None is ever taken away from the list.
 */
export const BINDING_KEYS: readonly string[] = [
  ...['type', 'provider', 'uri', 'host', 'port', 'target-urls', 'apis', 'events'],
  ...['credentials-type', 'username', 'password', 'client-id', 'client-secret', 'token-uri'],
  ...['request-headers', 'request-query-params', 'csrf-token-uri', 'csrf-credentials-type'],
  ...['csrf-username', 'csrf-password', 'csrf-client-id', 'csrf-client-secret'],
  ...['csrf-oauth-token-uri', 'csrf-request-headers', 'csrf-request-query-params'],
  ...['ucl-application-id', 'ucl-bundle-id', REVISION, DESCRIPTOR],
]

/** @testing The BTP descriptor of a binding: tells @sap/xsenv which keys are JSON. */
export function descriptor(entries: readonly BindingEntry[]): string {
  const of = ({ key, format }: BindingEntry): object => ({ name: key, format })
  return JSON.stringify({
    metaDataProperties: entries.filter(isMeta).map(of),
    credentialProperties: entries.filter((entry) => !isMeta(entry)).map(of),
  })
}

/** `type` and `provider` describe a binding, everything else is what a client needs. */
export function isMeta({ key }: BindingEntry): boolean {
  return key === 'type' || key === 'provider'
}

/** `credentials-type` of an auth. */
export function credentialsType(auth: Auth | undefined): string {
  switch (auth?.credential?.type) {
    case 'basic':
      return 'basic_auth'
    case 'oauth':
      return 'oauth'
    case 'certificate_oauth':
      return 'certificate_oauth'
    case 'unknown':
      return 'unknown'
    case undefined:
      return hasParameters(auth) ? 'request_parameters' : 'no_auth'
  }
}

function hasParameters(auth: Auth | undefined): boolean {
  return [auth?.headers, auth?.queryParams].some((map) => map && Object.keys(map).length > 0)
}

function text(key: string, value: string): BindingEntry {
  // A lone surrogate has no UTF-8; read back it would seem to have drifted.
  return { key, value: value.toWellFormed(), format: 'text' }
}

function json(key: string, value: unknown): BindingEntry {
  return { key, value: JSON.stringify(value), format: 'json' }
}

function typeOf(
  application: Application,
  bundle: Bundle,
  types: readonly BindingTypeRule[],
): string {
  const is = (pattern: string, { id, name }: { id: string; name: string }): boolean =>
    matchesGlob(pattern, name) || matchesGlob(pattern, id)
  const rule = types.find(
    (one) =>
      is(one.application, application) && (one.bundle === undefined || is(one.bundle, bundle)),
  )
  return rule?.type ?? DEFAULT_TYPE
}

/** `uri`, `host`, `port`: only when all APIs share one target URL, else a client would call the wrong one. */
function address(apis: readonly ApiDefinition[]): BindingEntry[] {
  const [url, ...others] = new Set(apis.map(({ targetUrl }) => targetUrl))
  if (url === undefined || others.length > 0) return []
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const port = parsed?.port || { 'https:': '443', 'http:': '80' }[parsed?.protocol ?? '']
  return [
    text('uri', url),
    ...(parsed?.hostname ? [text('host', parsed.hostname)] : []),
    ...(parsed?.hostname && port ? [text('port', port)] : []),
  ]
}

function describe(definition: EventDefinition & { targetUrl?: string }): object {
  const { id, name, targetUrl, version } = definition
  return {
    id,
    name,
    ...(targetUrl === undefined ? {} : { 'target-url': targetUrl }),
    ...(version === undefined ? {} : { version: version.value }),
  }
}

function credentials(auth: Auth | undefined): BindingEntry[] {
  const { credential, headers, queryParams, csrf } = auth ?? {}
  return [
    text('credentials-type', credentialsType(auth)),
    ...credentialEntries('', credential),
    ...parameters('', headers, queryParams),
    ...(csrf === undefined
      ? []
      : [
          text('csrf-token-uri', csrf.tokenUrl),
          ...(csrf.credential ? [text('csrf-credentials-type', credentialsType(csrf))] : []),
          ...credentialEntries('csrf-', csrf.credential),
          ...parameters('csrf-', csrf.headers, csrf.queryParams),
        ]),
  ]
}

const CREDENTIAL_KEYS = new Set([
  'password',
  'client-secret',
  'request-headers',
  'request-query-params',
  'csrf-token-uri',
])

/** Whether a key is only there with credentials. */
export function isCredentialKey(key: string): boolean {
  return CREDENTIAL_KEYS.has(key)
}

function credentialEntries(prefix: string, credential: Credential | undefined): BindingEntry[] {
  switch (credential?.type) {
    case 'basic':
      return [
        text(`${prefix}username`, credential.username.reveal()),
        text(`${prefix}password`, credential.password.reveal()),
      ]
    case 'oauth':
      return [
        text(`${prefix}client-id`, credential.clientId.reveal()),
        text(`${prefix}client-secret`, credential.clientSecret.reveal()),
        // `csrf-token-uri` is the place of the CSRF token itself.
        text(prefix === '' ? 'token-uri' : `${prefix}oauth-token-uri`, credential.tokenUrl),
      ]
    case 'certificate_oauth':
    case 'unknown':
    case undefined:
      return []
  }
}

function parameters(
  prefix: string,
  headers: Multimap | undefined,
  queryParams: Multimap | undefined,
): BindingEntry[] {
  return [
    ...multimap(`${prefix}request-headers`, headers),
    ...multimap(`${prefix}request-query-params`, queryParams),
  ]
}

function multimap(key: string, map: Multimap | undefined): BindingEntry[] {
  const members = Object.entries(map ?? {})
  if (members.length === 0) return []
  const revealed = members.map(([name, values]) => [name, values.map((value) => value.reveal())])
  return [json(key, Object.fromEntries(revealed))]
}

/** What kind of credentials cannot be written, in words. */
function unsupportedIn(auth: Auth | undefined): string | undefined {
  for (const credential of [auth?.credential, auth?.csrf?.credential]) {
    if (credential?.type === 'certificate_oauth') return 'OAuth with a certificate'
    if (credential?.type === 'unknown') return credential.typename
  }
  return undefined
}

function refused(application: Application, bundle: Bundle, kind: string): Problem {
  const subject = `${application.name} / ${bundle.name}`
  return problem(
    'credentials_unsupported',
    `Cannot use the credentials of ${subject}: Compass gives no private key for ${kind}`,
    { subject },
  )
}

/** Three of five binding libraries cut white space at the end of a value (reference/observed-platforms.md §4). */
function suspects(application: Application, bundle: Bundle, entries: BindingEntry[]): Problem[] {
  const keys = entries
    .filter(({ value, format }) => format === 'text' && value !== value.trim())
    .map(({ key }) => key)
  if (keys.length === 0) return []
  const subject = `${application.name} / ${bundle.name}`
  return [
    problem(
      'value_suspect',
      `Cannot promise that readers see ${keys.join(', ')} of ${subject} as it is: it begins or ends in white space`,
      { subject },
    ),
  ]
}
