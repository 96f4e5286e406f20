import { AgentError, problem, reasonOf, toAgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Log } from '../runtime/log.ts'
import { isTerminal, onSignal } from '../runtime/process.ts'
import type { LoadedConfig } from './load-config.ts'

/*
 * A new agent.yaml takes effect as a new term of the loop within the same process: the old one is ended as a stop would end
 * it, and the new one learns from what is stored, as after a restart. So there is one way in which a configuration comes
 * into force, and nothing has to be changed in flight. Identity, state and lock stay where they are.
 */

/** What runs with one configuration. */
export type Term = {
  readonly loaded: LoadedConfig
  readonly log: Log
  run(signal: AbortSignal): Promise<void>
  /** Shows why it is still in force. */
  refuse(problem: Problem): void
  close(): Promise<void>
}

/** What asks for the configuration to be read again. */
export interface Reloads {
  /** True: it was asked for, since the last time; false: the signal came first. */
  next(signal: AbortSignal): Promise<boolean>
}

export type Reload = { asked: Reloads; read(): Promise<LoadedConfig> }

type Replacing = Reload & {
  open(loaded: LoadedConfig): Promise<Term>
  /** Called before anything is read. */
  begins(): Promise<void> | undefined
}

/** Runs one term after the other until the signal. */
export async function runTerms(
  first: Term,
  signal: AbortSignal,
  replacing: Replacing | undefined,
): Promise<void> {
  for (let term: Term | undefined = first; term !== undefined;)
    term = await runTerm(term, signal, replacing)
}

/** Runs until the signal, or until another one can take its place, which it gives. */
async function runTerm(
  term: Term,
  signal: AbortSignal,
  replacing: Replacing | undefined,
): Promise<Term | undefined> {
  const replaced = new AbortController()
  const over = new AbortController()
  const successor = replacing && successorOf(term, replacing, over.signal)
  void successor?.then(() => replaced.abort())
  let failed = true
  try {
    await term.run(AbortSignal.any([signal, replaced.signal]))
    failed = false
  } finally {
    over.abort()
    await term.close()
    // One that was made while the end came never runs.
    if (failed || signal.aborted) await (await successor)?.close()
  }
  return signal.aborted ? undefined : successor
}

/** The term of the first configuration that can be used, of those that are asked for until the signal. */
async function successorOf(
  term: Term,
  { asked, read, open, begins }: Replacing,
  signal: AbortSignal,
): Promise<Term | undefined> {
  while (await asked.next(signal)) {
    await begins()
    try {
      const loaded = await read()
      refuseMove(term.loaded, loaded)
      const next = await open(loaded)
      next.log.info('the configuration was read again and takes effect', { of: loaded.name })
      return next
    } catch (thrown) {
      const { code, hint } = toAgentError(thrown)
      const message = `Cannot take the new configuration, so the one from before stays in force: ${reasonOf(thrown)}`
      const refused = problem(code, message, { hint })
      term.log.error(message, { code, hint })
      term.refuse(refused)
    }
  }
  return undefined
}

/** State does not move by itself: the agent would begin anew elsewhere, without identity and snapshot. */
function refuseMove(before: LoadedConfig, after: LoadedConfig): void {
  const place = ({ config: { identity } }: LoadedConfig): string =>
    JSON.stringify([identity.store, identity.directory, identity.secret])
  if (place(before) === place(after)) return
  throw new AgentError('config_invalid', 'Cannot change where the state is: identity differs', {
    hint: 'stop the agent, move its state, and start it again',
  })
}

/**
 * SIGHUP asks, from now on for good: it never ends the process. On a terminal it means that the window was closed, and ends
 * the agent as ever.
 */
export function reloadSignal(): Reloads {
  let asked = false
  let wake = (): void => undefined
  if (!isTerminal('stdin')) {
    onSignal(['SIGHUP'], () => {
      asked = true
      wake()
    })
  }
  return {
    async next(signal) {
      if (!asked && !signal.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve
          signal.addEventListener('abort', () => resolve(), { once: true })
        })
      }
      if (signal.aborted) return false
      asked = false
      return true
    },
  }
}
