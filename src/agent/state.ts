import type { GuardState } from '../model/guard.ts'
import type { Instant } from '../model/time.ts'

/** What survives a restart beside identity, journal and snapshot. */
export type AgentState = {
  paused: boolean
  /** SHA-256 of the token that was used last, and what became of it: a changed token is tried at once, this one is not. */
  lastToken?: { digest: string; outcome: 'enrolled' | 'refused' }
  /** By target; `credentials` has none. */
  guards: Record<string, GuardState>
  /** Hashes that a person approved and when; void after an hour, spent by one apply. */
  approvals: { hash: string; at: Instant }[]
}

export const initialState: AgentState = { paused: false, guards: {}, approvals: [] }

const VERSION = 1

export function encodeState(state: AgentState): string {
  return `${JSON.stringify({ version: VERSION, ...state }, null, 2)}\n`
}
