import { BACKOFF, delay } from '../model/backoff.ts'
import type { AgentError } from '../model/problem.ts'
import { MINUTE, NEVER, formatDuration } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Deps } from './deps.ts'
import { remember } from './memory.ts'
import type { Memory } from './memory.ts'
import { failed } from './next.ts'
import type { Due } from './next.ts'

/**
 * The one retry: when the part that failed is due again. A person who must act gets a minute at least before the same
 * is tried again; what they change (a token, a file) is looked for every tick.
 */
export function retryLater(
  deps: Deps,
  due: Due,
  error: AgentError,
  cap: Duration = BACKOFF.cap,
): Due {
  const base = error.class === 'operator' ? MINUTE : BACKOFF.base
  const { retryAfter } = error
  const wait = delay(due.failures + 1, { base: Math.min(base, cap), cap, retryAfter }, () =>
    deps.random(),
  )
  return failed(due, error.toProblem(), deps.clock.now(), wait)
}

/** Says once, in log and history, that a part failed; the history only when it is news. */
export function noteFailure(
  deps: Deps,
  memory: Memory,
  part: string,
  { before, after, error }: { before: Due; after: Due; error: AgentError },
): void {
  const wait = formatDuration(after.nextAt - deps.clock.now())
  deps.log.warn(error.message, {
    part,
    code: error.code,
    turn: error.turn,
    hint: error.hint,
    failures: after.failures,
    again: `in ${wait}`,
    ...error.detail,
  })
  if (before.failure?.code === error.code) return
  remember(memory, {
    at: deps.clock.now(),
    level: error.class === 'retry' ? 'warn' : 'error',
    message: error.message,
    code: error.code,
  })
}

/** Says once, in log and history, that something was done. */
export function noteDone(
  deps: Deps,
  memory: Memory,
  message: string,
  fields: Record<string, unknown> = {},
): void {
  deps.log.info(message, fields)
  remember(memory, { at: deps.clock.now(), level: 'info', message })
}

/** Says in the log that a part works again. */
export function noteRecovery(deps: Deps, part: string, { failures }: Due): void {
  if (failures > 0) deps.log.info(`${part} works again`, { failures })
}

/**
 * Takes over what must survive a restart, and stores it when it differs from what is stored: what a full disk refused is
 * stored with the next pass.
 */
export async function saveState(
  deps: Deps,
  memory: Memory,
  change: Partial<Memory['state']>,
): Promise<void> {
  memory.state = { ...memory.state, ...change }
  const text = JSON.stringify(memory.state)
  if (text === memory.storedState) return
  await deps.states.save(memory.state)
  memory.storedState = text
}

/** What is promised to a person: it counts only once it is stored. */
export async function promiseState(
  deps: Deps,
  memory: Memory,
  change: Partial<Memory['state']>,
): Promise<void> {
  const state = { ...memory.state, ...change }
  await deps.states.save(state)
  memory.state = state
  memory.storedState = JSON.stringify(state)
}

/** Says once that the agent waits for a person, when no failed step has said it. */
export function noteWaiting(deps: Deps, memory: Memory, { nextAt, failure }: Due): void {
  const waits = nextAt === NEVER && failure !== undefined
  if (!waits) {
    delete memory.waitsFor
    return
  }
  const { code, message, hint, turn } = failure
  if (memory.waitsFor === code) return
  memory.waitsFor = code
  if (failure !== memory.connect.failure)
    deps.log.warn(message, { part: 'connect', code, turn, hint })
}
