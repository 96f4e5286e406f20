import type { Call } from '../clients/connector.ts'
import { renew } from '../identity/renewal.ts'
import type { Identity } from '../model/identity.ts'
import { AgentError, toAgentError } from '../model/problem.ts'
import type { Source } from '../model/status.ts'
import { SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import { applyTarget } from './apply.ts'
import { connectWork, enrolStep, findPlaneStep } from './connect.ts'
import type { Deps } from './deps.ts'
import { factsOf } from './facts.ts'
import { fetchDirector } from './fetch.ts'
import { label } from './label.ts'
import type { Memory } from './memory.ts'
import { next } from './next.ts'
import type { Decision, TargetName } from './next.ts'
import type { Trigger } from './ports.ts'
import { proveOver } from './prove.ts'
import {
  recordAdopted,
  recordClock,
  recordConnectBegins,
  recordConnectFailed,
  recordEnrolled,
  recordRenewFailed,
} from './record-identity.ts'
import {
  guardStateOf,
  recordApplied,
  recordApplyFailed,
  recordFetched,
  recordFetchFailed,
  recordLabelFailed,
  recordLabelled,
} from './record-sync.ts'
import { openMemory } from './start.ts'
import { statusOf } from './status-of.ts'
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
  const memory = await openMemory(deps)
  const asked: Trigger[] = []
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
    await owned.release()
  }
}

/** Learns what may have changed without us: the token, the clock. */
async function look(deps: Deps, memory: Memory): Promise<void> {
  const now = deps.clock.now()
  memory.heartbeat = now
  const seen = await lookAtToken(deps.token)
  const known = { enrolledWith: memory.state.enrolledWith, pending: memory.pending }
  memory.token = { ...seen, status: tokenStatus(seen, known, now) }
  if (seen.digest === undefined) memory.reconnect = false
  recordClock(deps, memory, now)
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
  switch (decision.state) {
    case 'connect':
      return attempt(
        deps,
        signal,
        () => connect(deps, memory, call),
        (error) => recordConnectFailed(deps, memory, error),
      )
    case 'renew':
      return attempt(
        deps,
        signal,
        () => renewal(deps, memory, call),
        (error) => recordRenewFailed(deps, memory, error),
      )
    case 'label':
      return attempt(
        deps,
        signal,
        () => labels(deps, memory, call),
        (error) => recordLabelFailed(deps, memory, error),
      )
    case 'sync':
      for (const source of decision.fetch) await fetchSource(deps, memory, source, call)
      await Promise.all(decision.apply.map((name) => applyTo(deps, memory, name, signal)))
      return
    case 'idle':
      return
  }
}

/** The only catch: what a step throws becomes a record. An abort is no failure. */
async function attempt(
  deps: Deps,
  signal: AbortSignal,
  step: () => Promise<void>,
  failed: (error: AgentError) => void | Promise<void>,
): Promise<void> {
  try {
    await step()
  } catch (thrown) {
    if (signal.aborted) return
    const error = toAgentError(thrown)
    if (error.code === 'internal') deps.log.error(error.message, { stack: stackOf(error) })
    await failed(error)
  }
}

async function connect(deps: Deps, memory: Memory, call: Call): Promise<void> {
  if (connectWork(memory, deps.clock.now()) === 'find-plane') {
    memory.planeAskedAt = deps.clock.now()
    const moved = await findPlaneStep(deps, memory, call)
    if (moved !== undefined) await recordAdopted(deps, memory, moved, 'Compass has moved')
    return
  }
  recordConnectBegins(memory)
  try {
    const identity = await enrolStep(deps, memory, call)
    await recordEnrolled(deps, memory, identity)
  } finally {
    memory.pending = await deps.store.loadPending()
  }
}

async function renewal(deps: Deps, memory: Memory, call: Call): Promise<void> {
  const { identity, session } = memory
  if (identity === undefined || session === undefined) return
  const { store, compass, clock } = deps
  const renewed: Identity = await renew({
    store,
    identity,
    connector: session.connector,
    prove: proveOver(compass),
    now: () => clock.now(),
    call,
  })
  await recordAdopted(deps, memory, renewed, 'the certificate was renewed')
}

async function labels(deps: Deps, memory: Memory, call: Call): Promise<void> {
  const { session, identity, runtimeLabels: current } = memory
  if (session === undefined || identity === undefined || current === undefined) return
  const wanted = deps.settings.labels
  const runtimeLabels = await label(
    session.director,
    { runtimeId: identity.runtimeId, wanted, current },
    call,
  )
  recordLabelled(deps, memory, runtimeLabels)
}

function fetchSource(deps: Deps, memory: Memory, source: Source, call: Call): Promise<void> {
  const fetching = async (): Promise<void> => {
    const { session, identity } = memory
    if (session === undefined || identity === undefined) return
    const outcome = await fetchDirector(
      {
        director: session.director,
        snapshots: deps.snapshots,
        runtimeId: identity.runtimeId,
        last: memory.snapshot,
        guard: deps.settings.guard,
        approvals: memory.state.approvals,
        now: () => deps.clock.now(),
      },
      call,
    )
    await recordFetched(deps, memory, source, outcome)
  }
  return attempt(deps, call.signal, fetching, (error) =>
    recordFetchFailed(deps, memory, source, error),
  )
}

function applyTo(deps: Deps, memory: Memory, name: TargetName, signal: AbortSignal): Promise<void> {
  const applying = async (): Promise<void> => {
    const target = deps.targets.find((one) => one.name === name)
    if (target === undefined || memory.snapshot === undefined) return
    const outcome = await applyTarget(
      {
        target,
        snapshot: memory.snapshot,
        guardState: guardStateOf(memory, name),
        guard: deps.settings.guard,
        approvals: memory.state.approvals,
        now: deps.clock.now(),
      },
      signal,
    )
    await recordApplied(deps, memory, name, outcome)
  }
  return attempt(deps, signal, applying, (error) => recordApplyFailed(deps, memory, name, error))
}

function callFor(deps: Deps, { identity }: Memory, signal: AbortSignal): Call {
  const id = deps.uuid()
  return { requestId: identity === undefined ? id : `${identity.runtimeId}_${id}`, signal }
}

function stackOf(error: AgentError): string {
  return error.cause instanceof Error ? (error.cause.stack ?? '') : (error.stack ?? '')
}
