/**
 * One side of root's hooks as a process that can be killed: `hooks-child.ts agent|root DIRECTORY`.
 *
 * `agent` prepares a change, lets readers see it (the file `current`) and waits for its commands; a second start goes on
 * as a restarted agent does. `root` carries out what is asked for, as `agent hooks run` does. The command adds a line to
 * the file `ran`.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HookConfig } from '../../src/config/config.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { runCommand } from '../../src/runtime/command.ts'
import { writeAtomic } from '../../src/runtime/files.ts'
import { holdDirectory } from '../../src/runtime/held-directory.ts'
import { runRequests } from '../../src/targets/hook-helper.ts'
import { openRootHooks } from '../../src/targets/hooks-by-root.ts'

const [side, base = ''] = process.argv.slice(2)
const requests = join(base, 'hooks')
const outcomes = join(base, 'outcomes')
const hook: HookConfig = {
  bindings: ['*'],
  command: ['sh', '-c', `echo "$RUNTIME_AGENT_CHANGED" >> ${join(base, 'ran')}`],
  timeout: 10_000,
}
const { signal } = new AbortController()

if (side === 'agent') {
  const hooks = openRootHooks({
    journal: join(base, 'journal'),
    target: 'files',
    hooks: [hook],
    requests,
    outcomes,
    patience: 20_000,
    clock: systemClock,
  })
  const current = join(base, 'current')
  if (!existsSync(current)) {
    await hooks.prepare({ current: 0, next: 1, names: ['a', 'b'] })
    writeFileSync(current, '')
  }
  const problems = await hooks.run(1, signal)
  process.exitCode = problems.length
} else {
  const held = holdDirectory(requests)
  if (held !== undefined) {
    await runRequests(
      {
        requests: held,
        outcomes,
        hooksOf: () => [hook],
        run: runCommand,
        write: writeAtomic,
        say: () => undefined,
      },
      signal,
    )
  }
}
