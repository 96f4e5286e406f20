import { AgentError, toAgentError } from '../../model/problem.ts'
import type { Problem } from '../../model/problem.ts'
import { SECOND, type Duration } from '../../model/time.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Access, Kubernetes, Ref } from './api.ts'
import { readLease, takeLease, type Held, type LeaseRecord } from './lease-record.ts'
import { hold, moment, within, type HoldScene, type LeaseOwned, type Term } from './lease-hold.ts'
import { missingRights } from './rights.ts'

/*
 * Who of several replicas is in charge, told by a Lease: as client-go's leader election does, no clock is compared with
 * another. A standby counts by its own how long it has seen no renewal; a holder stops by its own, well before.
 *
 *   renewed every 5 s; not renewed for 10 s: the holder stops; not seen renewed for 15 s: another takes it
 *
 * So two are in charge at the same time only when one is halted for 10 s in the middle of a write; for that every write
 * that matters is a compare and swap. Renewal goes on beside the work, however long a step of it takes: this file is
 * one of the few that wait.
 */

const TRY_EVERY: Duration = 2 * SECOND
/** After a failure, unless the server asks for another wait, of which this is the longest. */
const AFTER_FAILURE: Duration = 5 * SECOND
const LONGEST_WAIT: Duration = 10 * SECOND

export type LeaseOptions = {
  kubernetes: Kubernetes
  namespace: string
  name: string
  /** Another one each time a process starts: the name of the pod and something random. */
  holder: string
  clock: Clock
  /** Milliseconds that no clock setting changes. */
  steady?: () => Duration
  log: Log
  /** Who else is in charge whatever the Lease says; asked before it is taken, and every 10 s from then on. */
  hindrance?: (signal: AbortSignal) => Promise<string | undefined>
  /** All that are named when one that acquiring needs is missing. */
  rights?: readonly Access[]
  /** Done each time after the Lease was taken; as long as it throws, this agent is not in charge. */
  prepare?: (signal: AbortSignal) => Promise<void>
  /** Done every five minutes while this agent is in charge. What it throws is lost. */
  tend?: () => Promise<void>
}

/** As Ownership and Owned of agent/ports.ts. */
export type LeaseOwnership = {
  acquire(
    signal: AbortSignal,
    waiting: (why: string, problem?: Problem) => void,
  ): Promise<LeaseOwned>
  /** What this agent knows is not true any more: ends the present term, so that a new one begins with all of it anew. */
  doubt(why: string): void
}

/** Nothing is asked of the API before `acquire`, which throws only when its signal is aborted. */
export function openLease(options: LeaseOptions): LeaseOwnership {
  const { kubernetes, namespace, name, holder, clock } = options
  const scene: Scene = {
    ...options,
    steady: options.steady ?? (() => performance.now()),
    ref: { namespace, name },
    writer: { kubernetes, ref: { namespace, name }, holder, now: () => clock.now() },
  }
  let term: Term | undefined
  return {
    doubt: (why) => term?.lose(why),
    async acquire(signal, waiting) {
      const rival: Rival = { mark: undefined, since: 0 }
      let said = ''
      for (;;) {
        signal.throwIfAborted()
        const outcome = await attempt(scene, rival, signal)
        if ('owned' in outcome) {
          term = outcome
          return outcome.owned
        }
        signal.throwIfAborted()
        if (outcome.why !== said) waiting((said = outcome.why), outcome.problem)
        await clock.sleep(outcome.wait, signal)
      }
    },
  }
}

type Scene = HoldScene & LeaseOptions & { ref: Ref }

/** What a standby has seen of the holder, and since when by its own count. */
type Rival = { mark: string | undefined; since: Duration }
type Outcome = Term | { why: string; problem?: Problem; wait: Duration }

async function attempt(scene: Scene, rival: Rival, signal: AbortSignal): Promise<Outcome> {
  try {
    const since = moment(scene)
    const taken = await within(scene, [signal], (call) => take(scene, rival, call))
    if ('why' in taken) return { ...taken, wait: TRY_EVERY }
    const term = hold(scene, { ...taken, since })
    try {
      await scene.prepare?.(AbortSignal.any([signal, term.owned.lost]))
      return term
    } catch (thrown) {
      await term.owned.release()
      throw thrown
    }
  } catch (thrown) {
    const error = await explained(scene, thrown, signal)
    const wait = Math.min(LONGEST_WAIT, Math.max(AFTER_FAILURE, error.retryAfter ?? 0))
    return { why: error.message, problem: error.toProblem(), wait }
  }
}

/** A missing right with all the others that are missing: who adds them one by one restarts for each. */
async function explained(scene: Scene, thrown: unknown, signal: AbortSignal): Promise<AgentError> {
  const error = toAgentError(thrown)
  const { kubernetes, rights } = scene
  if (error.code !== 'kubernetes_forbidden' || rights === undefined) return error
  const all = await missingRights(kubernetes, rights, signal).catch(() => undefined)
  return all ?? error
}

/** The Lease, when it is there to be taken; else who has it. */
async function take(
  scene: Scene,
  rival: Rival,
  signal: AbortSignal,
): Promise<Held | { why: string }> {
  const found = await readLease(scene.kubernetes, scene.ref, signal)
  if (found !== undefined && !isFree(scene, rival, found)) {
    return { why: `another replica is in charge: ${found.holder ?? ''}` }
  }
  const hindrance = await scene.hindrance?.(signal)
  if (hindrance !== undefined) return { why: hindrance }
  try {
    return await takeLease(scene.writer, found, signal)
  } catch (thrown) {
    const late = thrown instanceof AgentError && thrown.code === 'kubernetes_conflict'
    if (!late) throw thrown
    return { why: 'another replica was faster to take charge' }
  }
}

function isFree({ holder, steady }: Scene, rival: Rival, found: LeaseRecord): boolean {
  if (found.holder === undefined || found.holder === holder) return true
  if (rival.mark !== found.mark) Object.assign(rival, { mark: found.mark, since: steady() })
  return steady() - rival.since >= found.duration
}
