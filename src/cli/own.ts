import type { Ownership, Owned } from '../agent/ports.ts'
import { AgentError } from '../model/problem.ts'

/** In charge now or not at all: for commands, which have nobody to wait for. Throws already_running. */
export async function ownNow(ownership: Ownership): Promise<Owned> {
  const gaveUp = new AbortController()
  let why: string | undefined
  try {
    return await ownership.acquire(gaveUp.signal, (reason) => {
      why = reason
      gaveUp.abort()
    })
  } catch (thrown) {
    if (why === undefined) throw thrown
    throw new AgentError('already_running', `Cannot act here: ${why}`)
  }
}
