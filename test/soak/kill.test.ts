import { SLOW, ensureExecutable, onExecutable } from '../e2e/support/program.ts'
import { run } from './kill.ts'

/** The short form of `npm run soak`. */
onExecutable(
  'survives kill -9 of agent and plane for ten seconds with exactly the bindings of the landscape',
  async () => {
    await ensureExecutable()
    await run({ signal: AbortSignal.timeout(10_000), seed: 4711, report: () => undefined })
  },
  SLOW,
)
