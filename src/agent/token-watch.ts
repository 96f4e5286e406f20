import { parseToken } from '../clients/token.ts'
import { problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type { AgentState } from './state.ts'
import type { TokenMemory } from './memory.ts'

/** What lies where connector.token points, in the light of what was tried before. Pure but for the parsing. Throws token_invalid. */
export function lookAtToken(text: Secret | undefined, state: AgentState): TokenMemory {
  if (text === undefined) return { status: 'none' }
  const parsed = parseToken(text.reveal())
  const { digest } = parsed
  if (state.lastToken?.digest !== digest) return { status: 'unspent', digest, parsed }
  return { status: state.lastToken.outcome === 'enrolled' ? 'spent' : 'refused', digest, parsed }
}

export const noToken = problem('token_missing', 'Cannot enrol: there is no one-time token')
