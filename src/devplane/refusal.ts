import { emptyAnswer, htmlAnswer, proxyError, type Answer } from './answer.ts'
import type { Service } from './call.ts'
import type { Taken } from './knob-board.ts'

/** What stands in front of both services and may keep a request from them; nothing is spent, nothing is done. */
export function refusalOf({
  service,
  knobs,
}: {
  service: Service | 'runtimeDirector'
  knobs: Taken
}): Answer | undefined {
  const { tooMany, redirect, html, refuse } = knobs
  if (tooMany !== undefined) return tooManyRequests(tooMany)
  if (redirect !== undefined) {
    return { status: 302, type: 'text/plain', body: '', headers: { location: redirect } }
  }
  if (html !== undefined) return htmlAnswer(html)
  if (knobs.hydratorDown === true) {
    return proxyError(500, 'Internal Server Error', 'An internal server error occurred')
  }
  if (refuse === undefined) return undefined
  if (refuse > 0) return emptyAnswer(refuse)
  if (service === 'runtimeDirector')
    return { status: 403, type: 'text/plain', body: 'not admitted\n' }
  // The Director itself says whom it does not know; director.ts does so for a caller that is not recognised.
  return service === 'connector' ? emptyAnswer(400) : undefined
}

/** As Envoy's local rate limit answers. */
function tooManyRequests(retryAfter: number): Answer {
  return {
    status: 429,
    type: 'text/plain',
    body: 'local_rate_limited',
    headers: {
      'x-local-rate-limit': 'true',
      ...(retryAfter > 0 ? { 'retry-after': String(retryAfter) } : {}),
    },
  }
}
