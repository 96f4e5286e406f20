import type { Tables } from './tables.ts'
import type { Keeper } from './keeper.ts'
import type { Live } from './live.ts'
import { percentOf } from './rollout.ts'
import type { Outcome } from './publish.ts'
import type { Seen } from './seen.ts'
import { objectKey } from './state.ts'
import type { Version } from './versions.ts'
import { versionsOf } from './versions.ts'
import { layerFor } from './view.ts'

/*
 * What people see of it: the admin API, the page, the metrics and `status`. No documents, so that no secret can be in it: only
 * what there is, by name.
 */

export type VersionInfo = {
  number: number
  createdAt: string
  createdBy: string
  reason: string
  note?: string
  digest: string
  runtimes: number
  changed: number
  rollout: { state: string; percent: number; steps: number[]; why?: string }
}

export type RuntimeInfo = {
  id: string
  labels: Record<string, string>
  groups: string[]
  identities: string[]
  /** The version that it is answered with, and the ETag of that. */
  version?: number
  etag?: string
  resources: string[]
  /** `state` is `unknown` until it has reported, and `pending` while it has not reported what it is answered with. */
  report: { state: string; version?: number; at?: string; problems: Problems }
  seenAt?: string
}

type Problems = { code: string; message: string; subject?: string }[]

export type Overview = {
  /** Undefined: nothing is published. */
  newest?: VersionInfo
  /** Versions that runtimes may be on, newest first. */
  serving: number[]
  runtimes: number
  /** Runtimes by what they reported. */
  reports: { applied: number; partly: number; failed: number; pending: number; unknown: number }
  pending: number
  store: { dialect: string; readAt?: string; problem?: string }
}

export function versionInfo(version: Version): VersionInfo {
  const { number, createdAt, createdBy, reason, note, digest, runtimes, changed } = version
  return {
    ...{ number, createdAt: timeOf(createdAt), createdBy, reason },
    ...(note === undefined ? {} : { note }),
    ...{ digest, runtimes, changed },
    rollout: {
      ...{ state: version.state, percent: percentOf(version), steps: [...version.steps] },
      ...(version.why === undefined ? {} : { why: version.why }),
    },
  }
}

export function timeOf(at: number): string {
  return new Date(at).toISOString()
}

export type Looking = { keeper: Keeper; live: Live; seen?: Seen }

const MOST_IDS = 200

/** What publishing did, for programs: counts, and ids up to some number. */
export function outcomeInfo({ number, unchanged, difference, runtimes, digest }: Outcome) {
  const part = (ids: string[]) => ({ count: ids.length, ids: ids.slice(0, MOST_IDS) })
  return {
    ...{ version: number, unchanged, digest, runtimes },
    added: part(difference.added),
    removed: part(difference.removed),
    changed: part(difference.changed),
    emptied: part(difference.emptied),
  }
}

/** Of all runtimes of the newest version and of those below it. */
export function idsOf(live: Live): string[] {
  const ids = live.layers().flatMap(({ view }) => view.state.runtimes.map(({ id }) => id))
  return [...new Set(ids)].filter((id) => live.runtime(id) !== undefined).sort()
}

/** How it goes as a whole. */
export async function overviewOf({ keeper, live }: Looking): Promise<Overview> {
  const { versions, reports, waiting } = await keeper.storage.read(async (db) => ({
    versions: await versionsOf(db, 1),
    reports: await db.selectFrom('reports').select(['runtime', 'etag', 'state']).execute(),
    waiting: await db.selectFrom('pending').select('cn').execute(),
  }))
  const ids = idsOf(live)
  const counts = { applied: 0, partly: 0, failed: 0, pending: 0, unknown: 0 }
  const last = new Map(reports.map((report) => [report.runtime, report]))
  for (const id of ids) counts[stateOf(live, id, last.get(id))] += 1
  const [readAt, problem] = [live.lookedAt(), live.problem()]
  return {
    ...(versions[0] === undefined ? {} : { newest: versionInfo(versions[0]) }),
    serving: live.layers().map(({ view }) => view.number),
    runtimes: ids.length,
    reports: counts,
    pending: waiting.length,
    store: {
      dialect: keeper.storage.dialect,
      ...(readAt === undefined ? {} : { readAt: timeOf(readAt) }),
      ...(problem === undefined ? {} : { problem: problem.message }),
    },
  }
}

type Reported = Pick<Tables['reports'], 'etag' | 'state'>

function stateOf(live: Live, id: string, report: Reported | undefined): keyof Overview['reports'] {
  if (report === undefined) return 'unknown'
  if (report.etag !== live.etag(id)) return 'pending'
  const { state } = report
  return state === 'applied' || state === 'partly' ? state : 'failed'
}

/** One runtime each, in the order of `ids`. */
export async function runtimesOf(
  { keeper, live, seen }: Looking,
  ids: readonly string[],
): Promise<RuntimeInfo[]> {
  if (ids.length === 0) return []
  const { reports, stored, admitted } = await keeper.storage.read(async (db) => ({
    reports: await db.selectFrom('reports').selectAll().where('runtime', 'in', ids).execute(),
    stored: await db.selectFrom('seen').selectAll().where('runtime', 'in', ids).execute(),
    admitted: await db
      .selectFrom('identities')
      .select(['cn', 'runtime'])
      .where('runtime', 'in', ids)
      .execute(),
  }))
  const byReport = new Map(reports.map((row) => [row.runtime, row]))
  const bySeen = new Map(stored.map((row) => [row.runtime, row.at]))
  return ids.flatMap((id): RuntimeInfo[] => {
    const runtime = live.runtime(id)
    if (runtime === undefined) return []
    const layer = layerFor(live.layers(), id)
    const etag = live.etag(id)
    const seenAt = Math.max(bySeen.get(id) ?? 0, seen?.lastOf(id)?.at ?? 0)
    const others = admitted.filter((one) => one.runtime === id).map(({ cn }) => cn)
    return [
      {
        ...{ id, labels: runtime.labels, groups: runtime.groups },
        identities: [...runtime.identities, ...others],
        ...(layer === undefined ? {} : { version: layer.view.number }),
        ...(etag === undefined ? {} : { etag }),
        resources: layer?.view.documents(id).map(objectKey) ?? [],
        report: reportInfo(live, id, byReport.get(id)),
        ...(seenAt === 0 ? {} : { seenAt: timeOf(seenAt) }),
      },
    ]
  })
}

function reportInfo(
  live: Live,
  id: string,
  report: Tables['reports'] | undefined,
): RuntimeInfo['report'] {
  const state = stateOf(live, id, report)
  if (report === undefined) return { state, problems: [] }
  const { version, at, problems } = report
  return {
    ...(version === null ? { state } : { state, version }),
    at: timeOf(at),
    // We wrote it.
    problems: JSON.parse(problems) as Problems,
  }
}
