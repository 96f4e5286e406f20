import { describe, expect, test } from 'bun:test'
import { parseJunit } from '../../scripts/junit.ts'
import { closingLine, tally } from '../../scripts/tally.ts'

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="6">
  <testsuite name="a.test.ts" file="test/a.test.ts">
    <testsuite name="outer" file="test/a.test.ts">
      <testcase name="reads &lt;x&gt; &amp; &quot;y&quot;" classname="outer" file="test/a.test.ts" line="3" />
      <testcase name="breaks" classname="outer" time="0.1" file="test/a.test.ts" line="4">
        <failure type="Error" message="&lt;skipped /&gt;">Error</failure>
      </testcase>
      <testcase name="needs strace" classname="outer" file="test/a.test.ts" line="5">
        <skipped />
      </testcase>
      <testcase name="case 7 of 8 (x)" classname="" file="test/a.test.ts" line="6">
        <skipped />
      </testcase>
      <testcase name="later" classname="" file="test/a.test.ts" line="7">
        <skipped message="TODO" />
      </testcase>
    </testsuite>
  </testsuite>
</testsuites>`

const cases = parseJunit(REPORT)
const skips = [
  { name: 'needs strace', why: 'strace is not installed', how: 'apt-get install strace' },
  { name: 'case %d of $total (x)', why: 'this is not macOS', how: 'use one', allowedInCi: true },
]

test('a report of bun test gives each test with its place, name and outcome', () => {
  expect(cases.map((one) => [one.line, one.name, one.outcome])).toEqual([
    [3, 'outer > reads <x> & "y"', 'passed'],
    [4, 'outer > breaks', 'failed'],
    [5, 'outer > needs strace', 'skipped'],
    [6, 'case 7 of 8 (x)', 'skipped'],
    [7, 'later', 'skipped'],
  ])
})

describe('the end of a test run', () => {
  test('counts, and says of each skipped test why and how to get it', () => {
    const counts = tally({ cases, errors: 0, skips, ci: false })
    expect(closingLine(counts)).toBe('1 passed, 1 failed, 3 skipped')
    const report = counts.report.join('\n')
    expect(report).toContain('why: strace is not installed\n  how: apt-get install strace')
    expect(report).toContain('test/a.test.ts outer > needs strace')
    expect(report).toContain('why: this is not macOS')
    expect(report).toContain('test/a.test.ts case 7 of 8 (x)')
    expect(report).toContain('why: no reason is given')
    expect(report).toContain('Failed:\n  test/a.test.ts:4 outer > breaks')
  })

  test('counts a skip as a failure in CI, except for a reason that is allowed there', () => {
    const counts = tally({ cases, errors: 0, skips, ci: true })
    expect(closingLine(counts)).toBe('1 passed, 3 failed, 1 skipped')
    const [before, after] = counts.report.join('\n').split('counts as failed in CI:')
    expect(before).toContain('case 7 of 8 (x)')
    expect(after).toContain('needs strace')
    expect(after).toContain('later')
    expect(after).not.toContain('case 7 of 8 (x)')
  })

  test('counts an error outside of a test as a failure', () => {
    expect(tally({ cases: [], errors: 2, skips: [], ci: false }).failed).toBe(2)
  })
})
