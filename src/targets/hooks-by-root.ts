import type { HookConfig } from '../config/config.ts'
import type { Problem } from '../model/problem.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import {
  ensureDirectory,
  lstat,
  removeFile,
  removeTemporary,
  writeAtomic,
} from '../runtime/files.ts'
import { join } from '../runtime/path.ts'
import { endOf, hookFailed } from './hook-command.ts'
import type { HookResult } from './hook-command.ts'
import { openHookJournal } from './hook-journal.ts'
import type { Asked, Due } from './hook-journal.ts'
import {
  encodeRequest,
  outcomePath,
  parseRequestName,
  readOutcome,
  requestName,
} from './hook-requests.ts'
import type { Hooks } from './hooks.ts'

export type RootHooksOptions = {
  /** The journal, in the state directory. */
  journal: string
  target: string
  hooks: readonly HookConfig[]
  /** Where requests go; made when missing. */
  requests: string
  /** Where root tells what came of them. */
  outcomes: string
  /** How long an outcome is waited for: root runs the commands of all targets one after the other. */
  patience: Duration
  clock: Clock
}

/** How often it is looked for. A directory of somebody else can be watched by looking only. */
const LOOK: Duration = 100

const SILENT = 'the service runtime-agent-hooks has not run it yet'
const REFUSED = 'the service runtime-agent-hooks refused it: its log says why'

/**
 * Has the commands run by root (hook-requests.ts). All that are due are asked for at once; an outcome that does not come
 * in time is looked for again in the next pass, and is not asked for a second time.
 */
export function openRootHooks(options: RootHooksOptions): Hooks {
  const { hooks, requests, outcomes, target, clock } = options
  const journal = openHookJournal(options.journal, hooks)
  /** Requests that were waited for in vain. */
  const silent = new Set<string>()
  let latest = 0
  let cleared = false

  async function run(current: number, signal: AbortSignal): Promise<Problem[]> {
    const due = await journal.due(current)
    if (due.length === 0) return []
    const asked = await ask(due)
    const problems: Problem[] = []
    for (const one of due) {
      const request = asked.find(({ hook }) => hook === one.id)?.request ?? ''
      const answer = await answerTo(one, request, signal)
      if (answer === 'stopped') break
      const problem = await conclude(one, request, answer)
      if (problem !== undefined) problems.push(problem)
    }
    return problems
  }

  /** Writes the requests that are missing, each noted before it is there. */
  async function ask(due: readonly Due[]): Promise<readonly Asked[]> {
    await ensureDirectory(requests, { mode: 0o700 })
    // What a killed process was writing.
    if (!cleared) await removeTemporary(requests)
    cleared = true
    const before = await journal.asked()
    const kept = before.filter((asked) => due.some((one) => isFor(asked, one)))
    const missing = due.filter((one) => !kept.some((asked) => isFor(asked, one)))
    const more = missing.map(({ id, generation }): Asked => {
      latest = Math.max(Math.floor(clock.now()), latest + 1, ...before.map(numberAfter))
      return { hook: id, generation, request: requestName(target, latest) }
    })
    const asked = [...kept, ...more]
    if (more.length > 0) {
      // What was asked for an older change is a part of what is asked for now.
      for (const old of before.filter((one) => !kept.includes(one)))
        await removeFile(join(requests, old.request))
      await journal.ask(asked)
    }
    for (const { hook, request } of asked) {
      const one = due.find(({ id }) => id === hook)
      if (one !== undefined && (await outcomeOf(one, request)) === undefined)
        await write(request, one)
    }
    return asked
  }

  async function write(request: string, { id, names }: Due): Promise<void> {
    const path = join(requests, request)
    if ((await lstat(path)) === undefined)
      await writeAtomic(path, encodeRequest({ hook: id, names }))
  }

  async function outcomeOf({ id }: Due, request: string): Promise<HookResult | undefined> {
    const outcome = await readOutcome(outcomePath(outcomes, target, id))
    return outcome?.request === request ? outcome.result : undefined
  }

  async function answerTo(due: Due, request: string, signal: AbortSignal): Promise<Answer> {
    const patience = silent.has(request) ? 0 : options.patience
    // By looks and not by the clock, which may be set back.
    for (let waited = 0; ; waited += LOOK) {
      const gone = (await lstat(join(requests, request))) === undefined
      // Looked at after the request: root writes the outcome before it removes that.
      const result = await outcomeOf(due, request)
      if (result !== undefined) return result
      if (gone) return 'refused'
      if (signal.aborted) return 'stopped'
      if (waited >= patience) return 'silent'
      await clock.sleep(LOOK, signal)
    }
  }

  async function conclude(
    due: Due,
    request: string,
    answer: Exclude<Answer, 'stopped'>,
  ): Promise<Problem | undefined> {
    if (answer === 'silent') {
      silent.add(request)
      return hookFailed(due.hook, SILENT)
    }
    silent.delete(request)
    if (answer !== 'refused' && answer.code === 0) {
      await journal.done(due)
      return undefined
    }
    // Not asked for any more: the next pass, which comes after a back-off, asks anew.
    await journal.ask((await journal.asked()).filter((one) => one.request !== request))
    return hookFailed(due.hook, answer === 'refused' ? REFUSED : endOf(answer))
  }

  return { prepare: (change) => journal.prepare(change), run }
}

type Answer = HookResult | 'refused' | 'silent' | 'stopped'

function isFor(asked: Asked, due: Due): boolean {
  return asked.hook === due.id && asked.generation === due.generation
}

/** No request gets the number of an earlier one, so that no outcome is taken for that of another request. */
function numberAfter({ request }: Asked): number {
  return (parseRequestName(request)?.number ?? 0) + 1
}
