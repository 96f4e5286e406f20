import type { LandscapeAuth, LandscapeCredential } from './landscape.ts'
import type { At, YamlReader } from './yaml-reader.ts'

type CredentialKind = 'basic' | 'oauth' | 'certificate'

const KINDS: Record<CredentialKind, readonly string[]> = {
  basic: ['username', 'password'],
  oauth: ['clientId', 'clientSecret', 'tokenUrl'],
  certificate: ['clientId', 'certificate', 'tokenUrl'],
}
const CALL_KEYS = ['basic', 'oauth', 'certificate', 'headers', 'queryParams']

/**
 * Reads `auth` of a bundle: at most one of `basic`, `oauth`, `certificate`, besides `headers`, `queryParams` and `csrf`.
 * Missing is missing; an empty section is an auth of four nulls.
 */
export function readAuth(reader: YamlReader, at: At | undefined): LandscapeAuth | undefined {
  if (at === undefined) return undefined
  const get = reader.section(at, [...CALL_KEYS, 'csrf'])
  const csrf = get('csrf')
  return { ...readCall(reader, at, get), csrf: csrf && readCsrf(reader, csrf) }
}

function readCsrf(reader: YamlReader, at: At): LandscapeAuth['csrf'] {
  const get = reader.section(at, [...CALL_KEYS, 'tokenUrl'])
  return {
    ...readCall(reader, at, get),
    tokenUrl: reader.required(get('tokenUrl'), at, 'tokenUrl'),
  }
}

type Get = (key: string) => At | undefined

function readCall(reader: YamlReader, at: At, get: Get): Omit<LandscapeAuth, 'csrf'> {
  return {
    credential: readCredential(reader, at, get),
    headers: reader.multimap(get('headers')),
    queryParams: reader.multimap(get('queryParams')),
  }
}

function readCredential(reader: YamlReader, at: At, get: Get): LandscapeCredential | undefined {
  const kinds: CredentialKind[] = ['basic', 'oauth', 'certificate']
  const given = kinds.filter((kind) => get(kind) !== undefined)
  if (given.length > 1) reader.report(at, `found ${given.join(' and ')}, want one of them`)
  const [kind] = given
  const section = kind === undefined ? undefined : get(kind)
  if (kind === undefined || section === undefined) return undefined
  const member = reader.section(section, KINDS[kind])
  // Empty values are no mistake, the Director accepts and delivers them; missing ones are.
  const value = (key: string): string => {
    if (member(key) === undefined) reader.report(section, `${key} is missing`)
    return reader.text(member(key)) ?? ''
  }
  switch (kind) {
    case 'basic':
      return { type: 'basic', username: value('username'), password: value('password') }
    case 'oauth':
      return {
        type: 'oauth',
        clientId: value('clientId'),
        clientSecret: value('clientSecret'),
        tokenUrl: value('tokenUrl'),
      }
    case 'certificate':
      return {
        type: 'certificate_oauth',
        clientId: value('clientId'),
        certificate: value('certificate'),
        tokenUrl: value('tokenUrl'),
      }
  }
}
