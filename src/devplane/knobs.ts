import { parseDuration } from '../config/duration.ts'
import type { Duration } from '../model/time.ts'
import { DIRECTOR_ERRORS, type DirectorCode } from './director-error.ts'
import { isObject } from './graphql.ts'

/** What a request is about; a request with several root fields is several of them. */
const OPERATIONS = [
  'configuration',
  'sign',
  'revoke',
  'viewer',
  'runtime',
  'applications',
  'application',
  'label',
  'instanceAuth',
  'fetch',
  'report',
  'other',
] as const

export type Operation = (typeof OPERATIONS)[number]

/** An operation, or all requests of a service, or all that come to one of the two ports. */
export type Scope = Operation | 'connector' | 'director' | 'runtimeDirector' | 'token' | 'mtls'

export const SCOPES: readonly Scope[] = [
  ...OPERATIONS,
  'connector',
  'director',
  'runtimeDirector',
  'token',
  'mtls',
]

/** The constant parts of the subject of client certificates. */
export type SubjectConstants = { O: string; OU: string; L: string; ST: string; C: string }

const TENANTS = ['existing', 'unknown'] as const
const HOLLOWS = ['object', 'null', 'missing', 'field'] as const
const FORMS = ['bare', 'list', 'resources', 'unknown', 'null', 'missing'] as const
const SHIFTS = ['removed', 'added'] as const
const CERTIFICATES = ['otherKey', 'otherCa', 'otherName', 'notPem', 'cut'] as const

/** What each knob is set to. */
export type KnobValues = {
  delay: Duration
  refuse: number
  tooMany: number
  redirect: string
  html: number
  databaseDown: true
  directorDown: true
  connectorDown: true
  hydratorDown: true
  wrongTenant: (typeof TENANTS)[number]
  scopes: string[]
  error: DirectorCode | string
  errorBesideData: DirectorCode | string
  emptyPage: true
  nullCredentials: string[]
  shift: (typeof SHIFTS)[number]
  totalCount: number
  hollow: (typeof HOLLOWS)[number]
  status: number
  cut: number
  cutConnection: number
  endless: number
  trickle: Duration
  lost: true
  lostBefore: true
  tokenLifetime: Duration
  certificateLifetime: Duration
  certificateOffset: Duration
  dateOffset: Duration
  certificate: (typeof CERTIFICATES)[number]
  subject: Partial<SubjectConstants>
  subjectEscaped: true
  strictSubject: true
  keyAlgorithm: string
  directorUrl: string
  connectorUrl: string
  form: (typeof FORMS)[number]
  otherRuntime: true
  noEtag: true
  noWait: true
  noReports: true
  keyOrder: true
  serverLifetime: Duration
  serverNames: string[]
}

export type KnobName = keyof KnobValues

type Reader<V> = { wants: string; read: (value: unknown) => V | undefined }

/** One row of the table. `standard` is what `true` stands for. */
export type KnobRow<V> = Reader<V> & { standard: V; help: string }

const flag: Reader<true> = {
  wants: 'true',
  read: (value) => (value === true ? true : undefined),
}
const number: Reader<number> = {
  wants: 'a number',
  read: (value) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined),
}
const text: Reader<string> = {
  wants: 'text',
  read: (value) => (typeof value === 'string' ? value : undefined),
}
const texts: Reader<string[]> = {
  wants: 'a list of texts',
  read: (value) =>
    Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined,
}
const duration: Reader<Duration> = {
  wants: 'milliseconds, or a text such as 90s or -2h',
  read: (value) => {
    if (typeof value !== 'string') return number.read(value)
    const length = parseDuration(value.replace(/^-/, ''))
    return length === undefined || !value.startsWith('-') ? length : -length
  },
}
const code: Reader<DirectorCode | string> = {
  wants: 'a code of the Director, or a message',
  read: (value) => {
    if (typeof value === 'string') return value
    return typeof value === 'number' && isDirectorCode(value) ? value : undefined
  },
}
const subject: Reader<Partial<SubjectConstants>> = {
  wants: 'an object of O, OU, L, ST, C',
  read: (value) => {
    if (!isObject(value)) return undefined
    const read = (key: string): string | undefined => text.read(value[key])
    const parts = { O: read('O'), OU: read('OU'), L: read('L'), ST: read('ST'), C: read('C') }
    const given = Object.entries(parts).filter(([, part]) => part !== undefined)
    return given.length === Object.keys(value).length ? Object.fromEntries(given) : undefined
  },
}

function oneOf<const V extends string>(words: readonly V[]): Reader<V> {
  return { wants: words.join(' | '), read: (value) => words.find((word) => word === value) }
}

function isDirectorCode(value: number): value is DirectorCode {
  return value in DIRECTOR_ERRORS
}

function row<V>(reader: Reader<V>, standard: V, help: string): KnobRow<V> {
  return { ...reader, standard, help }
}

/** Every knob, what it takes and what it does. `GET /knobs` prints it. */
export const KNOBS: { readonly [K in KnobName]: KnobRow<KnobValues[K]> } = {
  delay: row(duration, 1000, 'waits so long before the request is looked at'),
  refuse: row(
    number,
    0,
    'nobody is recognised and nothing is done: Connector 400 without body, token not spent; Director error 23 without scopes. A number is a status to answer with instead',
  ),
  tooMany: row(number, 0, '429; a number above 0 is sent as Retry-After in seconds'),
  redirect: row(text, 'https://127.0.0.1:9/', '302 to this URL'),
  html: row(
    number,
    503,
    'an HTML page with this status instead of an answer; 200 is a captive portal',
  ),
  databaseDown: row(
    flag,
    true,
    'the database is down: Connector 400 without body, token not spent; Director error 23 without scopes',
  ),
  directorDown: row(
    flag,
    true,
    'the Director is down: Connector 400 without body, token not spent; Director 502 without body',
  ),
  connectorDown: row(flag, true, 'the Connector is down: 502 without body, the token is spent'),
  hydratorDown: row(flag, true, 'the Hydrator is down: 500 with a JSON body, token not spent'),
  wrongTenant: row(
    oneOf(TENANTS),
    'existing',
    'the Director takes the request for one of another tenant: error 25 with status 400, or error 23 for an unknown one',
  ),
  scopes: row(
    texts,
    [],
    'the caller has these scopes only; without bundle.instance_auths:read all credentials are null, with no error',
  ),
  error: row(
    code,
    10,
    'a GraphQL error with this code or message, data null, nothing is done (a token is spent)',
  ),
  errorBesideData: row(code, 10, 'the answer as it is, with an error of this code beside data'),
  emptyPage: row(flag, true, 'lists of applications are well-formed and empty'),
  nullCredentials: row(
    texts,
    [],
    'defaultInstanceAuth is null, of all bundles or of those with these names or ids',
  ),
  shift: row(
    oneOf(SHIFTS),
    'removed',
    'pages after the first are taken from a list from which a row of the first page was removed, or to which one was added there',
  ),
  totalCount: row(
    number,
    1,
    'totalCount of pages of applications after the first is larger by this',
  ),
  hollow: row(
    oneOf(HOLLOWS),
    'object',
    'each root field is {}; or data is null; or the body is {}; or each root field is null',
  ),
  status: row(number, 500, 'the answer as it is, with this status'),
  cut: row(number, 0.5, 'the body ends after this part of it, as if that were all'),
  cutConnection: row(number, 0.5, 'the connection is closed after this part of the body'),
  endless: row(number, 64, 'the body never ends: so many KiB of blanks at a time follow it'),
  trickle: row(duration, 1000, 'one byte of the body at a time, so long apart'),
  lost: row(flag, true, 'everything is done, then the connection is closed without an answer'),
  lostBefore: row(flag, true, 'the connection is closed before anything is done'),
  tokenLifetime: row(duration, 60 * 60 * 1000, 'how long tokens live, also those that exist'),
  certificateLifetime: row(
    duration,
    60_000,
    'how long certificates live that are signed from now on',
  ),
  certificateOffset: row(duration, 7_200_000, 'NotBefore and NotAfter are so much later'),
  dateOffset: row(duration, 7_200_000, 'the Date header is so much later'),
  certificate: row(
    oneOf(CERTIFICATES),
    'otherKey',
    'signing gives a certificate for another key, of another CA, for another name, no PEM, or one that is cut',
  ),
  subject: row(
    subject,
    { O: 'Org, Inc' },
    'these constants in the subject, unescaped as Compass writes them; the CSR must carry them',
  ),
  subjectEscaped: row(flag, true, 'the subject is escaped after RFC 4514'),
  strictSubject: row(
    flag,
    true,
    'over mTLS a subject constant with one of , ( | + is not recognised, as by the real Hydrator',
  ),
  keyAlgorithm: row(text, 'rsa4096', 'the key algorithm that configuration names'),
  directorUrl: row(text, '', 'the URL of the Director that configuration names; empty is null'),
  connectorUrl: row(
    text,
    '',
    'the URL of the Connector over mTLS that configuration names; empty is null',
  ),
  form: row(
    oneOf(FORMS),
    'unknown',
    'Runtime Director: data is one bare document (the first), a list, {resources: [...]}, something else, null, or missing',
  ),
  otherRuntime: row(flag, true, 'Runtime Director: the answer is for another runtime'),
  noEtag: row(flag, true, 'Runtime Director: answers have no ETag, as in the proof of concept'),
  noWait: row(flag, true, 'Runtime Director: nobody is kept waiting for a change'),
  noReports: row(
    flag,
    true,
    'Runtime Director: reports are an unknown path, as in the proof of concept',
  ),
  keyOrder: row(flag, true, 'Runtime Director: the keys of each answer are in another order'),
  serverLifetime: row(
    duration,
    -60_000,
    'both servers get a certificate that lives so long, below 0 one that has expired; takes no operation and no count',
  ),
  serverNames: row(
    texts,
    ['other.example'],
    'both servers get a certificate for these names; takes no operation and no count',
  ),
}

/** All names, in the order of the table. */
export const KNOB_NAMES = Object.keys(KNOBS).filter(isKnobName)

export function isKnobName(name: string): name is KnobName {
  return Object.hasOwn(KNOBS, name)
}
