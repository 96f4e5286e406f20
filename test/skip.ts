/**
 * The only way in which a test may be skipped: with a reason and the way to get it.
 *
 * `npm test` names a file in AGENT_TEST_SKIPS; each skipped test writes one line of JSON to it, from which the end of
 * the run is printed. A test that is skipped by `test.skip` or `test.todo` has no line there, and CI counts it as a
 * failure. So does every skip in CI whose reason is not `allowedInCi`.
 */
import { test } from 'bun:test'
import { appendFileSync } from 'node:fs'

/** Why a test cannot run on this machine, and what a person does to get it. */
export type SkipReason = {
  /** What is missing, as the end of a sentence: "skipped, as strace is not installed". */
  why: string
  /** One command or one step: "apt-get install strace". */
  how: string
  /** For what no CI machine has (another operating system, another CPU). */
  allowedInCi?: boolean
}

/** One line of the file named by AGENT_TEST_SKIPS. `name` is as written in the test, `%d` and `$x` of `each` included. */
export type SkipLine = SkipReason & { name: string }

/** Gives `test` when the condition holds, else a `test` that skips (`each` too) and says why. */
export function skipUnless(condition: boolean, reason: SkipReason): typeof test {
  if (condition) return test
  return new Proxy(test, {
    apply(_target, _self, [name, ...rest]: Parameters<typeof test>) {
      record(name, reason)
      test.skip(name, ...rest)
    },
    get(_target, member) {
      if (member !== 'each') return Reflect.get(test.skip, member)
      return (table: readonly unknown[]) =>
        (name: string, ...rest: [() => void, number?]) => {
          record(name, reason)
          test.skip.each([...table])(name, ...rest)
        }
    },
  })
}

function record(name: unknown, reason: SkipReason): void {
  const file = process.env['AGENT_TEST_SKIPS']
  if (file === undefined) return
  const line: SkipLine = { name: String(name), ...reason }
  appendFileSync(file, `${JSON.stringify(line)}\n`)
}

/** For tests that take more than some seconds: left out by `npm run check -- --fast`. */
export const slow = skipUnless(process.env['AGENT_TEST_FAST'] === undefined, {
  why: 'this run leaves out the slow tests (--fast)',
  how: 'npm test',
  allowedInCi: true,
})
