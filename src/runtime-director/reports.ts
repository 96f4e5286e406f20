import type { Instant } from '../model/time.ts'
import { change } from './keeper.ts'
import type { Keeper } from './keeper.ts'
import type { Live, LiveLayer } from './live.ts'
import { stop } from './steps.ts'
import type { Db, Tables } from './tables.ts'
import { versionsOf } from './versions.ts'
import { layerFor } from './view.ts'

/*
 * What agents say of what they were given. Reports are stored in groups, one transaction for all that came while the last one
 * was written: ten thousand agents answer a new version within seconds.
 *
 * A rollout stops in the transaction that stores the report which makes it one too many, so that no server needs to lead. What
 * counts is what got worse with the new version: a runtime that failed before does not stop the version that mends it.
 */

export type ReportState = 'applied' | 'partly' | 'failed'

export type ReportedProblem = { code: string; message: string; subject?: string }

export type Report = {
  runtime: string
  cn: string
  /** Of what was applied, without quotes. */
  etag: string
  state: ReportState
  problems: ReportedProblem[]
  at: Instant
}

const WORSE: Record<string, number> = { applied: 0, partly: 1, failed: 2 }
/** Rows of one statement: databases limit the number of parameters. */
const ROWS = 500

export interface Reports {
  /** Resolves when the report is stored. Throws storage_failed. */
  add(report: Report): Promise<void>
}

type Waiting = { report: Report; done: () => void; failed: (why: unknown) => void }

export function openReports(keeper: Keeper, live: Live): Reports {
  let waiting: Waiting[] = []
  let writing = false
  const write = async (): Promise<void> => {
    writing = true
    while (waiting.length > 0) {
      const group = waiting
      waiting = []
      try {
        await storeReports(keeper, live.layers(), newestOfEach(group))
        for (const { done } of group) done()
      } catch (thrown) {
        for (const { failed } of group) failed(thrown)
      }
    }
    writing = false
  }
  return {
    add: (report) =>
      new Promise((done, failed) => {
        waiting.push({ report, done, failed })
        if (!writing) void write()
      }),
  }
}

function newestOfEach(group: readonly Waiting[]): Report[] {
  return [...new Map(group.map(({ report }) => [report.runtime, report])).values()]
}

/** Stores reports of different runtimes in one transaction, and stops the rollout when they show that it must. */
async function storeReports(
  keeper: Keeper,
  layers: readonly LiveLayer[],
  reports: readonly Report[],
): Promise<void> {
  for (let at = 0; at < reports.length; at += ROWS) {
    const part = reports.slice(at, at + ROWS)
    const suspects = part.filter((report) => isOfRollout(layers, report))
    if (suspects.length === 0) {
      await keeper.storage.write((db) => upsert(db, layers, part))
      continue
    }
    await change(keeper, async (db) => {
      const worse = await worsened(db, suspects)
      await upsert(db, layers, part)
      const [newest] = layers
      if (newest !== undefined) await count(db, newest, worse)
    })
  }
}

/** Not well, and with what the version that goes out has changed for this runtime. */
function isOfRollout(layers: readonly LiveLayer[], { runtime, etag, state }: Report): boolean {
  const [newest, ...others] = layers
  if (state === 'applied' || newest?.rollout.state !== 'rolling') return false
  return (
    newest.view.etag(runtime) === etag && layerFor(others, runtime)?.view.etag(runtime) !== etag
  )
}

/** Those of which the report before was better. */
async function worsened(db: Db, reports: readonly Report[]): Promise<Report[]> {
  const before = await db
    .selectFrom('reports')
    .select(['runtime', 'state'])
    .where(
      'runtime',
      'in',
      reports.map(({ runtime }) => runtime),
    )
    .execute()
  const states = new Map(before.map(({ runtime, state }) => [runtime, state]))
  const rank = (state: string | undefined): number => WORSE[state ?? 'applied'] ?? 0
  return reports.filter(({ runtime, state }) => rank(state) > rank(states.get(runtime)))
}

async function count(db: Db, { rollout }: LiveLayer, worse: readonly Report[]): Promise<void> {
  if (worse.length === 0) return
  const { number: version } = rollout
  await db
    .insertInto('failures')
    .values(worse.map(({ runtime, at }) => ({ version, runtime, at })))
    .onConflict((conflict) => conflict.columns(['version', 'runtime']).doNothing())
    .execute()
  const failures = await db
    .selectFrom('failures')
    .select('runtime')
    .where('version', '=', version)
    .execute()
  const [newest] = await versionsOf(db, 1)
  const goesOn = newest?.number === version && newest.state === 'rolling'
  if (!goesOn || failures.length < newest.stopAfter) return
  const [first] = worse
  const said = first?.problems[0]?.message
  await stop(db, newest, {
    at: first?.at ?? 0,
    who: 'rollout',
    why: `runtime ${first?.runtime ?? ''} reports ${first?.state ?? ''}${said === undefined ? '' : `: ${said}`}`,
  })
}

async function upsert(
  db: Db,
  layers: readonly LiveLayer[],
  reports: readonly Report[],
): Promise<void> {
  const rows = reports.map((report): Tables['reports'] => ({
    ...report,
    version: versionOf(layers, report),
    problems: JSON.stringify(report.problems),
  }))
  await db
    .insertInto('reports')
    .values(rows)
    .onConflict((conflict) =>
      conflict.column('runtime').doUpdateSet(({ ref }) => ({
        cn: ref('excluded.cn'),
        etag: ref('excluded.etag'),
        version: ref('excluded.version'),
        state: ref('excluded.state'),
        problems: ref('excluded.problems'),
        at: ref('excluded.at'),
      })),
    )
    .execute()
}

/** The newest version in which the runtime gets what it says. */
function versionOf(layers: readonly LiveLayer[], { runtime, etag }: Report): number | null {
  return layers.find(({ view }) => view.etag(runtime) === etag)?.rollout.number ?? null
}

const LONGEST = 2000
const MOST_PROBLEMS = 100

/** Reads the body of a report. Undefined: it is none. What agents say is cut to what people read. */
export function readReport(body: unknown): Pick<Report, 'etag' | 'state' | 'problems'> | undefined {
  if (!isRecord(body)) return undefined
  const { etag, state, problems = [] } = body
  if (typeof etag !== 'string' || etag.length > 256 || !isState(state)) return undefined
  if (!Array.isArray(problems) || !problems.every(isRecord)) return undefined
  return {
    etag: etag.replace(/^(W\/)?"(.*)"$/, '$2'),
    state,
    problems: problems.slice(0, MOST_PROBLEMS).map(({ code, message, subject }) => ({
      code: textOf(code),
      message: textOf(message),
      ...(typeof subject === 'string' ? { subject: textOf(subject) } : {}),
    })),
  }
}

function isState(value: unknown): value is ReportState {
  return typeof value === 'string' && Object.hasOwn(WORSE, value)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** PostgreSQL takes no NUL, and nobody wants to read what steers a terminal. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, LONGEST).replaceAll(/\p{Cc}/gu, ' ') : ''
}
