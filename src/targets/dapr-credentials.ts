import type { Auth, Multimap } from '../model/application.ts'
import { toBase64 } from '../runtime/base64.ts'
import { Secret } from '../model/secret.ts'

/** How a call presents itself, as far as Dapr can do it. */
export type DaprWay = {
  /** The same in every call: names and values. */
  headers: [name: string, value: Secret][]
  oauth?: { clientId: Secret; clientSecret: Secret; tokenUrl: string }
}

/** What Dapr would have to do and cannot, as the end of "Dapr cannot send …". */
export type DaprCannot = { cannot: string }

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const HEADER_VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/

/** The credentials of a bundle in Dapr's terms (reference/dapr.md §4). */
export function wayOf(auth: Auth | undefined): DaprWay | DaprCannot {
  if (auth === undefined) return { headers: [] }
  if (auth.csrf !== undefined) return { cannot: 'CSRF tokens' }
  if (Object.keys(auth.queryParams ?? {}).length > 0) return { cannot: 'query parameters' }
  const headers = headersOf(auth.headers)
  if ('cannot' in headers) return headers
  switch (auth.credential?.type) {
    case undefined:
      return headers
    case 'basic': {
      const { username, password } = auth.credential
      if (username.reveal().includes(':')) return { cannot: 'a user name with a colon' }
      if (has(headers, 'authorization')) return { cannot: 'two Authorization headers' }
      const token = toBase64(`${username.reveal()}:${password.reveal()}`)
      return { headers: [['Authorization', new Secret(`Basic ${token}`)], ...headers.headers] }
    }
    case 'oauth': {
      const { clientId, clientSecret, tokenUrl } = auth.credential
      if (has(headers, 'authorization')) return { cannot: 'two Authorization headers' }
      // Its middleware takes an empty one for an error, and calls would go out without any.
      if (clientId.isEmpty || clientSecret.isEmpty)
        return { cannot: 'an empty client id or secret' }
      return { ...headers, oauth: { clientId, clientSecret, tokenUrl } }
    }
    case 'certificate_oauth':
      return { cannot: 'a certificate: Compass gives no private key for it' }
    case 'unknown':
      return { cannot: `credentials of the type ${auth.credential.typename}` }
  }
}

function headersOf(map: Multimap | undefined): DaprWay | DaprCannot {
  const headers: [string, Secret][] = []
  for (const [name, values] of Object.entries(map ?? {})) {
    const [value, ...more] = values
    if (value === undefined) continue
    if (more.length > 0) return { cannot: 'a header with several values' }
    if (!HEADER_NAME.test(name)) return { cannot: 'a header with a name that HTTP does not allow' }
    if (!HEADER_VALUE.test(value.reveal()))
      return { cannot: 'a header with a value that HTTP does not allow' }
    if (headers.some(([other]) => other.toLowerCase() === name.toLowerCase()))
      return { cannot: 'a header twice' }
    headers.push([name, value])
  }
  return { headers }
}

function has({ headers }: DaprWay, name: string): boolean {
  return headers.some(([one]) => one.toLowerCase() === name)
}

/**
 * A value as it has to be stored: daprd takes one in quotes of Go for a quoted text and takes the quotes away, so such a
 * one gets quotes around it.
 */
export function storedText(value: Secret): Secret {
  const text = value.reveal()
  const quoted = /^(["'`])[^]*\1$/.test(text) && text.length > 1
  return quoted ? new Secret(JSON.stringify(text)) : value
}
