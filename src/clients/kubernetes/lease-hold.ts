import { AgentError, toAgentError } from '../../model/problem.ts'
import { MINUTE, SECOND, type Duration } from '../../model/time.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import { releaseLease, renewLease, type Held, type LeaseWriter } from './lease-record.ts'

/* A Lease that is held: its renewal, and its end in time when that fails (lease.ts has the rule). */

const RENEW_EVERY: Duration = 5 * SECOND
/** The rest of the duration is for a write that is under way. */
const HOLD_FOR: Duration = 10 * SECOND
/** A call that hangs must leave time for another one. */
const CALL: Duration = 4 * SECOND
const LOOK_EVERY: Duration = 10 * SECOND
const TEND_EVERY: Duration = 5 * MINUTE

export type HoldScene = {
  clock: Clock
  /** Milliseconds that no clock setting changes. */
  steady: () => Duration
  log: Log
  writer: LeaseWriter
  hindrance?: (signal: AbortSignal) => Promise<string | undefined>
  tend?: () => Promise<void>
}

export type LeaseOwned = { lost: AbortSignal; release(): Promise<void> }
export type Term = { owned: LeaseOwned; lose: (why: string) => void }

/** A moment by both clocks. */
export type Moment = { steady: Duration; wall: number }

export function moment({ steady, clock }: HoldScene): Moment {
  return { steady: steady(), wall: clock.now() }
}

/** How long ago that may have been: a machine that slept stops one of the clocks, a person may set the other. */
function passed(scene: HoldScene, since: Moment): Duration {
  return Math.max(scene.steady() - since.steady, scene.clock.now() - since.wall)
}

/** A call that is given up after 4 s, or with one of the signals. */
export async function within<T>(
  { clock }: Pick<HoldScene, 'clock'>,
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const [over, given] = [new AbortController(), new AbortController()]
  const late = new AgentError('timed_out', TOO_SLOW)
  const timer = clock.sleep(CALL, over.signal).then(() => given.abort(late))
  // Not AbortSignal.any: these signals live as long as the agent, and would gather what hangs on them.
  const stop = (): void => given.abort(signals.find(({ aborted }) => aborted)?.reason)
  for (const signal of signals) signal.addEventListener('abort', stop)
  if (signals.some(({ aborted }) => aborted)) stop()
  try {
    return await Promise.race([work(given.signal), rejection(given.signal)])
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stop)
    over.abort()
    await timer
  }
}

const TOO_SLOW = `Cannot reach the Kubernetes API: no answer within ${CALL / SECOND} s`

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(toAgentError(signal.reason))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}

/** Keeps what was taken until it is released or lost. */
export function hold(scene: HoldScene, first: Held & { since: Moment }): Term {
  const [lost, over] = [new AbortController(), new AbortController()]
  const lose = (why: string): void => {
    if (over.signal.aborted) return
    scene.log.warn(`not in charge any more: ${why}`)
    lost.abort(new AgentError('already_running', `Cannot go on: ${why}`))
    over.abort()
  }
  const kept: Kept = { ...first, trouble: '' }
  const work = [
    keepRenewing(scene, kept, over.signal, lose),
    watchTime(scene, kept, over.signal, lose),
    keepLooking(scene, over.signal, lose),
    keepTending(scene, over.signal),
  ]
  const release = async (): Promise<void> => {
    over.abort()
    await Promise.all(work)
    await within(scene, [], (call) => releaseLease(scene.writer, call)).catch(() => undefined)
  }
  return { owned: { lost: lost.signal, release }, lose }
}

/** `since`: when the latest renewal that succeeded was begun. */
type Kept = Held & { since: Moment; trouble: string }

async function keepRenewing(
  scene: HoldScene,
  kept: Kept,
  over: AbortSignal,
  lose: (why: string) => void,
): Promise<void> {
  let pause = RENEW_EVERY
  for (;;) {
    await scene.clock.sleep(pause, over)
    if (over.aborted) return
    const since = moment(scene)
    try {
      const { writer } = scene
      const renewed = await within(scene, [over], (call) => renewLease(writer, kept, call))
      if ('lostTo' in renewed) {
        lose(`the Lease has gone to ${renewed.lostTo}`)
        return
      }
      Object.assign(kept, renewed, { since })
      pause = RENEW_EVERY
    } catch (thrown) {
      kept.trouble = toAgentError(thrown).message
      pause = SECOND
    }
  }
}

/** Ends the term in time when it cannot be renewed. */
async function watchTime(
  scene: HoldScene,
  kept: Kept,
  over: AbortSignal,
  lose: (why: string) => void,
): Promise<void> {
  while (!over.aborted) {
    const left = HOLD_FOR - passed(scene, kept.since)
    if (left <= 0) {
      lose(`the Lease could not be renewed for ${HOLD_FOR / SECOND} s: ${kept.trouble}`)
    } else await scene.clock.sleep(Math.min(left, SECOND), over)
  }
}

async function keepLooking(
  scene: HoldScene,
  over: AbortSignal,
  lose: (why: string) => void,
): Promise<void> {
  const { hindrance, clock } = scene
  while (hindrance !== undefined) {
    await clock.sleep(LOOK_EVERY, over)
    if (over.aborted) return
    // What cannot be asked now is asked again.
    const why = await hindrance(over).catch(() => undefined)
    if (why !== undefined) lose(why)
  }
}

async function keepTending({ tend, clock }: HoldScene, over: AbortSignal): Promise<void> {
  while (tend !== undefined) {
    await clock.sleep(TEND_EVERY, over)
    if (over.aborted) return
    await tend().catch(() => undefined)
  }
}
