import type { HookConfig } from '../config/config.ts'
import { arrayOf, asNumber, asObject, asString, Malformed } from '../model/decode.ts'
import { sha256 } from '../model/digest.ts'
import { matchesGlob } from '../model/names.ts'
import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { CommandResult, runCommand } from '../runtime/command.ts'
import { readText, removeFile, writeAtomic } from '../runtime/files.ts'

/** Commands to run after a change, each at least once, over crashes too. */
export interface Hooks {
  /** Stores what will have to run; called before readers see the change. */
  prepare(change: Prepared): Promise<void>
  /** Runs what is due for what readers see (`current`), and forgets what ended well. */
  run(current: number, signal: AbortSignal): Promise<Problem[]>
}

export type Prepared = {
  /** Generation that readers see, and the one that they are about to see. */
  current: number
  next: number
  /** Names of the bindings that change. */
  names: readonly string[]
}

export type HooksOptions = {
  /** The journal, in the state directory. */
  journal: string
  hooks: readonly HookConfig[]
  run: typeof runCommand
}

/** One command that must run because `generation` changed the bindings named. */
type Pending = { hook: string; generation: number; names: string[] }

const VERSION = 1

export function openHooks(options: HooksOptions): Hooks {
  if (options.hooks.length === 0) {
    return { prepare: () => Promise.resolve(), run: () => Promise.resolve([]) }
  }
  // Read once: nobody else writes it.
  let stored: Promise<Pending[]> | undefined
  const load = (): Promise<Pending[]> => (stored ??= readJournal(options.journal))
  const save = async (pending: Pending[]): Promise<void> => {
    await writeJournal(options.journal, pending)
    stored = Promise.resolve(pending)
  }
  return {
    async prepare({ current, next, names }) {
      const due = options.hooks.flatMap((hook): Pending[] => {
        const matching = names.filter((name) => isFor(hook, name))
        return matching.length === 0
          ? []
          : [{ hook: hookId(hook), generation: next, names: matching }]
      })
      const before = await load()
      // What was prepared for a change that never came is void.
      const valid = before.filter(({ generation }) => generation <= current)
      if (due.length > 0 || valid.length < before.length) await save([...valid, ...due])
    },
    async run(current, signal) {
      const problems: Problem[] = []
      for (const hook of options.hooks) {
        const mine = (await load()).filter(
          (p) => p.hook === hookId(hook) && p.generation <= current,
        )
        if (mine.length === 0) continue
        const names = [...new Set(mine.flatMap((pending) => pending.names))].sort()
        const result = await runHook(hook, names, { run: options.run, signal })
        if (result.code === 0) await save((await load()).filter((p) => !mine.includes(p)))
        // One that was stopped because we stop runs again at the next start.
        else if (result.killed !== 'aborted') problems.push(failed(hook, result))
      }
      return problems
    },
  }
}

function isFor(hook: HookConfig, name: string): boolean {
  return hook.bindings.some((pattern) => matchesGlob(pattern, name))
}

/** The same for the same command, so that a hook removed from agent.yaml is not run any more. */
function hookId({ bindings, command }: HookConfig): string {
  return sha256(JSON.stringify([bindings, command])).slice(0, 16)
}

function runHook(
  { command, timeout }: HookConfig,
  names: readonly string[],
  { run, signal }: { run: typeof runCommand; signal: AbortSignal },
): Promise<CommandResult> {
  const env = { RUNTIME_AGENT_CHANGED: names.join(' ') }
  return run(command, { timeout, env, signal })
}

/** Without the output of the command, which may hold anything. */
function failed({ command: [program = ''] }: HookConfig, { code, killed }: CommandResult): Problem {
  const how =
    killed === 'timeout'
      ? 'it was still running when its time was over'
      : code === 127
        ? 'there is no such program'
        : `it ended with code ${code}`
  return problem('hook_failed', `Cannot run ${program} after a change: ${how}`, {
    subject: program,
  })
}

async function readJournal(path: string): Promise<Pending[]> {
  const text = await readText(path)
  if (text === undefined) return []
  try {
    const json = asObject(JSON.parse(text) as unknown, 'journal')
    if (json['version'] !== VERSION) throw new Malformed('version')
    return arrayOf(json['pending'], 'pending', (value, at) => {
      const pending = asObject(value, at)
      return {
        hook: asString(pending['hook'], at),
        generation: asNumber(pending['generation'], at),
        names: arrayOf(pending['names'], at, asString),
      }
    })
  } catch {
    // Written atomically, so this is a person's doing; what was pending is not known any more.
    return []
  }
}

async function writeJournal(path: string, pending: Pending[]): Promise<void> {
  if (pending.length === 0) await removeFile(path)
  else await writeAtomic(path, `${JSON.stringify({ version: VERSION, pending }, null, 2)}\n`)
}
