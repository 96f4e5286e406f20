/**
 * A test harness small enough to run anywhere: programs of this folder run inside Bun, Deno and Node, where no common
 * test runner exists. Each ends with a line `N passed, N failed` and exit status 0 or 1.
 */
import { deepStrictEqual } from 'node:assert/strict'
import process from 'node:process'
import { toAgentError } from '../../../src/model/problem.ts'
import type { Code } from '../../../src/model/problem.ts'

type Check = { name: string; work: () => void | Promise<void> }

const checks: Check[] = []

/** Declares one check; they run one after the other, in order. */
export function check(name: string, work: () => void | Promise<void>): void {
  checks.push({ name, work })
}

/** Throws unless both are equal, deeply. */
export function same(found: unknown, wanted: unknown): void {
  deepStrictEqual(found, wanted)
}

/** The code of the AgentError that a promise rejects with, `fulfilled` when it does not, `internal` for other errors. */
export async function codeOf(work: Promise<unknown>): Promise<Code | 'fulfilled'> {
  return (await errorOf(work))?.code ?? 'fulfilled'
}

export async function errorOf(
  work: Promise<unknown>,
): Promise<{ code: Code; message: string } | undefined> {
  try {
    await work
    return undefined
  } catch (thrown) {
    const { code, message } = toAgentError(thrown)
    return { code, message }
  }
}

/** Runs all checks, each for at most 30 s, prints what failed, and ends the process. */
export async function runChecks(): Promise<never> {
  let failed = 0
  for (const { name, work } of checks) {
    try {
      await limited(work())
    } catch (thrown) {
      failed += 1
      const why = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
      process.stdout.write(`(fail) ${name}\n${why.replace(/^/gm, '       ')}\n`)
    }
  }
  process.stdout.write(`${checks.length - failed} passed, ${failed} failed\n`)
  process.exit(failed === 0 ? 0 : 1)
}

async function limited(work: void | Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no end within 30 s')), 30_000)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
