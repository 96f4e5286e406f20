/** Calls one URL as `bun fetch-child.ts URL [CA-FILE]` and prints what came of it as one line of JSON. */
import { readFileSync } from 'node:fs'
import { AgentError } from '../../src/model/problem.ts'
import { openHttp } from '../../src/runtime/http.ts'

const [url = '', ca] = process.argv.slice(2)
const session = openHttp({ tls: ca === undefined ? {} : { ca: [readFileSync(ca, 'utf8')] } })
try {
  const answer = await session.fetch(url, { headers: { 'connector-token': 'canary' } })
  print({ status: answer.status })
} catch (thrown) {
  if (!(thrown instanceof AgentError)) throw thrown
  print({ code: thrown.code, message: thrown.message })
}

function print(outcome: Outcome): void {
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
}

/** What {@link fetchInChild} gives back. */
export type Outcome = { status?: number; code?: string; message?: string }
