import { AgentError, problem, toAgentError } from '../model/problem.ts'
import type { Code, Problem } from '../model/problem.ts'
import type { Change, ChangeResult } from '../model/target.ts'
import { mapConcurrently } from './concurrent.ts'

/** One change and how it is made. */
export type Step = {
  change: Pick<Change, 'kind' | 'key' | 'name'>
  /** Name of the application that it is for: the subject of its problem. */
  subject: string
  /**
   * The calls that make the change. Gives the reason when it cannot be made now and is to be planned again; throws
   * what the API says.
   */
  run: (signal: AbortSignal) => Promise<Problem | undefined>
}

/**
 * Steps that follow one another: the first that is not made holds back the rest. Those of an inner list hold back what
 * comes after the list, but not one another.
 */
export type Job = readonly (Step | readonly Step[])[]

/**
 * Carries out jobs side by side and gives one result a change, in the order of the steps.
 *
 * What the API says to one object is the result of that one: `failed`, or `held` when something else changed it since it
 * was read. What hits all (the server, a namespace or a kind that is not there, or the same answer to everything so
 * far) lets no further step begin; it is thrown when nothing was changed yet, else it is the result of all that is left.
 * `earlier` are results of the same pass: what was changed there counts.
 */
export async function carryOut(
  jobs: readonly Job[],
  signal: AbortSignal,
  earlier: readonly ChangeResult[] = [],
): Promise<ChangeResult[]> {
  const run: Run = { applied: 0, alike: new Map(), ended: undefined, signal }
  const results = await mapConcurrently(jobs, (job) => carryOutJob(job, run), signal)
  const changed = run.applied > 0 || earlier.some(({ outcome }) => outcome === 'applied')
  if (run.ended !== undefined && !changed) throw run.ended
  return results.flat()
}

type Run = {
  applied: number
  /** How often each code was the answer so far. */
  alike: Map<Code, number>
  /** What hits all. */
  ended: AgentError | undefined
  signal: AbortSignal
}

async function carryOutJob(job: Job, run: Run): Promise<ChangeResult[]> {
  const results: ChangeResult[] = []
  for (const stage of job) {
    const before = results.find(({ outcome }) => outcome !== 'applied')
    for (const step of 'run' in stage ? [stage] : stage) {
      const result: ChangeResult =
        run.ended !== undefined
          ? failed(step, run.ended)
          : before === undefined
            ? await carryOutStep(step, run)
            : heldBack(step, before)
      results.push(result)
    }
  }
  return results
}

async function carryOutStep(step: Step, run: Run): Promise<ChangeResult> {
  const { key } = step.change
  try {
    const reason = await step.run(run.signal)
    if (reason !== undefined) return { key, outcome: 'held', problem: reason }
    run.applied += 1
    return { key, outcome: 'applied' }
  } catch (thrown) {
    run.signal.throwIfAborted()
    const error = toAgentError(thrown)
    if (hitsAll(error, step, run)) run.ended ??= error
    return resultOf(error, step)
  }
}

/** Of the server or of the way to it, not of one object. */
const OF_THE_SERVER = new Set<Code>([
  'unreachable',
  'timed_out',
  'tls_untrusted',
  'tls_name_mismatch',
  'tls_server_expired',
  'tls_failed',
  'client_certificate_refused',
  'redirect_refused',
  'proxy_failed',
  'too_many_requests',
  'answer_malformed',
])

/** Said of one object these may be its own (a webhook that is down); said of all that were tried they are not. */
const OF_ONE_OR_ALL = new Set<Code>(['kubernetes_failed', 'kubernetes_forbidden'])
const ALIKE = 16

function hitsAll(error: AgentError, { change }: Step, run: Run): boolean {
  const { code, detail } = error
  if (OF_THE_SERVER.has(code)) return true
  if (code === 'kubernetes_missing') {
    // What is to be created cannot be gone: the namespace or the kind is.
    return (
      change.kind === 'create' || detail['missing'] === 'namespace' || detail['missing'] === 'kind'
    )
  }
  if (!OF_ONE_OR_ALL.has(code)) return false
  const count = (run.alike.get(code) ?? 0) + 1
  run.alike.set(code, count)
  return run.applied === 0 && count >= ALIKE
}

function resultOf(error: AgentError, step: Step): ChangeResult {
  const { change, subject } = step
  const { key, name } = change
  const { code, detail } = error
  if (code === 'kubernetes_conflict' && detail['reason'] === 'AlreadyExists') {
    const message = `Cannot create ${name}: there is one that is not of this agent`
    return { key, outcome: 'failed', problem: problem('object_foreign', message, { subject }) }
  }
  const changedMeanwhile =
    (code === 'kubernetes_conflict' && detail['reason'] !== 'FieldManagerConflict') ||
    code === 'kubernetes_missing'
  return changedMeanwhile ? { ...failed(step, error), outcome: 'held' } : failed(step, error)
}

function failed({ change, subject }: Step, error: AgentError): ChangeResult {
  const { code, message, hint, turn } = error
  return {
    key: change.key,
    outcome: 'failed',
    problem: problem(code, message, { hint, turn, subject }),
  }
}

/** The reason is told once, with the step that failed. */
function heldBack({ change }: Step, { problem: reason }: ChangeResult): ChangeResult {
  return { key: change.key, outcome: 'held', ...(reason === undefined ? {} : { problem: reason }) }
}
