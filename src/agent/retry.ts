import { BACKOFF, delay } from '../model/backoff.ts'
import type { AgentError, Code } from '../model/problem.ts'
import { MINUTE, NEVER, SECOND, formatDuration } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Deps } from './deps.ts'
import { remember } from './memory.ts'
import type { Memory } from './memory.ts'
import { failed } from './next.ts'
import type { Due } from './next.ts'
import type { AgentState } from './state.ts'

/** What a person mends on this machine, without telling anybody: looking again costs nobody else anything. */
const LOCAL: ReadonlySet<Code> = new Set<Code>([
  'disk_full',
  'disk_failed',
  'output_foreign',
  'output_damaged',
  'output_unsafe',
  'group_unknown',
])
/** So soon at first, and never longer than a minute. */
const LOCAL_BASE = 5 * SECOND

/**
 * The one retry: when the part that failed is due again. A person who must act gets up to a minute before the same is
 * tried again, and longer each time; a changed token is looked for every tick, what is local within a minute.
 */
export function retryLater(
  deps: Deps,
  due: Due,
  error: AgentError,
  cap: Duration = BACKOFF.cap,
): Due {
  const local = LOCAL.has(error.code)
  const base = local ? LOCAL_BASE : error.class === 'operator' ? MINUTE : BACKOFF.base
  const longest = local ? Math.min(cap, MINUTE) : cap
  const backoff = { base: Math.min(base, longest), cap: longest, retryAfter: error.retryAfter }
  const wait = delay(due.failures + 1, backoff, () => deps.random())
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
export function saveState(
  deps: Deps,
  memory: Memory,
  change: Partial<Memory['state']>,
): Promise<void> {
  memory.state = { ...memory.state, ...change }
  return oneByOne(memory, () => store(deps, memory, memory.state))
}

/** What is promised to a person: it counts only once it is stored. */
export function promiseState(
  deps: Deps,
  memory: Memory,
  change: (state: AgentState) => Partial<AgentState>,
): Promise<void> {
  return oneByOne(memory, async () => {
    await store(deps, memory, { ...memory.state, ...change(memory.state) })
    memory.state = { ...memory.state, ...change(memory.state) }
  })
}

/** Parts that end at the same time must not store an older state over a newer one. */
function oneByOne(memory: Memory, save: () => Promise<void>): Promise<void> {
  const saved = memory.saving.then(save)
  memory.saving = saved.catch(() => undefined)
  return saved
}

async function store(deps: Deps, memory: Memory, state: AgentState): Promise<void> {
  const text = JSON.stringify(state)
  if (text === memory.storedState) return
  await deps.states.save(state)
  memory.storedState = text
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
