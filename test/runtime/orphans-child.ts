/** The first process of its namespace: runs commands that leave others behind, and prints how many zombies stay. */
import { readFileSync, readdirSync } from 'node:fs'
import { runCommand } from '../../src/runtime/command.ts'

const { signal } = new AbortController()
const shell = (script: string) => runCommand(['/bin/sh', '-c', script], { timeout: 10_000, signal })

function zombies(): number {
  const stats = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/stat`, 'utf8')
      } catch {
        return ''
      }
    })
  return stats.filter((text) => / Z 1 /.test(text)).length
}

await Promise.all([1, 2, 3].map(() => shell('(sleep 0.1 &) >/dev/null 2>&1')))
const end = Date.now() + 5000
while (zombies() < 3 && Date.now() < end) await Bun.sleep(20)
const before = zombies()
// Several at once: none of them loses its exit code to the one that looks for orphans.
const codes = await Promise.all([7, 8, 9].map(async (n) => (await shell(`exit ${n}`)).code))
console.log(JSON.stringify({ pid: process.pid, before, codes, after: zombies() }))
