import type { HookConfig } from '../config/config.ts'
import type { Problem } from '../model/problem.ts'
import type { runCommand } from '../runtime/command.ts'
import { endOf, hookFailed, runHook } from './hook-command.ts'
import { openHookJournal } from './hook-journal.ts'
import type { Prepared } from './hook-journal.ts'

/** Commands to run after a change, each at least once, over crashes too. */
export interface Hooks {
  /** Stores what will have to run; called before readers see the change. */
  prepare(change: Prepared): Promise<void>
  /** Runs what is due for what readers see (`current`), and forgets what ended well. */
  run(current: number, signal: AbortSignal): Promise<Problem[]>
}

export type HooksOptions = {
  /** The journal, in the state directory. */
  journal: string
  hooks: readonly HookConfig[]
  run: typeof runCommand
}

/** None: nothing is read or written. */
export const noHooks: Hooks = {
  prepare: () => Promise.resolve(),
  run: () => Promise.resolve([]),
}

/** Runs the commands itself, as the user of the agent, one after the other. */
export function openHooks({ journal: path, hooks, run }: HooksOptions): Hooks {
  const journal = openHookJournal(path, hooks)
  return {
    prepare: (change) => journal.prepare(change),
    async run(current, signal) {
      const problems: Problem[] = []
      for (const due of await journal.due(current)) {
        const result = await runHook(due.hook, due.names, { run, signal })
        if (result.code === 0) await journal.done(due)
        // One that was stopped because we stop runs again at the next start.
        else if (result.killed !== 'aborted') problems.push(hookFailed(due.hook, endOf(result)))
      }
      return problems
    },
  }
}
