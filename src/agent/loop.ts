import type { Call } from '../clients/connector.ts'
import { AgentError, toAgentError } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import { relieveMemory } from '../runtime/relieve.ts'
import { connectDue, connectWork } from './connect.ts'
import type { Deps } from './deps.ts'
import { factsOf } from './facts.ts'
import type { Memory } from './memory.ts'
import { next } from './next.ts'
import type { Decision } from './next.ts'
import type { Trigger } from './ports.ts'
import {
  recordClock,
  recordConnectFailed,
  recordLeap,
  recordNotFound,
  recordRenewFailed,
} from './record-identity.ts'
import { recordApplyFailed, recordFetchFailed, recordLabelFailed } from './record-sync.ts'
import { recordSetBack } from './set-back.ts'
import { noteWaiting } from './retry.ts'
import { openMemory } from './start.ts'
import { statusOf } from './status-of.ts'
import { applyTo, enrolOnce, fetchFrom, findPlane, renewOnce, sendLabels } from './steps.ts'
import { lookAtToken, tokenStatus } from './token-watch.ts'
import { obey } from './trigger.ts'

/** A new token and a jump of the clock are seen within this time. */
const TICK: Duration = 5 * SECOND

/**
 * Runs the agent until the signal: decide, act, record, wait. This file holds the only catch around a step, the only
 * waiting and the only timer. No step knows which one comes next; next() decides from what was recorded.
 *
 * A failure never ends the loop: it is recorded with the part it belongs to, which then waits for its own back-off.
 */
export async function runLoop(deps: Deps, signal: AbortSignal): Promise<void> {
  const owned = await deps.ownership.acquire(signal)
  try {
    await live(deps, await openMemory(deps), signal)
  } finally {
    await owned.release()
  }
}

async function live(deps: Deps, memory: Memory, signal: AbortSignal): Promise<void> {
  const asked: Trigger[] = []
  const { version, pid, settings } = deps
  deps.log.info('the agent starts', { version, name: settings.name, pid })
  try {
    while (!signal.aborted) {
      await look(deps, memory)
      const decision = next(factsOf(memory, deps.clock.now()))
      await report(deps, memory, decision, asked)
      if (decision.state === 'idle')
        await waitFor(deps, memory, { until: decision.until, asked, signal })
      else await perform(deps, memory, decision, signal)
    }
  } finally {
    const stopped: Decision = { state: 'idle', until: Infinity, why: 'stopped' }
    await report(deps, memory, stopped, asked, true)
    await memory.session?.close()
    deps.log.info('the agent has ended')
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
  noteWaiting(deps, memory, connectDue(memory, now))
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
  if (decision.state !== 'idle') return
  // Idle: all that was asked for has been done, or waits for something that a person has to see.
  for (const { reply, refused } of asked.splice(0))
    reply?.(refused === undefined ? { status } : { status, refused })
}

type Wait = { until: Instant; asked: Trigger[]; signal: AbortSignal }

/** Waits until the time, the next look, a trigger or the end, whichever comes first. */
async function waitFor(deps: Deps, memory: Memory, { until, asked, signal }: Wait): Promise<void> {
  // The end may have been asked for by a reply: then no event comes any more.
  if (signal.aborted) return
  relieveMemory()
  const over = new AbortController()
  const stop = (): void => over.abort()
  signal.addEventListener('abort', stop, { once: true })
  const trigger = deps.triggers.next(over.signal)
  const pause = Math.min(TICK, Math.max(0, until - deps.clock.now()))
  await Promise.race([trigger, deps.clock.sleep(pause, over.signal)])
  stop()
  signal.removeEventListener('abort', stop)
  const got = await trigger
  if (got === undefined) return
  asked.push(got)
  const refused = (error: AgentError): void => {
    deps.log.warn(error.message, { code: error.code, asked: got.kind })
    got.refused = error.toProblem()
  }
  await attempt(deps, signal, () => obey(deps, memory, got), refused)
}

/** Does one step and records what came of it. */
async function perform(
  deps: Deps,
  memory: Memory,
  decision: Decision,
  signal: AbortSignal,
): Promise<void> {
  const call = callFor(deps, memory, signal)
  const step = (work: () => Promise<void>, failed: Failed): Promise<void> =>
    attempt(deps, signal, work, failed)
  switch (decision.state) {
    case 'connect':
      return connectWork(memory, deps.clock.now()) === 'find-plane'
        ? step(
            () => findPlane(deps, memory, call),
            (error) => recordNotFound(deps, error),
          )
        : step(
            () => enrolOnce(deps, memory, call),
            (error) => recordConnectFailed(deps, memory, error),
          )
    case 'renew':
      return step(
        () => renewOnce(deps, memory, call),
        (error) => recordRenewFailed(deps, memory, error),
      )
    case 'label':
      return step(
        () => sendLabels(deps, memory, call),
        (error) => recordLabelFailed(deps, memory, error),
      )
    case 'sync':
      for (const source of decision.fetch) {
        await step(
          () => fetchFrom(deps, memory, source, call),
          (error) => recordFetchFailed(deps, memory, source, error),
        )
      }
      await Promise.all(
        decision.apply.map((name) =>
          step(
            () => applyTo(deps, memory, name, signal),
            (error) => recordApplyFailed(deps, memory, name, error),
          ),
        ),
      )
      return
    case 'idle':
      return
  }
}

type Failed = (error: AgentError) => void

/** The only catch: what a step throws becomes a record. An abort is no failure. */
async function attempt(
  deps: Deps,
  signal: AbortSignal,
  step: () => Promise<void>,
  failed: Failed,
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

function callFor(deps: Deps, { identity }: Memory, signal: AbortSignal): Call {
  const id = deps.uuid()
  return { requestId: identity === undefined ? id : `${identity.runtimeId}_${id}`, signal }
}

function stackOf(error: AgentError): string {
  return error.cause instanceof Error ? (error.cause.stack ?? '') : (error.stack ?? '')
}
