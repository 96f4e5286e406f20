import { formatDuration, formatInstant } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import type { Status } from '../model/status.ts'
import { sourceCounts } from '../server/source-counts.ts'
import { columns, formatProblem, paint } from './terminal.ts'

/** The status for a terminal: what it does, identity, sync, whose turn. `live`: an agent runs and answered. */
export function statusText(status: Status, now: Instant, live: boolean): string {
  const origin = live ? 'running' : paint('yellow', `no agent runs; as of ${ago(status.at, now)}`)
  return [
    `${paint('bold', status.name)}  ${status.state}: ${status.why}  (${origin})`,
    // A standby knows nothing of its own: `why` names the one to ask.
    ...(status.standby ? [] : [columns(facts(status, now))]),
    ...status.problems.map((problem) => paint('red', `problem: ${formatProblem(problem)}`)),
  ].join('\n')
}

function facts(status: Status, now: Instant): string[][] {
  const { identity } = status
  return [
    ['runtime', status.runtimeId ?? 'not known yet'],
    ...(identity === undefined
      ? [['identity', `none (token: ${status.token})`]]
      : [
          [
            'identity',
            `${identity.condition}, ${identity.fingerprint.slice(0, 16)}… until ${formatInstant(identity.notAfter)}`,
          ],
          [
            'renewal',
            `${formatInstant(identity.renewAt)} (in ${formatDuration(identity.renewAt - now)})`,
          ],
          ['token', status.token],
        ]),
    // "for", not "since": what has been going on for minutes is what a person looks for.
    ...status.running.map(({ part, since }) => [
      'working on',
      `${part}, for ${formatDuration(now - since)}`,
    ]),
    ...status.sources.map((s) => [
      `from ${s.name}`,
      `${sourceCounts(s)}, ${s.lastSuccess === undefined ? 'never fetched' : ago(s.lastSuccess, now)}`,
    ]),
    ...status.targets.map((t) => [
      `to ${t.name}`,
      `${t.objects ?? '-'} objects, ${t.lastSuccess === undefined ? 'never in step' : `in step ${ago(t.lastSuccess, now)}`}`,
    ]),
    ...status.labels.map((l) => [`label ${l.key}`, l.inStep ? 'in step' : 'differs']),
  ]
}

function ago(at: Instant, now: Instant): string {
  return `${formatDuration(now - at)} ago`
}
