import type { Report } from '../clients/runtime-director.ts'
import { BACKOFF } from '../model/backoff.ts'
import type { ConfigurationSnapshot, Refusal } from '../model/configuration.ts'
import type { AgentError, Problem } from '../model/problem.ts'
import { HOUR, SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { ConfigurationDeps, Deps } from './deps.ts'
import { WAIT } from './fetch-configuration.ts'
import type { ConfigurationOutcome } from './fetch-configuration.ts'
import { makeDue, remember } from './memory.ts'
import type { Memory, SourceMemory } from './memory.ts'
import { notDue, succeeded } from './next.ts'
import type { TargetName } from './next.ts'
import { reportOf, takesConfiguration, unusedConfiguration } from './report.ts'
import { noteFailure, noteRecovery, retryLater } from './retry.ts'

const SOURCE = 'runtime-director'

export function recordConfiguration(
  deps: Deps,
  settings: ConfigurationDeps,
  memory: Memory,
  outcome: ConfigurationOutcome,
): void {
  const now = deps.clock.now()
  const before = sourceOf(memory)
  const { configuration, changed } = outcome
  const known = memory.configuration?.refused ?? []
  noteRecovery(deps, SOURCE, before)
  memory.configuration = configuration
  noteUnsaved(deps, memory, outcome.unsaved)
  const waited = before.listen === true && outcome.took >= WAIT / 2
  const wait = pause(deps, settings, outcome, before)
  memory.sources[SOURCE] = {
    ...succeeded(now + wait),
    lastAttempt: now,
    lastSuccess: now,
    requests: 1,
    // What has no name cannot be asked for "if it is another".
    ...(configuration.etag === undefined ? {} : { listen: true }),
    ...(waited || (changed && before.waits === true) ? { waits: true } : {}),
  }
  if (changed) {
    noteChanged(deps, outcome)
    noteRefused(deps, memory, known)
    makeTargetsDue(memory, now)
  }
  planReport(deps, memory)
}

/** After something new: more of it may follow at once, and each is a pass over the targets. */
const AFTER_NEWS: Duration = 2 * SECOND

/**
 * Until the next request. A server that has waited is asked again at once, one that cannot is asked at the interval. One
 * that could and does not now is about to end, and another takes over: it is asked once more.
 */
function pause(
  deps: Deps,
  { interval }: ConfigurationDeps,
  { configuration, changed, took }: ConfigurationOutcome,
  { listen, waits }: SourceMemory,
): Duration {
  const soon = CUT_OFF * deps.random()
  const quick = listen === true && !changed && took < WAIT / 2
  if (quick && waits === true) return Math.min(interval, soon)
  if (quick || configuration.etag === undefined) return interval * (0.9 + 0.2 * deps.random())
  return (changed ? AFTER_NEWS : 0) + SECOND * deps.random()
}

function noteChanged(deps: Deps, { configuration, notes }: ConfigurationOutcome): void {
  const { documents, refused } = configuration
  const fields = { source: SOURCE, documents: documents.length, refused: refused.length }
  deps.log.info('the Runtime Director has another configuration', fields)
  for (const note of notes.slice(0, NAMED)) deps.log.info(note, { source: SOURCE })
}

/** Beyond this many the rest is only counted: status shows them. */
const NAMED = 20

/** Says of each document once that it is not applied. */
function noteRefused(deps: Deps, memory: Memory, known: readonly Refusal[]): void {
  const old = new Set(known.map(({ problem }) => problem.message))
  const fresh = (memory.configuration?.refused ?? []).filter(
    ({ problem }) => !old.has(problem.message),
  )
  for (const { problem } of fresh.slice(0, NAMED)) {
    const { code, message, hint, turn } = problem
    deps.log.warn(message, { code, turn, hint, source: SOURCE })
    remember(memory, { at: deps.clock.now(), level: 'warn', message, code })
  }
  if (fresh.length > NAMED)
    deps.log.warn(`${fresh.length - NAMED} more documents are not applied`, { source: SOURCE })
}

/** One that failed as a whole waits for its own time. */
function makeTargetsDue(memory: Memory, now: Instant): void {
  for (const [name, target] of Object.entries(memory.targets)) {
    const part = `target ${name}` as const
    const isDue = target.failures === 0 || target.partly === true || memory.running.has(part)
    if (isDue && takesConfiguration(target)) makeDue(memory, [part, target], now)
  }
}

/** Shows for as long as it is so, and says once, that the configuration is in memory only. */
function noteUnsaved(deps: Deps, memory: Memory, unsaved: Problem | undefined): void {
  const before = memory.configurationUnsaved?.code
  delete memory.configurationUnsaved
  memory.configurationProblems = unusedConfiguration(deps)
  if (unsaved === undefined) return
  memory.configurationUnsaved = unsaved
  memory.configurationProblems.push(unsaved)
  const { message, code, turn, hint } = unsaved
  if (before !== code) deps.log.warn(message, { code, turn, hint })
}

/** Who waited and was cut off (proxies do that) knows nothing: it is asked again without waiting, and that counts. */
const CUT_OFF: Duration = 5 * SECOND

export function recordConfigurationFailed(deps: Deps, memory: Memory, error: AgentError): void {
  const { listen, ...before } = sourceOf(memory)
  const now = deps.clock.now()
  if (listen === true && error.class === 'retry') {
    memory.sources[SOURCE] = { ...before, nextAt: now + CUT_OFF * deps.random() }
    deps.log.debug(error.message, { part: SOURCE, code: error.code })
    return
  }
  // Who admits a runtime, or mends a document, sees what comes of it within the interval.
  const cap = Math.min(BACKOFF.cap, Math.max(CUT_OFF, deps.configuration?.interval ?? 0))
  const after = { ...before, ...retryLater(deps, before, error, cap), lastAttempt: now }
  memory.sources[SOURCE] = after
  noteFailure(deps, memory, SOURCE, { before, after, error })
}

function sourceOf(memory: Memory): SourceMemory {
  return memory.sources[SOURCE] ?? succeeded(0)
}

/** A pass over the target has ended that was about this configuration. */
export function recordTried(
  memory: Memory,
  name: TargetName,
  configuration: ConfigurationSnapshot | undefined,
): void {
  const target = memory.targets[name]
  if (target !== undefined && configuration !== undefined)
    target.configuration = configuration.digest
}

/** Makes the report due when it says something new. One that failed waits for its own time. */
export function planReport(deps: Deps, memory: Memory): void {
  if (deps.configuration === undefined || memory.reported.off === true) return
  const report = reportOf(memory)
  if (report === undefined || JSON.stringify(report) === memory.reported.text) return
  if (memory.report.failures === 0) memory.report = succeeded(deps.clock.now())
}

export function recordReported(deps: Deps, memory: Memory, report: Report, taken: boolean): void {
  const now = deps.clock.now()
  if (!taken) {
    deps.log.debug('the Runtime Director takes no reports')
    memory.report = notDue
    memory.reported = { off: true }
    return
  }
  noteRecovery(deps, 'report', memory.report)
  memory.reported = { text: JSON.stringify(report), state: report.state, at: now }
  memory.report = succeeded(now + HOUR * (0.9 + 0.2 * deps.random()))
  deps.log.debug('told the Runtime Director what came of its configuration', {
    state: report.state,
  })
  // Something else may have come of it meanwhile.
  planReport(deps, memory)
}

export function recordReportFailed(deps: Deps, memory: Memory, error: AgentError): void {
  const before = memory.report
  memory.report = retryLater(deps, before, error)
  noteFailure(deps, memory, 'report', { before, after: memory.report, error })
}
