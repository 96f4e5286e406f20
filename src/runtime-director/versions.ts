import { AgentError } from '../model/problem.ts'
import type { Duration } from '../model/time.ts'
import { sealKeyId } from '../runtime/seal.ts'
import { packState, unpackState } from './content.ts'
import { audit, change, factOf, setFact } from './keeper.ts'
import type { Keeper } from './keeper.ts'
import { layersOf } from './rollout.ts'
import type { Rollout } from './rollout.ts'
import { stateDigest } from './state.ts'
import type { DesiredState } from './state.ts'
import type { Db, Tables } from './tables.ts'

/** A version without what is in it. */
export type Version = Rollout & {
  createdAt: number
  createdBy: string
  reason: string
  note: string | undefined
  digest: string
  runtimes: number
  changed: number
  stopAfter: number
  why: string | undefined
}

/** How versions go out and how long they are kept: of director.yaml. */
export type Rules = {
  steps: readonly number[]
  wait: Duration
  stopAfter: number
  keep: number
  keepAudit: Duration
}

const HEAD = [
  ...['number', 'created_at', 'created_by', 'reason', 'note', 'digest', 'runtimes', 'changed'],
  ...['steps', 'stage', 'stage_at', 'wait', 'stop_after', 'rollout', 'why'],
] as (keyof Head)[]

type Head = Omit<Tables['versions'], 'content' | 'key_id'>

function versionOf(row: Head): Version {
  return {
    number: row.number,
    createdAt: row.created_at,
    createdBy: row.created_by,
    reason: row.reason,
    note: row.note ?? undefined,
    digest: row.digest,
    runtimes: row.runtimes,
    changed: row.changed,
    // We wrote it.
    steps: JSON.parse(row.steps) as number[],
    stage: row.stage,
    stageAt: row.stage_at,
    wait: row.wait,
    stopAfter: row.stop_after,
    state: row.rollout,
    why: row.why ?? undefined,
  }
}

/** Versions that are kept, newest first. */
export async function versionsOf(db: Db, limit = 1000): Promise<Version[]> {
  const rows = await db
    .selectFrom('versions')
    .select(HEAD)
    .orderBy('number', 'desc')
    .limit(limit)
    .execute()
  return rows.map(versionOf)
}

/** What a version holds; undefined when it is not kept. Throws store_key_wrong. */
export async function contentOf(keeper: Keeper, number: number): Promise<DesiredState | undefined> {
  const row = await keeper.storage.read((db) =>
    db.selectFrom('versions').select('content').where('number', '=', number).executeTakeFirst(),
  )
  return row && unpackState(new Uint8Array(row.content), keeper.key, number)
}

/** What is to be published. */
export type Publication = {
  state: DesiredState
  who: string
  reason: string
  note?: string | undefined
  /** For how many runtimes something changes. */
  changed: number
  rules: Rules
  /** At once, whatever the rules say. */
  atOnce?: boolean
  /** The state comes from the directory of the desired state. */
  fromTree?: boolean
}

/** The number of the new version, or of the newest one when that holds the same. */
export type Published = { number: number; unchanged: boolean }

/**
 * Publishes a state as the next version: all of it or nothing.
 *
 * @throws AgentError identity_taken, storage_failed
 */
export async function publish(keeper: Keeper, publication: Publication): Promise<Published> {
  const digest = stateDigest(publication.state)
  for (;;) {
    const newest = await keeper.storage.read((db) => versionsOf(db, 1))
    const number = (newest[0]?.number ?? 0) + 1
    // Before the transaction, so that nobody waits for it; whoever was quicker makes us do it again.
    const content = await packState(publication.state, keeper.key, number)
    const published = await change(keeper, (db) =>
      insert(db, keeper, { ...publication, number, digest, content }),
    )
    if (published !== 'again') return published
  }
}

type Packed = Publication & { number: number; digest: string; content: Uint8Array }

async function insert(db: Db, keeper: Keeper, given: Packed): Promise<Published | 'again'> {
  const { number, digest, state, who, reason } = given
  const [newest] = await versionsOf(db, 1)
  if (number !== (newest?.number ?? 0) + 1) return 'again'
  await refuseTaken(db, state)
  if (given.fromTree === true) await setFact(db, 'tree', digest)
  if (newest?.digest === digest) return { number: newest.number, unchanged: true }
  const at = keeper.now()
  await db
    .updateTable('versions')
    .set({ rollout: 'stopped', why: `version ${number} was published` })
    .where('rollout', '=', 'rolling')
    .execute()
  await db
    .insertInto('versions')
    .values({
      ...{ number, digest, reason, created_at: at, created_by: who, note: given.note ?? null },
      ...{ key_id: sealKeyId(keeper.key), content: given.content },
      ...{ runtimes: state.runtimes.length, changed: given.changed },
      ...rolloutOf(given, newest === undefined),
      ...{ stage: 0, stage_at: at, why: null },
    })
    .execute()
  const detail = `${given.changed} of ${state.runtimes.length} runtimes change${given.note === undefined ? '' : `; ${given.note}`}`
  await audit(db, { at, who, action: reason, subject: `version ${number}`, detail })
  await forget(db, at, given.rules)
  return { number, unchanged: false }
}

/** Nobody has anything to lose by the first one, nor by one that changes nothing for any runtime. */
function rolloutOf(
  { rules, changed, atOnce }: Publication,
  isFirst: boolean,
): Pick<Tables['versions'], 'steps' | 'wait' | 'stop_after' | 'rollout'> {
  const inSteps = atOnce !== true && !isFirst && changed > 0
  const steps = [...(inSteps ? rules.steps : []), 100]
  return {
    steps: JSON.stringify(steps),
    wait: rules.wait,
    stop_after: rules.stopAfter,
    rollout: steps.length === 1 ? 'complete' : 'rolling',
  }
}

async function refuseTaken(db: Db, { runtimes }: DesiredState): Promise<void> {
  const admitted = await db.selectFrom('identities').select(['cn', 'runtime']).execute()
  const owners = new Map(admitted.map(({ cn, runtime }) => [cn, runtime]))
  for (const { id, identities } of runtimes)
    for (const cn of identities) {
      const owner = owners.get(cn)
      if (owner !== undefined && owner !== id) {
        throw new AgentError(
          'identity_taken',
          `Cannot give '${cn}' to runtime ${id}: it is admitted for runtime ${owner}`,
        )
      }
    }
}

/** What is older than the rules keep; never what a runtime may still be on. */
async function forget(db: Db, at: number, { keep, keepAudit }: Rules): Promise<void> {
  const versions = await versionsOf(db)
  const layers = layersOf(versions)
  const oldest = Math.min(layers.at(-1)?.number ?? 0, versions[keep - 1]?.number ?? 0)
  await db.deleteFrom('versions').where('number', '<', oldest).execute()
  await db.deleteFrom('failures').where('version', '<', oldest).execute()
  await db
    .deleteFrom('audit')
    .where('at', '<', at - keepAudit)
    .execute()
}

/** The digest of the desired state that was published last, whatever was rolled back since. */
export function publishedTree({ storage }: Keeper): Promise<string | undefined> {
  return storage.read((db) => factOf(db, 'tree'))
}
