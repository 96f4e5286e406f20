/**
 * npm run check [-- --fast | --no-tests]   the whole gate in one go
 *
 * Format, lint, types, import rule, dead exports, documents, lock file, tests: all of them, also after one has failed,
 * each with its output only when it failed, and a table at the end. `--fast` leaves out the slow tests and the clean
 * install; `--no-tests` leaves out the tests that `npm test` runs (CI has run them before).
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from './repository.ts'

type Outcome = { passed: boolean; output: string }
type Step = { name: string; run: () => Outcome; when?: boolean }

const args = process.argv.slice(2)
const [fast, noTests] = [args.includes('--fast'), args.includes('--no-tests')]
const unknown = args.find((arg) => !['--fast', '--no-tests'].includes(arg))
if (unknown !== undefined) {
  console.error(`Cannot understand '${unknown}': want --fast or --no-tests`)
  process.exit(2)
}

const STEPS: Step[] = [
  {
    name: 'format',
    run: () => tool('prettier/bin/prettier.cjs', ['--check', '--log-level=warn', '.']),
  },
  { name: 'lint', run: () => tool('eslint/bin/eslint.js', ['--max-warnings=0', '.']) },
  { name: 'types', run: () => tool('typescript/bin/tsc', ['--noEmit']) },
  { name: 'import rule', run: () => tests('test/imports.test.ts') },
  { name: 'dead exports', run: () => tests('test/dead-exports.test.ts') },
  { name: 'documents', run: () => tests('test/docs.test.ts') },
  { name: 'lock file', run: () => tests('test/lock-file.test.ts') },
  { name: 'clean install', run: cleanInstall, when: !fast },
  { name: 'tests', run: allTests, when: !noTests },
]

const results = STEPS.filter((step) => step.when !== false).map((step) => {
  process.stderr.write(`${step.name} …\n`)
  const started = performance.now()
  const { passed, output } = step.run()
  if (!passed) process.stdout.write(`\n${step.name} failed:\n${output.trimEnd()}\n\n`)
  return { name: step.name, passed, seconds: (performance.now() - started) / 1000 }
})

console.log('\nstep            result    time')
for (const { name, passed, seconds } of results)
  console.log(
    `${name.padEnd(16)}${passed ? 'passed' : 'FAILED'}  ${seconds.toFixed(1).padStart(6)} s`,
  )
const failed = results.filter((result) => !result.passed)
console.log(
  failed.length === 0
    ? '\nThe gate is green.'
    : `\nThe gate is red: ${failed.map(({ name }) => name).join(', ')}.`,
)
process.exit(failed.length === 0 ? 0 : 1)

/** Runs the script of a package under the Bun that runs us. */
function tool(script: string, options: string[]): Outcome {
  return outcomeOf(process.execPath, [join(ROOT, 'node_modules', script), ...options])
}

function tests(file: string): Outcome {
  return outcomeOf(process.execPath, ['test', '--only-failures', '--timeout=30000', file])
}

/** Printed as it runs, as it takes longest. */
function allTests(): Outcome {
  const script = join(ROOT, 'scripts/test.ts')
  const options = fast ? [script, '--fast'] : [script]
  const { status } = spawnSync(process.execPath, options, { cwd: ROOT, stdio: 'inherit' })
  return { passed: status === 0, output: 'see above' }
}

/** `npm ci` must accept the lock file where nothing is installed yet. Its cache may be warm: no script, no audit. */
function cleanInstall(): Outcome {
  const place = mkdtempSync(join(tmpdir(), 'clean-install-'))
  try {
    for (const file of ['package.json', 'package-lock.json', '.npmrc'])
      cpSync(join(ROOT, file), join(place, file))
    return outcomeOf(
      'npm',
      ['ci', '--ignore-scripts', '--prefer-offline', '--loglevel=error'],
      place,
    )
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

function outcomeOf(command: string, options: string[], cwd = ROOT): Outcome {
  const run = spawnSync(command, options, { cwd, encoding: 'utf8', maxBuffer: 1 << 27 })
  const why = run.error === undefined ? '' : `\n${run.error.message}`
  return { passed: run.status === 0, output: `${run.stdout}${run.stderr}${why}` }
}
