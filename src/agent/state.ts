import { Malformed, arrayOf, asBoolean, asNumber, asObject, asString } from '../model/decode.ts'
import type { Approval, GuardState } from '../model/guard.ts'
import { decodeGuardState } from '../model/guard-state.ts'

/** What survives a restart beside identity, journal and snapshot. Plain JSON, no secret. */
export type AgentState = {
  paused: boolean
  /** SHA-256 of the token that brought the present identity: it is spent, another one may not be. */
  enrolledWith?: string
  /** By target name. */
  guards: Record<string, GuardState>
  /** Hashes that a person approved. */
  approvals: Approval[]
}

export const initialState: AgentState = { paused: false, guards: {}, approvals: [] }

const VERSION = 1

export function encodeState(state: AgentState): string {
  return `${JSON.stringify({ version: VERSION, ...state }, null, 2)}\n`
}

/**
 * The state as read from its file. A damaged file is the initial state: that makes deletions wait longer and a pause
 * end, and loses nothing else.
 */
export function decodeState(text: string): AgentState {
  try {
    const json = asObject(JSON.parse(text), 'state')
    const guards = Object.entries(asObject(json['guards'], 'state.guards'))
    return {
      paused: asBoolean(json['paused'], 'state.paused'),
      ...(json['enrolledWith'] === undefined
        ? {}
        : { enrolledWith: asString(json['enrolledWith'], 'state.enrolledWith') }),
      guards: Object.fromEntries(guards.map(([name, guard]) => [name, decodeGuardState(guard)])),
      approvals: arrayOf(json['approvals'], 'state.approvals', approval),
    }
  } catch (thrown) {
    if (thrown instanceof Malformed || thrown instanceof SyntaxError) return initialState
    throw thrown
  }
}

function approval(value: unknown, path: string): Approval {
  const json = asObject(value, path)
  return { hash: asString(json['hash'], `${path}.hash`), at: asNumber(json['at'], `${path}.at`) }
}
