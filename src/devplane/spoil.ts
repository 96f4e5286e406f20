import { systemClock } from '../runtime/clock.ts'
import { jsonAnswer, type Answer } from './answer.ts'
import type { Call } from './call.ts'
import { errorOfKnob } from './knob-error.ts'
import { isObject, parseJson } from './graphql.ts'
import type { Taken } from './knob-board.ts'

/** Changes what a good answer says, as the knobs ask. */
export function reshape(answer: Answer, call: Call): Answer {
  const { knobs } = call
  let shaped = answer
  if (knobs.hollow !== undefined) shaped = hollow(shaped, knobs.hollow)
  if (knobs.errorBesideData !== undefined) shaped = besideData(shaped, call)
  return knobs.status === undefined ? shaped : { ...shaped, status: knobs.status }
}

function hollow(answer: Answer, kind: NonNullable<Taken['hollow']>): Answer {
  if (kind === 'missing') return { ...answer, body: '{}' }
  if (kind === 'null') return { ...answer, body: '{"data":null}' }
  const body = parseJson(answer.body)
  const data = isObject(body) && isObject(body['data']) ? body['data'] : { result: null }
  const hollowed: Record<string, unknown> = {}
  for (const field of Object.keys(data)) hollowed[field] = kind === 'object' ? {} : null
  return { ...answer, body: JSON.stringify({ data: hollowed }) }
}

function besideData(answer: Answer, call: Call): Answer {
  const error = call.knobs.errorBesideData ?? 10
  const body = parseJson(answer.body)
  const data: unknown = isObject(body) ? body['data'] : null
  return jsonAnswer({ errors: [errorOfKnob(error, call)], data }, answer.status)
}

/** A body that spoils its delivery; `undefined` when it is delivered whole. */
export function spoiledBody(
  body: Uint8Array<ArrayBuffer>,
  knobs: Taken,
): ReadableStream<Uint8Array> | undefined {
  if (knobs.cutConnection !== undefined) return cutStream(part(body, knobs.cutConnection))
  if (knobs.endless !== undefined) return endlessStream(body, knobs.endless * 1024)
  if (knobs.trickle !== undefined) return trickleStream(body, knobs.trickle)
  return undefined
}

/** The beginning of a body. */
export function part(body: Uint8Array<ArrayBuffer>, share: number): Uint8Array<ArrayBuffer> {
  return body.slice(0, Math.floor(body.length * share))
}

/** What was written before a body breaks is thrown away with the connection unless it is given time to leave. */
const BEFORE_CUT = 30

/**
 * A body that breaks after these bytes, whereupon the server closes the connection.
 */
function cutStream(body: Uint8Array): ReadableStream<Uint8Array> {
  let sent = false
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (!sent) {
        sent = true
        controller.enqueue(body)
        return
      }
      await systemClock.sleep(BEFORE_CUT, new AbortController().signal)
      controller.error(new Error('the connection is cut by a knob'))
    },
  })
}

function endlessStream(body: Uint8Array, blanks: number): ReadableStream<Uint8Array> {
  const more = new Uint8Array(Math.max(1, blanks)).fill(0x20)
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(body),
    pull: (controller) => controller.enqueue(more),
  })
}

function trickleStream(body: Uint8Array, pause: number): ReadableStream<Uint8Array> {
  const stopped = new AbortController()
  let at = 0
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (at > 0) await systemClock.sleep(pause, stopped.signal)
      if (at >= body.length) controller.close()
      else controller.enqueue(body.slice(at, ++at))
    },
    cancel: () => stopped.abort(),
  })
}
