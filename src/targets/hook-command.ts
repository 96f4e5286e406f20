import type { HookConfig } from '../config/config.ts'
import { sha256 } from '../model/digest.ts'
import { matchesGlob } from '../model/names.ts'
import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { CommandResult, runCommand } from '../runtime/command.ts'

/** The same for the same command, so that one that left agent.yaml is not run any more. */
export function hookId({ bindings, command }: HookConfig): string {
  return sha256(JSON.stringify([bindings, command])).slice(0, 16)
}

/** Those of the names whose changes the command is for. */
export function namesFor(hook: HookConfig, names: readonly string[]): string[] {
  return names.filter((name) => hook.bindings.some((pattern) => matchesGlob(pattern, name)))
}

/** Linux gives one variable at most 128 KiB; a longer one, and no command would be started at all. */
const LONGEST = 100_000

/** Runs it with the names of the changed bindings, or with `*` when these are too many for a variable. */
export function runHook(
  { command, timeout }: HookConfig,
  names: readonly string[],
  { run, signal }: { run: typeof runCommand; signal: AbortSignal },
): Promise<CommandResult> {
  const all = names.join(' ')
  const env = { RUNTIME_AGENT_CHANGED: all.length > LONGEST ? '*' : all }
  return run(command, { timeout, env, signal })
}

/** How a command ended, without its output, which may hold anything. */
export type HookResult = { code: number; killed?: CommandResult['killed'] | undefined }

/** In words, when it did not end well. */
export function endOf({ code, killed }: HookResult): string {
  if (killed === 'timeout') return 'it was still running when its time was over'
  return code === 127 ? 'there is no such program' : `it ended with code ${code}`
}

export function hookFailed({ command: [program = ''] }: HookConfig, why: string): Problem {
  return problem('hook_failed', `Cannot run ${program} after a change: ${why}`, {
    subject: program,
  })
}
