import type { Overview, VersionInfo } from '../runtime-director/overview.ts'
import type { Outcome } from '../runtime-director/publish.ts'
import type { Tables } from '../runtime-director/tables.ts'
import { formatInstant } from '../model/time.ts'
import { columns } from './terminal.ts'

const SHOWN = 10

/** What publishing did, or would do, for people. */
export function outcomeText(
  outcome: Outcome,
  { dryRun, steps }: { dryRun: boolean; steps: readonly number[] },
): string {
  const { number, unchanged, difference, runtimes } = outcome
  if (unchanged) return `nothing to publish: version ${number} is the same`
  const { added, removed, changed, emptied } = difference
  const parts: [string, string[]][] = [
    ['changed', changed],
    ['added', added],
    ['removed', removed],
    ['left with nothing', emptied],
  ]
  const rows = parts
    .filter(([, ids]) => ids.length > 0)
    .map(([what, ids]) => [`  ${what}`, String(ids.length), some(ids)])
  const head = dryRun
    ? `would publish version ${number} for ${runtimes} runtimes; nothing was published`
    : `published version ${number} for ${runtimes} runtimes${howFar(steps, number)}`
  return rows.length === 0
    ? `${head}\n  no runtime gets anything else`
    : `${head}\n${columns(rows)}`
}

function howFar(steps: readonly number[], number: number): string {
  return steps.length === 0 || number === 1
    ? ''
    : `; ${[...steps, 100].join(', ')} percent one after the other`
}

function some(ids: readonly string[]): string {
  const shown = ids.slice(0, SHOWN).join(', ')
  return ids.length > SHOWN ? `${shown}, …` : shown
}

/** How it goes, for people. */
export function overviewText(
  { newest, runtimes, reports }: Overview,
  versions: readonly VersionInfo[],
  pending: readonly Tables['pending'][],
): string {
  const { applied, partly, failed, pending: notYet, unknown } = reports
  return [
    newest === undefined ? 'nothing is published' : rolloutText(newest),
    `${runtimes} runtimes: ${applied} applied, ${partly} partly, ${failed} failed, ${notYet} not yet, ${unknown} never reported`,
    ...(pending.length === 0
      ? []
      : ['', 'waiting to be admitted', columns(pending.map(pendingRow))]),
    ...(versions.length === 0 ? [] : ['', columns(versions.map(versionRow))]),
  ].join('\n')
}

function rolloutText({ number, reason, rollout }: VersionInfo): string {
  const why = rollout.why === undefined ? '' : `: ${rollout.why}`
  return `version ${number} (${reason}): ${rollout.percent} percent, ${rollout.state}${why}`
}

function pendingRow({ cn, runtime, last_seen }: Tables['pending']): string[] {
  return [
    `  agent runtime-director admit ${runtime} '${cn.replaceAll("'", `'\\''`)}'`,
    `asked ${formatInstant(last_seen)}`,
  ]
}

function versionRow({
  number,
  createdAt,
  createdBy,
  reason,
  changed,
  rollout,
  note,
}: VersionInfo): string[] {
  return [
    `  ${number}`,
    createdAt.replace(/\.\d+Z$/, 'Z'),
    reason,
    `${changed} changed`,
    `${rollout.percent} % ${rollout.state}`,
    `${createdBy}${note === undefined ? '' : `: ${note}`}`,
  ]
}
