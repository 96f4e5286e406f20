import type { Instant } from '../model/time.ts'
import { connectDue, isUsable } from './connect.ts'
import { isListening } from './memory.ts'
import type { Memory } from './memory.ts'
import type { Facts } from './next.ts'

/** What {@link next} decides on: pure. */
export function factsOf(memory: Memory, now: Instant): Facts {
  return {
    now,
    owner: memory.owner,
    paused: memory.state.paused,
    identity: isUsable(memory, now),
    snapshot: memory.snapshot !== undefined || memory.configuration !== undefined,
    connect: connectDue(memory, now),
    renew: memory.renew,
    label: memory.label,
    sources: memory.sources,
    targets: memory.targets,
    report: memory.report,
    running: new Map([...memory.running].map(([part, { since }]) => [part, since])),
    listening: new Set([...memory.running].filter(([, job]) => isListening(job)).map(([p]) => p)),
  }
}
