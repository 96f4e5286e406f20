/**
 * npm test [-- [--fast] PATH… [-t PATTERN]]   all tests that this machine can run, or those of these paths
 *
 * Builds what the tests on the real program need, runs `bun test` with one process a core (each file is on its own, and
 * a crash is a failed test), and ends with one line, `N passed, N failed, N skipped`. Above it stands of each skipped
 * test why and how to get it. With CI=true a skip counts as a failure unless its reason is allowed there.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { SkipLine } from '../test/skip.ts'
import { build } from './build.ts'
import { hostPlatform } from './executable.ts'
import { parseJunit } from './junit.ts'
import { ROOT } from './repository.ts'
import { type Run, closingLine, tally } from './tally.ts'

// For a machine that is busy with other things; a test that is slow by nature says so itself.
const TIMEOUT = '--timeout=30000'

const args = process.argv.slice(2)
const fast = args.includes('--fast')
const selection = args.filter((arg) => arg !== '--fast')

const unbuilt = await prepare()
const run = await runTests()
const counts = tally({ ...run, errors: run.errors + (selection.length === 0 ? unbuilt : 0) })
for (const line of counts.report) console.log(line)
if (counts.passed + counts.failed + counts.skipped === 0) console.log('\nNo test was run.')
console.log(`\n${closingLine(counts)}`)
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0)

/** Builds; a failure is told, counts when all tests are wanted, and does not keep the other tests from running. */
async function prepare(): Promise<number> {
  try {
    await build(hostPlatform === undefined ? [] : [hostPlatform])
    return 0
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  }
}

async function runTests(): Promise<Run> {
  const work = mkdtempSync(join(tmpdir(), 'agent-test-'))
  const report = join(work, 'junit.xml')
  const skipFile = join(work, 'skips')
  try {
    const { code, output } = await bunTest(report, skipFile)
    const summary = /^ *(\d+) errors?$/m.exec(output)?.[1]
    const reported = existsSync(report)
    const cases = reported ? parseJunit(readFileSync(report, 'utf8')) : []
    const failures = cases.filter((one) => one.outcome === 'failed').length
    let errors = Number(summary ?? 0)
    // Whatever else made it fail is not lost: a report that is missing, an exit status without a failed test.
    if (errors + failures === 0 && (code !== 0 || !reported)) errors = 1
    return { cases, errors, skips: readSkips(skipFile), ci: process.env['CI'] === 'true' }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Shows what `bun test` prints as it comes, and gives it back without colours. */
async function bunTest(
  report: string,
  skipFile: string,
): Promise<{ code: number; output: string }> {
  const workers = `--parallel=${Math.min(4, availableParallelism())}`
  const reporter = ['--reporter=junit', `--reporter-outfile=${report}`]
  const child = spawn(
    process.execPath,
    ['test', '--no-orphans', '--only-failures', TIMEOUT, workers, ...reporter, ...selection],
    {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'pipe'],
      env: {
        ...process.env,
        AGENT_TEST_SKIPS: skipFile,
        ...(fast ? { AGENT_TEST_FAST: '1' } : {}),
        ...(process.stderr.isTTY ? { FORCE_COLOR: '1' } : {}),
      },
    },
  )
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => {
    process.stderr.write(chunk)
    output = (output + chunk.toString()).slice(-100_000)
  })
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => resolve(status ?? 1))
  })
  return { code, output: stripVTControlCharacters(output) }
}

function readSkips(file: string): SkipLine[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as SkipLine)
}
