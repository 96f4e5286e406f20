import { syncParts } from './memory.ts'
import type { Memory, Running } from './memory.ts'
import type { Part } from './next.ts'
import { closeRetired } from './record-identity.ts'

/** Work beside the loop, one job a part: a server that does not answer holds up nothing but what it was asked for. */
export type Jobs = {
  /** Begins a job on a part that nothing works on. `work` never rejects. */
  begin(part: Part, as: Running, work: () => Promise<void>): void
  /** Aborted as soon as a job ends from now on. */
  nextEnd(): AbortSignal
  /** Resolves when none is left. */
  settled(): Promise<void>
}

export function openJobs(memory: Memory): Jobs {
  const jobs = new Set<Promise<void>>()
  let ended = new AbortController()

  async function run(part: Part, as: Running, work: () => Promise<void>): Promise<void> {
    await work()
    if (as.again === true) {
      const due = syncParts(memory).find(([name]) => name === part)?.[1]
      if (due !== undefined) due.nextAt = 0
    }
    memory.running.delete(part)
    await closeRetired(memory)
  }

  return {
    begin(part, as, work) {
      memory.running.set(part, as)
      const job = run(part, as, work).finally(() => {
        jobs.delete(job)
        ended.abort()
      })
      jobs.add(job)
    },
    nextEnd() {
      if (ended.signal.aborted) ended = new AbortController()
      return ended.signal
    },
    async settled() {
      while (jobs.size > 0) await Promise.all(jobs)
    },
  }
}
