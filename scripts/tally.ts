/** What a test run comes to: how many passed, failed and were skipped, and why. Pure. */
import type { SkipLine } from '../test/skip.ts'
import type { TestCase } from './junit.ts'

/** What `bun test` left behind. */
export type Run = {
  cases: TestCase[]
  /** Failures that belong to no test: a file that cannot be loaded, an error after the last test, a crash. */
  errors: number
  skips: SkipLine[]
  /** In CI nothing may be skipped, except for reasons that say so. */
  ci: boolean
}

/** `report` is printed above the closing line. */
export type Tally = { passed: number; failed: number; skipped: number; report: string[] }

/** Counts, and says of each failed test where it is and of each skipped one why and how to get it. */
export function tally(run: Run): Tally {
  const failed = run.cases.filter((one) => one.outcome === 'failed')
  const skipped = run.cases
    .filter((one) => one.outcome === 'skipped')
    .map((one) => ({ test: one, reason: reasonOf(one, run.skips) }))
  const isRefused = ({ reason }: Skipped) => run.ci && reason?.allowedInCi !== true
  const refused = skipped.filter(isRefused)
  const allowed = skipped.filter((one) => !isRefused(one))
  return {
    passed: run.cases.filter((one) => one.outcome === 'passed').length,
    failed: failed.length + run.errors + refused.length,
    skipped: skipped.length - refused.length,
    report: [
      ...section('Skipped:', reportSkipped(allowed)),
      ...section('Skipped, which counts as failed in CI:', reportSkipped(refused)),
      ...section('Failed:', failed.map(place)),
      ...section(
        'Failed outside of a test (see above):',
        run.errors > 0 ? [String(run.errors)] : [],
      ),
    ],
  }
}

/** `N passed, N failed, N skipped`: the last line of a test run. */
export function closingLine(counts: { passed: number; failed: number; skipped: number }): string {
  return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`
}

/** The reason under which a test was skipped. `each` writes `%d` and `$name` where the test's own name has a value. */
function reasonOf(one: TestCase, skips: SkipLine[]): SkipLine | undefined {
  return skips.find(({ name }) => {
    const parts = name.split(/%[a-z#%]|\$[\w.#]+/i)
    if (parts.length === 1) return name === one.title
    const pattern = parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    return new RegExp(`^${pattern.join('[^]*')}$`).test(one.title)
  })
}

type Skipped = { test: TestCase; reason: SkipLine | undefined }

/** Tests that share a reason share its lines. */
function reportSkipped(skipped: Skipped[]): string[] {
  const byReason = Map.groupBy(skipped, ({ reason }) =>
    reason === undefined
      ? 'why: no reason is given\n  how: write the test with skipUnless of test/skip.ts'
      : `why: ${reason.why}\n  how: ${reason.how}`,
  )
  return [...byReason].flatMap(([reason, tests]) => [
    reason,
    // The line of a skipped test is that of the helper which skips it.
    ...tests.map(({ test }) => `    ${test.file} ${test.name}`),
  ])
}

function place(test: TestCase): string {
  const line = test.line === undefined ? '' : `:${test.line}`
  return `${test.file}${line} ${test.name}`
}

function section(title: string, lines: string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)]
}
