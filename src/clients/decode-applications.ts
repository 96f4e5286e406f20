import type {
  ApiDefinition,
  Application,
  Auth,
  Bundle,
  Credential,
  Csrf,
  EventDefinition,
  InstanceAuth,
  Version,
} from '../model/application.ts'
import type { Json } from './decode.ts'
import { decodePage } from './pages.ts'
import type { Page } from './pages.ts'

/** An application of a page. `bundles`: the first page of them, for as long as `application.bundles` is still empty. */
export type ApplicationRow = { id: string; application: Application; bundles?: Page<BundleRow> }

/** A bundle of a page with the first pages of its definitions; `bundle.apis` and `bundle.events` are still empty. */
export type BundleRow = {
  id: string
  bundle: Bundle
  apis: Page<ApiDefinition>
  events: Page<EventDefinition>
}

/** Nulls of optional fields become missing members; a null in a required field does not fit. Names are data: any text. */
export function decodeApplication(entry: Json): ApplicationRow {
  const id = entry.text('id')
  const application: Application = {
    id,
    name: entry.text('name'),
    labels: entry.record('labels'),
    authIds: entry
      .listOrNone('auths')
      .map((auth) => auth.text('id'))
      .sort(),
    bundles: [],
    ...member('providerName', entry.textOrNone('providerName')),
    ...member('description', entry.textOrNone('description')),
    ...member('systemNumber', entry.textOrNone('systemNumber')),
    ...member('localTenantId', entry.textOrNone('localTenantID')),
  }
  return { id, application, bundles: decodePage(entry.object('bundles'), decodeBundle) }
}

export function decodeBundle(entry: Json): BundleRow {
  const id = entry.text('id')
  const auth = entry.objectOrNone('defaultInstanceAuth')
  const instanceAuths = entry.listOrNone('instanceAuths')
  const bundle: Bundle = {
    id,
    name: entry.text('name'),
    apis: [],
    events: [],
    ...member('description', entry.textOrNone('description')),
    ...member('inputSchema', entry.textOrNone('instanceAuthRequestInputSchema')),
    ...member('auth', auth && decodeAuth(auth)),
    ...(instanceAuths.length > 0 && { instanceAuths: instanceAuths.map(decodeInstanceAuth) }),
  }
  return {
    id,
    bundle,
    apis: decodePage(entry.object('apiDefinitions'), decodeApi),
    events: decodePage(entry.object('eventDefinitions'), decodeEvent),
  }
}

/*
 * Definitions are most of a large tenant: their members are in the order of their names, which is the quick case of
 * canonicalJson.
 */

export function decodeApi(entry: Json): ApiDefinition {
  return { ...decodeNamed(entry), targetUrl: entry.text('targetURL'), ...decodeVersion(entry) }
}

export function decodeEvent(entry: Json): EventDefinition {
  return { ...decodeNamed(entry), ...decodeVersion(entry) }
}

function decodeNamed(entry: Json): Omit<EventDefinition, 'version'> {
  return {
    ...member('description', entry.textOrNone('description')),
    ...member('group', entry.textOrNone('group')),
    id: entry.text('id'),
    name: entry.text('name'),
  }
}

function decodeVersion(entry: Json): { version?: Version } {
  const version = entry.objectOrNone('version')
  if (version === undefined) return {}
  return {
    version: {
      ...member('deprecated', version.flagOrNone('deprecated')),
      ...member('deprecatedSince', version.textOrNone('deprecatedSince')),
      ...member('forRemoval', version.flagOrNone('forRemoval')),
      value: version.text('value'),
    },
  }
}

/** `credential: null` with headers is headers-only; an auth with nothing in it is kept as `{}`. */
function decodeAuth(auth: Json): Auth {
  const csrf = auth.objectOrNone('requestAuth')?.objectOrNone('csrf')
  return { ...decodePresented(auth), ...member('csrf', csrf && decodeCsrf(csrf)) }
}

function decodeCsrf(csrf: Json): Csrf {
  return { tokenUrl: csrf.text('tokenEndpointURL'), ...decodePresented(csrf) }
}

function decodePresented(auth: Json): Pick<Auth, 'credential' | 'headers' | 'queryParams'> {
  const credential = auth.objectOrNone('credential')
  return {
    ...member('credential', credential && decodeCredential(credential)),
    ...member('headers', auth.multimapOrNone('additionalHeaders')),
    ...member('queryParams', auth.multimapOrNone('additionalQueryParams')),
  }
}

function decodeCredential(credential: Json): Credential {
  const typename = credential.text('__typename')
  switch (typename) {
    case 'BasicCredentialData':
      return {
        type: 'basic',
        username: credential.secret('username'),
        password: credential.secret('password'),
      }
    case 'OAuthCredentialData':
      return {
        type: 'oauth',
        clientId: credential.secret('clientId'),
        clientSecret: credential.secret('clientSecret'),
        tokenUrl: credential.text('url'),
      }
    case 'CertificateOAuthCredentialData':
      return {
        type: 'certificate_oauth',
        clientId: credential.secret('clientId'),
        certificate: credential.secret('certificate'),
        tokenUrl: credential.text('url'),
      }
    default:
      return { type: 'unknown', typename }
  }
}

function decodeInstanceAuth(entry: Json): InstanceAuth {
  return {
    id: entry.text('id'),
    condition: entry.object('status').text('condition'),
    ...member('runtimeId', entry.textOrNone('runtimeID')),
    ...member('bindingId', bindingIdOf(entry.textOrNone('context'))),
  }
}

/** `context` is JSON as text, of whoever asked for the credentials: anything. */
function bindingIdOf(context: string | undefined): string | undefined {
  if (context === undefined) return undefined
  try {
    const value: unknown = JSON.parse(context)
    if (typeof value !== 'object' || value === null || !('binding_id' in value)) return undefined
    return typeof value.binding_id === 'string' ? value.binding_id : undefined
  } catch {
    return undefined
  }
}

/** A member that is left out when there is no value, as `exactOptionalPropertyTypes` wants it. */
function member<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): Partial<Record<Key, Value>> {
  const made: Partial<Record<Key, Value>> = {}
  if (value !== undefined) made[key] = value
  return made
}
