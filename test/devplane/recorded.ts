import { readdirSync, readFileSync } from 'node:fs'
import { shared } from '../shared.ts'
import type { Reply } from './client.ts'

/** One recorded exchange with a real Compass. */
export type Recording = {
  name: string
  request: { headers: Record<string, string>; body: { query: string } }
  response: { status: number; headers: Record<string, string>; body: unknown } | null
  connectionError?: { tlsAlert: string }
}

/** All recordings of a service by name, without those of other services. Empty where the material is missing. */
export function recordingsOf(service: 'connector' | 'director'): Map<string, Recording> {
  if (shared === undefined) return new Map()
  const folder = new URL(`recordings/${service}/`, shared)
  return new Map(
    readdirSync(folder).map((file) => [
      file.replace('.json', ''),
      JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Recording,
    ]),
  )
}

/** What must be the same on both sides: status, type, and the body without ids, tokens, certificates, hosts and times. */
export function comparable(answer: {
  status: number
  type: string | null | undefined
  body: unknown
}): unknown {
  return { ...answer, body: sortLists(replaceVolatile(answer.body)) }
}

export function comparableReply(reply: Reply): unknown {
  return comparable({ status: reply.status, type: reply.type, body: reply.json ?? reply.text })
}

export function comparableRecording({ response }: Recording): unknown {
  return comparable({
    status: response!.status,
    type: response!.headers['content-type'],
    body: response!.body,
  })
}

const VOLATILE: [RegExp, string][] = [
  [
    /https:\/\/(127\.0\.0\.1:\d+|[a-z-]+\.example\.com)(?=\/(connector|director)\/graphql)/g,
    'https://HOST',
  ],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, 'TIME'],
  [/\b[A-Za-z0-9_-]{86}==/g, 'TOKEN'],
  [/^[A-Za-z0-9+/]{200,}={0,2}$/g, 'BASE64'],
  [/errorID=[0-9a-f-]{36}/g, 'errorID=ID'],
]
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g

/** Ids that the recorded landscape gives are the same in both; others are made up by the server. */
const KNOWN = new Set<string>()

export function keepIds(ids: Iterable<string>): void {
  for (const id of ids) KNOWN.add(id)
}

function replaceVolatile(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(replaceVolatile)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [key, replaceVolatile(member)]),
    )
  }
  if (typeof value !== 'string') return value
  const text = VOLATILE.reduce((rest, [pattern, by]) => rest.replace(pattern, by), value)
  return text.replace(UUID, (id) => (KNOWN.has(id) ? id : 'ID'))
}

/** Nested lists and errors come in an order of their own on each side; the order of applications is compared elsewhere. */
function sortLists(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(sortLists)
    return items.every((item) => typeof item === 'object')
      ? items.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      : items
  }
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, sortLists(member)]))
}
