import type { Auth, Bundle, Credential, Multimap } from '../model/application.ts'

/**
 * The credentials as Compass's System Broker writes them (reference/osb.md §3), for programs made for it: same names,
 * same order, same escapes. `id` is the bundle's, as the Director names no instance auth here; the CSRF endpoint's own credential is
 * dropped, as there.
 */
export function systemBrokerJson({ id, apis, auth }: Bundle): string {
  return goJson({
    credentials: {
      id,
      credentials_type: typeOf(auth?.credential),
      target_urls: sorted(apis.map((api) => [api.name, api.targetUrl])),
      auth_details: details(auth),
    },
  })
}

function typeOf(credential: Credential | undefined): string {
  if (credential?.type === 'basic') return 'basic_auth'
  return credential?.type === 'oauth' ? 'oauth' : 'no_auth'
}

function details(auth: Auth | undefined): object {
  const { credential, headers, queryParams, csrf } = auth ?? {}
  const parameters = {
    ...(isFilled(headers) ? { headers: reveal(headers) } : {}),
    ...(isFilled(queryParams) ? { query_parameters: reveal(queryParams) } : {}),
  }
  return {
    ...(Object.keys(parameters).length > 0 ? { request_parameters: parameters } : {}),
    ...(csrf ? { csrf_config: { token_url: csrf.tokenUrl } } : {}),
    ...(credential ? { auth: authOf(credential) } : {}),
  }
}

function authOf(credential: Credential): object {
  if (credential.type === 'basic') {
    return { username: credential.username.reveal(), password: credential.password.reveal() }
  }
  if (credential.type !== 'oauth') return {}
  return {
    clientId: credential.clientId.reveal(),
    clientSecret: credential.clientSecret.reveal(),
    tokenUrl: credential.tokenUrl,
    requestParameters: {},
  }
}

function isFilled(map: Multimap | undefined): map is Multimap {
  return map !== undefined && Object.keys(map).length > 0
}

function reveal(map: Multimap): object {
  return sorted(Object.entries(map).map(([name, values]) => [name, values.map((v) => v.reveal())]))
}

/** Go writes maps in the order of their keys. */
function sorted(members: [string, unknown][]): object {
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Go's encoder escapes what HTML could misread. */
function goJson(value: object): string {
  const escape = (character: string): string =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, escape)
}
