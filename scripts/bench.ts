/**
 * npm run bench [-- NAME…]   measures the product and prints a table with the machine it was measured on
 *
 * A measure is a module test/bench/<name>.ts that exports `name` and `run(): Promise<Row[]>`; all are run, or those whose
 * file names contain one of the arguments. Figures are compared by people: nothing here fails on a slow machine, only on
 * a measure that throws.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from './build.ts'
import { hostPlatform } from './executable.ts'
import { machineFacts } from './machine.ts'
import { ROOT } from './repository.ts'

/** One line of the table. */
export type Row = {
  /** What was measured: "process start to first Connector call". */
  what: string
  value: number
  /** "ms", "MB", "requests", … */
  unit: string
  /** What issue or design asks for, as written there: "≤ 150 ms". */
  goal?: string
  /** For example how often, or the spread. */
  note?: string
}

/** What a module in test/bench exports. */
export type Measure = { name: string; run: () => Promise<Row[]> }

const folder = join(ROOT, 'test/bench')
const wanted = process.argv.slice(2)
const files = (existsSync(folder) ? readdirSync(folder) : [])
  .filter((file) => /^[^.]+\.ts$/.test(file))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()

if (files.length === 0) {
  console.error(
    `Cannot measure: no module in test/bench${wanted.length > 0 ? ' has this name' : ''}`,
  )
  process.exit(1)
}
await build(hostPlatform === undefined ? [] : [hostPlatform])
for (const fact of machineFacts()) console.log(fact)
let failed = 0
for (const file of files) {
  try {
    const measure = (await import(pathToFileURL(join(folder, file)).href)) as Measure
    console.log(`\n${measure.name}`)
    printTable(await measure.run())
  } catch (error) {
    failed++
    console.error(`Cannot measure ${file}:`, error)
  }
}
process.exit(failed > 0 ? 1 : 0)

function printTable(rows: Row[]): void {
  const cells = rows.map((row) => [
    row.what,
    `${format(row.value)} ${row.unit}`,
    row.goal ?? '',
    row.note ?? '',
  ])
  const width = (column: number) => Math.max(0, ...cells.map((line) => line[column]!.length))
  const [first, second, third] = [width(0), width(1), width(2)]
  for (const [what = '', value = '', goal = '', note = ''] of cells)
    console.log(
      `  ${what.padEnd(first)}  ${value.padStart(second)}  ${goal.padEnd(third)}  ${note}`.trimEnd(),
    )
}

/** Three digits that count, whole numbers whole. */
function format(value: number): string {
  if (Number.isInteger(value)) return String(value)
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3)
}
