import { isExpired } from '../model/renewal.ts'
import type { Instant } from '../model/time.ts'
import { connectDue } from './connect.ts'
import type { Memory } from './memory.ts'
import type { Facts } from './next.ts'

/** What {@link next} decides on: pure. */
export function factsOf(memory: Memory, now: Instant): Facts {
  const { identity, clockSkew } = memory
  return {
    now,
    owner: memory.owner,
    paused: memory.state.paused,
    identity: identity !== undefined && !isExpired(identity, now, clockSkew),
    snapshot: memory.snapshot !== undefined,
    connect: connectDue(memory, now),
    renew: memory.renew,
    label: memory.label,
    sources: memory.sources,
    targets: memory.targets,
  }
}
