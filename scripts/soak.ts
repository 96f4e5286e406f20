/**
 * npm run soak [-- DURATION [NAME…]]   long runs: 10m by default; 90s, 30m, 8h
 *
 * A long run is a module test/soak/<name>.ts that exports `name` and `run(options)`, which works until the signal is
 * aborted and throws when it has seen something that must never happen. The short forms in `npm test` call the same
 * `run` with some seconds.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from './build.ts'
import { hostPlatform } from './executable.ts'
import { machineFacts } from './machine.ts'
import { ROOT } from './repository.ts'

/** What a module in test/soak exports; `report` prints a line. `seed` makes a run's random moments repeatable. */
export type Soak = {
  name: string
  run: (options: {
    signal: AbortSignal
    seed: number
    report: (line: string) => void
  }) => Promise<void>
}

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000 }
const [duration = '10m', ...wanted] = process.argv.slice(2)
const [, amount, unit = ''] = /^(\d+)([smh])$/.exec(duration) ?? []
if (amount === undefined) {
  console.error(`Cannot run for '${duration}': want a number and s, m or h, for example 10m`)
  process.exit(2)
}
const milliseconds = Number(amount) * UNITS[unit]!

const folder = join(ROOT, 'test/soak')
const files = (existsSync(folder) ? readdirSync(folder) : [])
  .filter((file) => /^[^.]+\.ts$/.test(file))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
if (files.length === 0) {
  console.error(`Cannot soak: no module in test/soak${wanted.length > 0 ? ' has this name' : ''}`)
  process.exit(1)
}

await build(hostPlatform === undefined ? [] : [hostPlatform])
for (const fact of machineFacts()) console.log(fact)
const seed = Number(process.env['SOAK_SEED'] ?? Date.now() % 1_000_000)
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())
process.once('SIGTERM', () => stop.abort())
const started = Date.now()
let failed = 0
for (const file of files) {
  const soak = (await import(pathToFileURL(join(folder, file)).href)) as Soak
  console.log(`\n${soak.name}: ${duration}, SOAK_SEED=${seed}`)
  const report = (line: string) =>
    console.log(`${((Date.now() - started) / 1000).toFixed(0).padStart(6)} s  ${line}`)
  try {
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(milliseconds)])
    await soak.run({ signal, seed, report })
    report('held')
  } catch (error) {
    failed++
    console.error(`${soak.name} broke:`, error)
  }
}
process.exit(failed > 0 ? 1 : 0)
