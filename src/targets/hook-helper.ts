import type { HookConfig } from '../config/config.ts'
import type { runCommand } from '../runtime/command.ts'
import type { HeldDirectory, HeldFile } from '../runtime/held-directory.ts'
import { endOf, hookId, namesFor, runHook } from './hook-command.ts'
import {
  decodeRequest,
  encodeOutcome,
  outcomePath,
  parseRequestName,
  readOutcome,
} from './hook-requests.ts'
import type { HookOutcome } from './hook-requests.ts'

/*
 * Root's side of hook-requests.ts. The directory of requests is the agent's, who may have been taken over: whatever lies
 * there decides only which commands of root's agent.yaml are run, and for which names. A request never stays because it
 * is wrong, as systemd starts this again for as long as there is one.
 */

export type HookHelperOptions = {
  requests: HeldDirectory
  /** Only root writes there. */
  outcomes: string
  /** The commands of a target; undefined: there is no such target. */
  hooksOf(target: string): readonly HookConfig[] | undefined
  run: typeof runCommand
  /** Stores an outcome whole or not at all. */
  write(path: string, text: string): Promise<void>
  /** One line for the log. */
  say(line: string): void
}

/** For the names of ten thousand bindings. */
const LARGEST = 1024 * 1024

/** Carries out all requests, the oldest first, until none is left or the signal. True: all of them went well. */
export async function runRequests(
  options: HookHelperOptions,
  signal: AbortSignal,
): Promise<boolean> {
  let well = true
  for (;;) {
    const names = inOrder(options.requests.names())
    if (names.length === 0) return well
    for (const name of names) {
      const end = await carryOut(name, options, signal)
      well &&= end === 'well'
      if (end === 'stays') return false
    }
  }
}

/** Takes all requests away, as none can be carried out. False: one stays. */
export function refuseRequests(
  { requests, say }: Pick<HookHelperOptions, 'requests' | 'say'>,
  why: string,
): boolean {
  return requests.names().every((name) => {
    say(`refused: ${JSON.stringify(name)}: ${why}`)
    return requests.remove(name)
  })
}

/** Those with a right name by their number; the others first. */
function inOrder(names: readonly string[]): string[] {
  const numberOf = (name: string): number => parseRequestName(name)?.number ?? -1
  return [...names].sort((a, b) => numberOf(a) - numberOf(b) || (a < b ? -1 : 1))
}

type End = 'well' | 'failed' | 'stays'

async function carryOut(
  name: string,
  options: HookHelperOptions,
  signal: AbortSignal,
): Promise<End> {
  const { requests, say } = options
  let file: HeldFile | undefined
  let end: End = 'failed'
  try {
    file = requests.read(name, LARGEST)
    if (file === undefined) return 'well'
    const order = orderOf(name, file, options)
    end = await obey(name, order, options, signal)
  } catch (thrown) {
    say(
      `refused: ${JSON.stringify(name)}: ${thrown instanceof Error ? thrown.message : 'for a reason unknown'}`,
    )
  }
  if (end === 'stays' || requests.remove(name, file)) return end
  say(`cannot remove ${JSON.stringify(name)}`)
  return 'stays'
}

/** What a request means, in words of root's agent.yaml. */
type Order = { target: string; id: string; hook: HookConfig; place: string; names: string[] }

/** Throws when it means nothing. */
function orderOf(name: string, { text }: HeldFile, { hooksOf }: HookHelperOptions): Order {
  const target = parseRequestName(name)?.target
  const hooks = target === undefined ? undefined : hooksOf(target)
  if (target === undefined || hooks === undefined) throw new Error('agent.yaml has no such target')
  const { hook: id, names: changed } = decodeRequest(text)
  const hook = hooks.find((one) => hookId(one) === id)
  if (hook === undefined) throw new Error('agent.yaml has no such command')
  const names = namesFor(hook, changed)
  if (names.length === 0) throw new Error('the command is for other bindings')
  // Several commands may begin with the same program; the rest of one may hold a secret.
  const place = `onChange[${hooks.indexOf(hook)}] of target ${target}`
  return { target, id, hook, place, names }
}

/** Begins, runs, tells; or nothing of that, when it was told already and only the request is left. */
async function obey(
  request: string,
  { target, id, hook, place, names }: Order,
  { outcomes, run, write, say }: HookHelperOptions,
  signal: AbortSignal,
): Promise<End> {
  const path = outcomePath(outcomes, target, id)
  const before = await readOutcome(path)
  if (before?.request === request && before.result !== undefined)
    return before.result.code === 0 ? 'well' : 'failed'
  const tell = (outcome: Omit<HookOutcome, 'request'>): Promise<void> =>
    write(path, encodeOutcome({ request, ...outcome }))
  // What could not be told would be asked for again and again: a full disk must not restart services without end.
  await tell({})
  const { code, killed, output } = await runHook(hook, names, { run, signal })
  if (killed === 'aborted') return 'stays'
  const changed = `${names.length} changed ${names.length === 1 ? 'binding' : 'bindings'}`
  const what = `${hook.command[0] ?? ''}, ${place}, for ${changed}`
  say(code === 0 ? `done: ${what}` : `failed: ${what}: ${endOf({ code, killed })}\n${output}`)
  await tell({ result: { code, killed } })
  return code === 0 ? 'well' : 'failed'
}
