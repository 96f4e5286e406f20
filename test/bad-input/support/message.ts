/** What a person gets to read, taken apart: so that no test is content with a stack trace or half a sentence. */
import { expect } from 'bun:test'
import type { Problem } from '../../../src/model/problem.ts'
import type { Finished } from '../../e2e/support/program.ts'

export type Message = { text: string; code: string; turn: string; hint: string }

const MESSAGE =
  /^agent: error: (?<text>Cannot [^]+?) \[(?<code>[a-z_]+)\]\n {2}whose turn: (?<turn>[a-z]+); (?<hint>.+)\n$/

/** The one message that a command ended with: nothing before it, nothing after it, nothing on standard output. */
export function onlyMessage({ err, out }: Finished): Message {
  expect(out).toBe('')
  const groups = MESSAGE.exec(err)?.groups
  if (groups === undefined) throw new Error(`this is not one message:\n${err}`)
  expect(err.match(/agent: error:/g)).toHaveLength(1)
  const { text = '', code = '', turn = '', hint = '' } = groups
  wellSaid(text, hint)
  return { text, code, turn, hint }
}

/** Says what cannot be done, to what, why, and what to do. */
function wellSaid(text: string, hint: string): void {
  expect(text).toMatch(/^(Cannot [a-z].{5,}|The clock here is )/)
  expect(text).not.toMatch(/[.!]$|undefined|\[object|NaN|Error:|\bat \S+:\d+:\d+\)/)
  expect(hint.length).toBeGreaterThan(15)
}

/** The same for a problem of a status. */
export function wellSaidProblem({ message, hint }: Problem): void {
  wellSaid(message, hint)
}
