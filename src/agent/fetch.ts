import type { Call } from '../clients/connector.ts'
import type { Director } from '../clients/director.ts'
import type { Approval, GuardConfig } from '../model/guard.ts'
import { validApprovals } from '../model/guard.ts'
import type { Problem } from '../model/problem.ts'
import type { Retained, Snapshot } from '../model/snapshot.ts'
import { retain } from '../model/snapshot.ts'
import type { Instant } from '../model/time.ts'
import { relieveMemory } from '../runtime/relieve.ts'
import type { SnapshotStore } from './ports.ts'

export type FetchInput = {
  director: Director
  snapshots: SnapshotStore
  runtimeId: string
  last: Snapshot | undefined
  guard: GuardConfig
  approvals: readonly Approval[]
  /** The last snapshot could not be stored. */
  unsaved: boolean
  now(): Instant
}

export type FetchOutcome = Retained & {
  /** Labels of the runtime as the Director has them. */
  runtimeLabels: Record<string, unknown>
  requests: number
  /** Why the snapshot is in memory only. */
  unsaved?: Problem
}

/**
 * Reads all that the Director has for this runtime, settles which vanished credentials are kept, and stores the snapshot
 * when its content differs from the last one that was stored. Throws when the answer is not complete: then nothing is stored.
 */
export async function fetchDirector(input: FetchInput, call: Call): Promise<FetchOutcome> {
  const { director, runtimeId, guard } = input
  const fetched = await director.applications(runtimeId, call, input.last?.applications)
  const now = input.now()
  const retained = retain(
    input.last,
    {
      runtimeId,
      applications: fetched.applications,
      fetchedAt: now,
      ...(fetched.labels['isNormalized'] === 'true' ? { namesNormalized: true } : {}),
    },
    {
      now,
      grace: guard.credentialsGrace,
      ordinary: guard.ordinary,
      approved: validApprovals(input.approvals, now),
    },
  )
  const told = { ...retained, runtimeLabels: fetched.labels, requests: fetched.requests }
  if (!retained.changed && !input.unsaved) return told
  relieveMemory()
  const unsaved = await input.snapshots.save(retained.snapshot)
  return unsaved === undefined ? told : { ...told, unsaved }
}
