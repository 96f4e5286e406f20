import type { Answer } from './answer.ts'
import type { PlaneCore } from './core.ts'
import type { Taken } from './knob-board.ts'
import { part, spoiledBody } from './spoil.ts'

type Encoded = Omit<Answer, 'body'> & { body: Uint8Array<ArrayBuffer> }

/** The answer with all that spoils its delivery. */
export function send(answer: Encoded, core: PlaneCore, knobs: Taken): Response {
  const body = knobs.cut === undefined ? answer.body : part(answer.body, knobs.cut)
  const headers = new Headers(answer.headers)
  headers.set('content-type', answer.type)
  headers.set('date', new Date(core.now() + (knobs.dateOffset ?? 0)).toUTCString())
  if (answer.status === 204 || answer.status === 304)
    return new Response(null, { status: answer.status, headers })
  const spoiled = spoiledBody(body, knobs)
  if (spoiled === undefined) headers.set('content-length', String(body.length))
  return new Response(spoiled ?? body, { status: answer.status, headers })
}

/** listen() closes the connection on it: nothing comes back, not even a status. */
export function closeConnection(): Response {
  return Response.error()
}
