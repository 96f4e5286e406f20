import { AgentError } from '../../src/model/problem.ts'

/** The AgentError that a promise rejects with; anything else fails the test. */
export async function failure(work: Promise<unknown>): Promise<AgentError> {
  try {
    await work
  } catch (thrown) {
    if (thrown instanceof AgentError) return thrown
    throw thrown
  }
  throw new Error('it did not fail')
}
