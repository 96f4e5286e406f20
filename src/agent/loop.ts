import { AgentError, toAgentError } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import { relieveMemory } from '../runtime/relieve.ts'
import { connectDue } from './connect.ts'
import type { Deps } from './deps.ts'
import { factsOf } from './facts.ts'
import { busyWith } from './memory.ts'
import type { Memory } from './memory.ts'
import { next } from './next.ts'
import type { Decision, Idle } from './next.ts'
import { openJobs } from './jobs.ts'
import type { Jobs } from './jobs.ts'
import type { Owned, Trigger } from './ports.ts'
import { recordClock, recordLeap } from './record-identity.ts'
import { recordSetBack } from './set-back.ts'
import { noteWaiting } from './retry.ts'
import { blankMemory, openMemory } from './start.ts'
import { statusOf } from './status-of.ts'
import { lookAtToken, tokenStatus } from './token-watch.ts'
import { isEarly, obey } from './trigger.ts'
import { workOf } from './work.ts'
import type { Work } from './work.ts'

/** A new token and a jump of the clock are seen within this time. */
const TICK: Duration = 5 * SECOND

/**
 * Runs the agent until the signal: look, decide, begin what is due, report, wait. This file holds the only catch around a
 * step, the only waiting and the only timer. No step knows which one comes next; next() decides from what was recorded.
 *
 * Steps run as jobs beside the loop (jobs.ts), so that it looks at token, clock and wishes every few seconds whatever
 * they wait for. A failure never ends the loop: it is recorded with the part it belongs to, which then waits for its
 * own back-off.
 */
export async function runLoop(deps: Deps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const owned = await standBy(deps, signal)
    if (owned === undefined) return
    try {
      const memory = await learn(deps)
      if (memory !== undefined) {
        await live(deps, memory, { signal, lost: owned.lost })
        continue
      }
    } finally {
      await owned.release()
    }
    await deps.clock.sleep(LEARN_AGAIN, signal)
  }
}

/** A store that did not answer is asked again after this. */
const LEARN_AGAIN: Duration = 5 * SECOND

/** What the last run knew; undefined: it cannot be told just now, and nothing may be done in ignorance of it. */
async function learn(deps: Deps): Promise<Memory | undefined> {
  try {
    return await openMemory(deps)
  } catch (thrown) {
    if (!(thrown instanceof AgentError) || thrown.class !== 'retry') throw thrown
    const { message, code, hint } = thrown
    deps.log.warn(`not in charge yet: ${message}`, { code, hint })
    return undefined
  }
}

/** Waits to be in charge, and shows for whom. Undefined: the end came first. */
async function standBy(deps: Deps, signal: AbortSignal): Promise<Owned | undefined> {
  const memory = blankMemory(deps)
  const asked: Trigger[] = []
  let why = ''
  const told = Promise.withResolvers<undefined>()
  const over = new AbortController()
  const acquired = deps.ownership
    .acquire(signal, (reason, problem) => {
      if (reason !== why)
        deps.log[problem === undefined ? 'info' : 'warn'](`standing by: ${reason}`)
      why = reason
      memory.standbyProblem = problem
      told.resolve(undefined)
    })
    .finally(() => over.abort())
  await Promise.race([acquired, told.promise])
  while (!over.signal.aborted && !signal.aborted) {
    const decision: Decision = { state: 'idle', until: Infinity, why }
    await report(deps, memory, decision, asked)
    const got = await triggerWithin(deps, TICK, [over.signal, signal])
    if (got === undefined) continue
    const message = `Cannot do what was asked for (${got.kind}): ${why}`
    got.refused = new AgentError('already_running', message).toProblem()
    asked.push(got)
  }
  if (!signal.aborted) return acquired
  await report(deps, memory, { state: 'idle', until: Infinity, why: 'stopped' }, asked, true)
  return abandon(acquired)
}

async function abandon(acquired: Promise<Owned>): Promise<undefined> {
  await acquired.then(
    (owned) => owned.release(),
    () => undefined,
  )
}

type Term = { signal: AbortSignal; lost: AbortSignal }

async function live(deps: Deps, memory: Memory, term: Term): Promise<void> {
  const asked: Trigger[] = []
  /** Asked for, and neither obeyed nor refused yet. */
  const wishes: Trigger[] = []
  const signal = AbortSignal.any([term.signal, term.lost])
  const cut = cutShort(memory, term)
  const jobs = openJobs(memory)
  const { version, pid, settings } = deps
  deps.log.info('the agent starts', { version, name: settings.name, pid })
  try {
    while (!signal.aborted) {
      const ended = jobs.nextEnd()
      await look(deps, memory)
      const decision = beginDue(deps, memory, jobs, signal)
      const judged = await obeyAll(deps, memory, wishes, signal)
      asked.push(...judged)
      if (judged.length > 0) continue
      await report(deps, memory, decision, asked)
      const wish = await waitFor(deps, memory, { until: decision.until, ended, signal })
      if (wish !== undefined) wishes.push(wish)
    }
  } finally {
    await jobs.settled()
    const why = term.signal.aborted ? 'stopped' : 'another agent may be in charge'
    memory.owner = term.signal.aborted
    asked.push(...wishes)
    asked.forEach(cut)
    await report(deps, memory, { state: 'idle', until: Infinity, why }, asked, term.signal.aborted)
    const sessions = [...memory.retired, ...(memory.session === undefined ? [] : [memory.session])]
    await Promise.all(sessions.map((session) => session.close()))
    deps.log.info(
      term.signal.aborted ? 'the agent has ended' : 'the agent is not in charge any more',
    )
  }
}

/**
 * Refuses what was asked for and is not done when the end comes: what is under way at that moment is not what came of it.
 * What is promised at once is done all the same.
 */
function cutShort(memory: Memory, { signal, lost }: Term): (trigger: Trigger) => void {
  let during: string[] = []
  const note = (): void => void (during = busyWith(memory).map(([part]) => part))
  AbortSignal.any([signal, lost]).addEventListener('abort', note, { once: true })
  return (trigger) => {
    const { kind } = trigger
    if (kind === 'pause' || kind === 'resume') return
    const why = signal.aborted ? 'the agent was told to stop' : 'another agent may be in charge'
    const parts = during.length === 0 ? '' : `, during: ${during.join(', ')}`
    const message = `Cannot finish what was asked for (${kind}): ${why}${parts}`
    trigger.refused ??= new AgentError('interrupted', message).toProblem()
  }
}

/** Begins all that is due, and says until when nothing more is. */
function beginDue(deps: Deps, memory: Memory, jobs: Jobs, signal: AbortSignal): Idle {
  for (;;) {
    const now = deps.clock.now()
    const decision = next(factsOf(memory, now))
    if (decision.state === 'idle') return decision
    const { state, why } = decision
    for (const { part, step, failed, interrupt } of workOf(deps, memory, decision, signal)) {
      const as = { state, why, since: now, ...(interrupt === undefined ? {} : { interrupt }) }
      jobs.begin(part, as, () => attempt(deps, signal, step, failed))
    }
  }
}

/** Learns what may have changed without us: the token, the clock. */
async function look(deps: Deps, memory: Memory): Promise<void> {
  const now = deps.clock.now()
  if (now < memory.lookedAt) recordSetBack(deps, memory, memory.lookedAt - now)
  recordLeap(memory, now)
  memory.lookedAt = now
  const seen = await lookAtToken(deps.token)
  const known = { enrolledWith: memory.state.enrolledWith, pending: memory.pending }
  memory.token = { ...seen, status: tokenStatus(seen, known, now) }
  if (seen.digest === undefined) memory.reconnect = false
  recordClock(deps, memory)
  if (!memory.running.has('identity')) noteWaiting(deps, memory, connectDue(memory, now))
}

async function report(
  deps: Deps,
  memory: Memory,
  decision: Decision,
  asked: Trigger[],
  final = false,
): Promise<void> {
  const { settings, version, pid } = deps
  const frame = {
    version,
    pid,
    name: settings.name,
    insecure: settings.insecure,
    labels: settings.labels,
  }
  const status = statusOf(frame, memory, decision, deps.clock.now())
  await Promise.all(deps.reporters.map((reporter) => reporter.report(status, final)))
  // What was asked for has been done, or waits for something that a person has to see.
  const done = asked.filter((trigger) => final || isDone(trigger, memory))
  asked.splice(0, asked.length, ...asked.filter((trigger) => !done.includes(trigger)))
  for (const { reply, refused } of done)
    reply?.(refused === undefined ? { status } : { status, refused })
}

/** Whether nothing goes on any more of what was asked for. */
function isDone({ kind, refused }: Trigger, memory: Memory): boolean {
  if (refused !== undefined || kind === 'pause' || kind === 'resume') return true
  if (kind === 'renew' || kind === 'reconnect') return !memory.running.has('identity')
  return busyWith(memory).length === 0
}

/** Obeys what can be obeyed now and refuses what cannot; gives both, and leaves what may be possible in a while. */
async function obeyAll(
  deps: Deps,
  memory: Memory,
  wishes: Trigger[],
  signal: AbortSignal,
): Promise<Trigger[]> {
  const judged: Trigger[] = []
  for (const wish of wishes.splice(0)) {
    const later: Trigger[] = []
    const refused = (error: AgentError): void => {
      if (isEarly(wish, memory)) {
        later.push(wish)
        return
      }
      deps.log.warn(error.message, { code: error.code, asked: wish.kind })
      wish.refused = error.toProblem()
    }
    await attempt(deps, signal, () => obey(deps, memory, wish), refused)
    wishes.push(...later)
    if (later.length === 0) judged.push(wish)
  }
  return judged
}

type Wait = { until: Instant; ended: AbortSignal; signal: AbortSignal }

/** Waits until the time, the next look, the end of a job, a trigger or the end, whichever comes first. */
async function waitFor(
  deps: Deps,
  memory: Memory,
  { until, ended, signal }: Wait,
): Promise<Trigger | undefined> {
  // The end may have been asked for by a reply: then no event comes any more.
  if (signal.aborted) return undefined
  if (busyWith(memory).length === 0) relieveMemory()
  const pause = Math.min(TICK, Math.max(0, until - deps.clock.now()))
  return triggerWithin(deps, pause, [signal, ended])
}

/** The next trigger, if one comes within the time and before the first of the signals. */
async function triggerWithin(
  deps: Deps,
  time: Duration,
  signals: AbortSignal[],
): Promise<Trigger | undefined> {
  const over = new AbortController()
  const stop = (): void => over.abort()
  for (const signal of signals) signal.addEventListener('abort', stop, { once: true })
  if (signals.some(({ aborted }) => aborted)) stop()
  const trigger = deps.triggers.next(over.signal)
  await Promise.race([trigger, deps.clock.sleep(time, over.signal)])
  stop()
  for (const signal of signals) signal.removeEventListener('abort', stop)
  return trigger
}

/** The only catch: what a step throws becomes a record. An abort is no failure. */
async function attempt(
  deps: Deps,
  signal: AbortSignal,
  step: () => Promise<void>,
  failed: Work['failed'],
): Promise<void> {
  try {
    await step()
  } catch (thrown) {
    if (signal.aborted) return
    const error = toAgentError(thrown)
    if (error.code === 'internal') deps.log.error(error.message, { stack: stackOf(error) })
    failed(error)
  }
}

function stackOf(error: AgentError): string {
  return error.cause instanceof Error ? (error.cause.stack ?? '') : (error.stack ?? '')
}
