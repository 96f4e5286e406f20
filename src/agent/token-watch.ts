import { parseToken } from '../clients/token.ts'
import type { ParsedToken } from '../clients/token.ts'
import { tokenDue } from '../identity/token-due.ts'
import { sha256 } from '../model/digest.ts'
import type { PendingEnrolment } from '../model/identity.ts'
import { AgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { TokenStatus } from '../model/status.ts'
import type { Instant } from '../model/time.ts'
import type { TokenSource } from './ports.ts'

/** What lies where connector.token points. */
export type TokenSeen = {
  /** Tells one content from another, readable or not. */
  digest?: string
  parsed?: ParsedToken
  problem?: Problem
}

/** Looks at the token source. What cannot be read or understood is a problem to show, not a failure of the agent. */
export async function lookAtToken(source: TokenSource): Promise<TokenSeen> {
  let digest: string | undefined
  try {
    const text = (await source.read())?.reveal()
    if (text === undefined || text.trim() === '') return {}
    digest = sha256(text)
    const parsed = parseToken(text)
    return { digest: parsed.digest, parsed }
  } catch (thrown) {
    if (!(thrown instanceof AgentError)) throw thrown
    return { ...(digest === undefined ? {} : { digest }), problem: thrown.toProblem() }
  }
}

/** What became of it: pure. `enrolledWith`: digest of the token that brought the present identity. */
export function tokenStatus(
  seen: TokenSeen,
  known: { enrolledWith?: string | undefined; pending?: PendingEnrolment | undefined },
  now: Instant,
): TokenStatus {
  if (seen.problem !== undefined) return 'unreadable'
  if (seen.digest === undefined) return 'none'
  if (seen.digest === known.enrolledWith) return 'spent'
  const intent = known.pending?.token
  if (intent?.digest !== seen.digest) return 'unspent'
  const due = tokenDue(intent, now)
  if (due === 'spent') return 'spent'
  return due === 'over' ? 'refused' : 'in-use'
}
