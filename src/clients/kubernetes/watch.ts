import { AgentError } from '../../model/problem.ts'
import { SECOND } from '../../model/time.ts'
import { transportError } from '../../runtime/http-error.ts'
import type { Resource, Scope, WatchEvent } from './api.ts'
import { decodeObject, isMembers } from './decode.ts'
import { errorEvent, isGone, parseJson } from './errors.ts'
import { linesOf } from './lines.ts'
import { listAll } from './list.ts'
import { manyOf } from './path.ts'
import type { Wire } from './wire.ts'

/** Seconds after which the server ends a watch by itself: a connection that has died unseen is found out soon after. */
const LENGTH = 240
const LIMIT = (LENGTH + 30) * SECOND
/** An object is at most 1.5 MB in etcd; text of some kinds grows when it is written as JSON. */
const LONGEST_EVENT = 16 * 1024 * 1024

/**
 * A list, then every change after it. The server ends each watch after some minutes, with all that happened before it:
 * the next one goes on from there. When it no longer knows that place (410), all is listed anew. Everything else that ends
 * a watch is thrown; so is a server that ends them at once, or forgets a place as soon as it was given.
 */
export async function* watchAll(
  wire: Wire,
  resource: Resource,
  scope: Scope,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  try {
    for (;;) {
      const { items, resourceVersion } = await listAll(wire, resource, scope, signal)
      yield { type: 'listed', objects: items }
      const place = { version: resourceVersion, events: 0 }
      try {
        for (;;) {
          const before = place.events
          yield* follow(wire, resource, scope, place, signal)
          if (place.events === before) throw endless(resource, scope, wire.host)
        }
      } catch (thrown) {
        if (!isGone(thrown) || place.events === 0) throw thrown
      }
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown
  }
}

/** Where a watch stands, and how many events (bookmarks too) it has seen. */
type Position = { version: string; events: number }

async function* follow(
  wire: Wire,
  resource: Resource,
  scope: Scope,
  place: Position,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  const what = `watch ${manyOf(resource, scope.namespace)}`
  const either = AbortSignal.any([signal, AbortSignal.timeout(LIMIT)])
  const asked = { plural: resource.plural, name: undefined }
  const attempt = { what: `${what} at ${wire.host}`, asked, body: undefined }
  try {
    const { body } = await wire.open({
      method: 'GET',
      resource,
      place: { namespace: scope.namespace },
      what,
      query: {
        watch: true,
        allowWatchBookmarks: true,
        timeoutSeconds: LENGTH,
        resourceVersion: place.version,
        labelSelector: scope.labels,
        fieldSelector: scope.fields,
      },
      signal: either,
    })
    if (body === null) return
    const options = { what: attempt.what, limit: LONGEST_EVENT, signal: either }
    for await (const line of linesOf(body, options)) {
      const { type, value } = eventOf(line, attempt.what)
      if (type === 'ERROR') throw errorEvent(attempt, value)
      const object = decodeObject(value, resource, attempt.what)
      place.version = object.metadata.resourceVersion ?? place.version
      place.events += 1
      const kind = CHANGES[type]
      if (kind !== undefined) yield { type: kind, object }
    }
  } catch (thrown) {
    throw thrown instanceof AgentError ? thrown : transportError({ host: wire.host }, thrown)
  }
}

const CHANGES: Record<string, 'added' | 'modified' | 'deleted'> = {
  ADDED: 'added',
  MODIFIED: 'modified',
  DELETED: 'deleted',
}

function eventOf(line: Uint8Array, what: string): { type: string; value: unknown } {
  const event = parseJson(line)
  if (isMembers(event) && typeof event['type'] === 'string')
    return { type: event['type'], value: event['object'] }
  throw new AgentError(
    'answer_malformed',
    `Cannot ${what}: the answer does not fit: it is no event`,
  )
}

function endless(resource: Resource, { namespace }: Scope, host: string): AgentError {
  const what = `watch ${manyOf(resource, namespace)} at ${host}`
  return new AgentError('kubernetes_failed', `Cannot ${what}: the server ends it without an event`)
}
