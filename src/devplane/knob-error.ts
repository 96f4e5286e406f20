import type { Call } from './call.ts'
import { DIRECTOR_ERRORS, internalMessage, type DirectorCode } from './director-error.ts'

/** An error as a knob names it: a code, or a message of an internal error. */
export function errorOfKnob(error: DirectorCode | string, call: Call): Record<string, unknown> {
  const path = call.prepared?.fields.slice(0, 1) ?? []
  if (call.service === 'connector') return { message: connectorMessage(error), path }
  const code = typeof error === 'string' ? 10 : error
  const reason = typeof error === 'string' ? error : 'set by a knob'
  const message =
    code === 10 ? internalMessage(reason) : `${DIRECTOR_ERRORS[code]} [reason=${reason}]`
  return { message, path, extensions: { error: DIRECTOR_ERRORS[code], error_code: code } }
}

/** A code of the Director means nothing to the Connector. */
function connectorMessage(error: DirectorCode | string): string {
  return typeof error === 'string' ? error : 'Error set by a knob'
}
