import type { Reporter, Trigger } from '../agent/ports.ts'
import { COMPASS_CONNECTIONS } from '../clients/kubernetes/api.ts'
import type { Access, KubeObject, Kubernetes } from '../clients/kubernetes/api.ts'
import { followObject } from '../clients/kubernetes/follow.ts'
import type { Follower } from '../clients/kubernetes/follow.ts'
import { AgentError, toAgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Status } from '../model/status.ts'
import { HOUR, SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { Log } from '../runtime/log.ts'
import { compassConnection, saysTheSame } from './compass-connection.ts'
import { openWishes } from './connection-wishes.ts'
import type { Wishes } from './connection-wishes.ts'

export type ConnectionOptions = {
  kubernetes: Kubernetes
  /** Of the CR. */
  name: string
  ask: (trigger: Trigger) => void
  log: Log
  now: () => Instant
  /** What fails beside the loop, to be told too. */
  problems?: () => Problem[]
}

export type ConnectionReporter = Reporter & {
  /** Why the CR cannot be kept up to date; the agent goes on without. */
  problem(): Problem | undefined
}

/** What keeping the CR up to date needs. */
export const connectionRights: readonly Access[] = (
  ['get', 'list', 'watch', 'create', 'update'] as const
).map((verb) => ({ verb, resource: COMPASS_CONNECTIONS }))

/** A write that failed is tried again after this. */
const AGAIN: Duration = 30 * SECOND
/** The end of the process does not wait longer for the last write. */
const LAST: Duration = 5 * SECOND
/** So often others may be faster in one write. */
const ROUNDS = 5

/**
 * Keeps the CompassConnection up to date, and obeys it (connection-wishes.ts). Written when it would say something else
 * than it does, hourly, and at the end; never by an agent that stands by. Each write is one replacement of the version
 * that was read: what a person sets meanwhile is never lost, as it is read again then.
 *
 * Nothing here holds up the loop or stops it, whatever the API server does.
 */
export function compassConnectionReporter(options: ConnectionOptions): ConnectionReporter {
  const { log, now } = options
  let term: Term | undefined
  let problem: Problem | undefined
  let tryAt: Instant = -Infinity

  function failed(thrown: unknown): void {
    const error = toAgentError(thrown)
    tryAt = now() + AGAIN
    if (error.message !== problem?.message)
      log.warn(error.message, { part: 'CompassConnection', code: error.code, hint: error.hint })
    problem = error.toProblem()
  }

  async function write(current: Term, final: boolean): Promise<void> {
    try {
      await bring(options, current, final)
      if (problem !== undefined) log.info('the CompassConnection can be written again')
      problem = undefined
    } catch (thrown) {
      if (!current.stop.signal.aborted) failed(thrown)
    }
  }

  return {
    problem: () => problem,
    async report(status, final) {
      if (status.standby) {
        end(term)
        term = undefined
        return
      }
      term ??= begin(options, status)
      const current = term
      current.status = status
      current.wishes.learn(status)
      if (!final) {
        if (current.writing !== undefined || now() < tryAt) return
        current.writing = write(current, false).finally(() => delete current.writing)
        return
      }
      const late = setEnd(current)
      await current.writing
      await write(current, true)
      late()
      end(current)
      term = undefined
    },
  }
}

/** As long as the agent is in charge. */
type Term = {
  stop: AbortController
  follower: Follower
  wishes: Wishes
  status: Status
  /** When the CR was last written, or first seen. */
  writtenAt: Instant
  writing?: Promise<void>
}

function begin({ kubernetes, name, ask, now }: ConnectionOptions, status: Status): Term {
  const wishes = openWishes(ask, now)
  const follower = followObject({
    kubernetes,
    resource: COMPASS_CONNECTIONS,
    ref: { name },
    now,
    seen: (after, before) => wishes.see(after, before),
  })
  return { stop: new AbortController(), follower, wishes, status, writtenAt: status.at }
}

function end(term: Term | undefined): void {
  term?.stop.abort()
  term?.follower.close()
}

/** Ends a term in some seconds; the answer keeps it from doing so. */
function setEnd(term: Term): () => void {
  const late = AbortSignal.timeout(LAST)
  const stop = (): void => end(term)
  late.addEventListener('abort', stop, { once: true })
  return () => late.removeEventListener('abort', stop)
}

/** Makes the CR say what the status says. */
async function bring(options: ConnectionOptions, term: Term, final: boolean): Promise<void> {
  const { name } = options
  const { follower, wishes } = term
  await follower.look()
  for (let round = 1; ; round += 1) {
    const seen = follower.latest()
    if (seen === undefined) throw follower.problem() ?? notSeen(name)
    const existing = seen.object
    const status = withProblems(term.status, options.problems?.() ?? [])
    const granted = wishes.granted()
    const wanted = compassConnection({ name, status, existing, granted, remarks: wishes.remarks() })
    if (wanted === undefined) return
    const due = final || status.at - term.writtenAt >= HOUR
    if (existing !== undefined && !due && saysTheSame(existing, wanted)) return
    try {
      follower.note(await store(options.kubernetes, wanted, term.stop.signal))
      term.writtenAt = status.at
      return
    } catch (thrown) {
      if (!isOvertaken(thrown) || round === ROUNDS) throw thrown
      await follower.refresh()
    }
  }
}

function withProblems(status: Status, others: Problem[]): Status {
  return others.length === 0 ? status : { ...status, problems: [...status.problems, ...others] }
}

/**
 * PUT, not PATCH: a merge cannot write the nulls that unset times have, and the Go agent's role has no patch. One that
 * was read has a version, which must still be the current one.
 */
function store(
  kubernetes: Kubernetes,
  wanted: KubeObject,
  signal: AbortSignal,
): Promise<KubeObject> {
  const isNew = wanted.metadata.resourceVersion === undefined
  return kubernetes[isNew ? 'create' : 'replace'](COMPASS_CONNECTIONS, wanted, signal)
}

/** Changed, made or removed by somebody else since it was read. */
function isOvertaken(thrown: unknown): boolean {
  if (!(thrown instanceof AgentError)) return false
  return thrown.code === 'kubernetes_conflict' || thrown.detail['missing'] === 'object'
}

function notSeen(name: string): AgentError {
  const message = `Cannot read CompassConnection ${name}: it was not looked at yet`
  return new AgentError('kubernetes_failed', message)
}
