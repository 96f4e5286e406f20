import type { Instant } from '../model/time.ts'
import { connectDue, isUsable } from './connect.ts'
import type { Memory } from './memory.ts'
import type { Facts } from './next.ts'

/** What {@link next} decides on: pure. */
export function factsOf(memory: Memory, now: Instant): Facts {
  return {
    now,
    owner: memory.owner,
    paused: memory.state.paused,
    identity: isUsable(memory, now),
    snapshot: memory.snapshot !== undefined,
    connect: connectDue(memory, now),
    renew: memory.renew,
    label: memory.label,
    sources: memory.sources,
    targets: memory.targets,
    running: new Map([...memory.running].map(([part, { since }]) => [part, since])),
  }
}
