import type { Duration } from '../model/time.ts'
import type { Deps } from './deps.ts'
import { syncParts } from './memory.ts'
import type { Memory } from './memory.ts'
import type { Due } from './next.ts'
import { planRenewal } from './record-identity.ts'

/**
 * The wall clock was set back: what waits for a time waits as long as before, instead of until the old time comes again.
 * The renewal follows the dates of the certificate.
 */
export function recordSetBack(deps: Deps, memory: Memory, by: Duration): void {
  const earlier = (due: Due): Due => ({ ...due, nextAt: due.nextAt - by })
  memory.planeAskedAt -= by
  memory.connect = earlier(memory.connect)
  memory.label = earlier(memory.label)
  memory.report = earlier(memory.report)
  for (const [, due] of syncParts(memory)) due.nextAt -= by
  for (const job of memory.running.values()) job.since -= by
  if (memory.renew.failures > 0) memory.renew = earlier(memory.renew)
  else planRenewal(deps, memory)
}
