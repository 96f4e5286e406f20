/**
 * A program that reads bindings with @sap/xsenv, again and again, until SIGTERM; then it prints what it has seen.
 *
 *   bun test/soak/support/reader-child.ts <output directory>
 *
 * It takes turns: once it resolves `current` and reads there, as the documents advise, and nothing may ever go wrong; once
 * it reads through `current` file by file, and then something may only go wrong when `current` was replaced meanwhile.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

type Service = { name: string; type?: string; credentials: Record<string, unknown> }

/** What is printed. `torn`: reads through `current` that a swap came into; Kubernetes volumes have the same window. */
export type ReaderReport = { reads: number; swaps: number; torn: number; problems: string[] }

const { readServices } = createRequire(import.meta.url)('@sap/xsenv') as {
  readServices(): Record<string, Service>
}

const [output = ''] = process.argv.slice(2)
const report: ReaderReport = { reads: 0, swaps: 0, torn: 0, problems: [] }
let running = true
process.once('SIGTERM', () => (running = false))

function current(): string {
  return readlinkSync(join(output, 'current'))
}

/** What is wrong with what a reader gets from this root. */
function look(root: string): string | undefined {
  process.env['SERVICE_BINDING_ROOT'] = root
  try {
    const services = Object.values(readServices())
    const directories = readdirSync(root)
    if (services.length !== directories.length)
      return `${services.length} of ${directories.length} bindings have a type`
    for (const { name, type, credentials } of services) {
      if (type !== 'ucl-api') return `${name} has the type ${String(type)}`
      const { password } = credentials
      const whole = typeof password !== 'string' || /^begin .* end$/.test(password)
      if (!whole) return `${name} has half a password`
      if (credentials['ucl-bundle-id'] === undefined) return `${name} has no bundle id`
    }
    return undefined
  } catch (thrown) {
    return String(thrown)
  }
}

let last = current()
for (let through = false; running; through = !through) {
  const before = current()
  if (before !== last) report.swaps += 1
  last = before
  const wrong = look(join(output, through ? 'current' : before, 'bindings'))
  report.reads += 1
  if (wrong !== undefined && through && current() !== before) report.torn += 1
  else if (wrong !== undefined && report.problems.length < 20)
    report.problems.push(`${through ? 'through current' : before}: ${wrong}`)
  await Bun.sleep(4)
}
console.log(JSON.stringify(report))
