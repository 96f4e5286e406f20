import { AgentError } from '../model/problem.ts'
import type { Instant } from '../model/time.ts'
import { audit, change } from './keeper.ts'
import type { Keeper } from './keeper.ts'
import type { DesiredState } from './state.ts'
import type { Db, Tables } from './tables.ts'

/** Certificates that were admitted, by common name, beside those that the desired state lists. */
export async function admittedIn(db: Db): Promise<Map<string, string>> {
  const rows = await db.selectFrom('identities').select(['cn', 'runtime']).execute()
  return new Map(rows.map(({ cn, runtime }) => [cn, runtime]))
}

export type Admission = { runtime: string; cn: string; who: string }

/**
 * Lets a certificate ask for a runtime of the newest version. Again is fine.
 *
 * @throws AgentError runtime_missing, identity_taken
 */
export async function admit(
  keeper: Keeper,
  state: DesiredState | undefined,
  admission: Admission,
): Promise<{ unchanged: boolean }> {
  const { runtime, cn } = admission
  if (state?.runtimes.some(({ id }) => id === runtime) !== true) {
    throw new AgentError(
      'runtime_missing',
      `Cannot admit '${cn}' for runtime ${runtime}: the newest version has no such runtime`,
    )
  }
  const listed = state.runtimes.find(({ identities }) => identities.includes(cn))
  if (listed !== undefined && listed.id !== runtime) throw taken(admission, listed.id)
  if (listed !== undefined) return { unchanged: true }
  return change(keeper, async (db) => {
    const owner = (await admittedIn(db)).get(cn)
    if (owner === runtime) return { unchanged: true }
    if (owner !== undefined) throw taken(admission, owner)
    await write(db, admission, keeper.now())
    return { unchanged: false }
  })
}

/** Takes an admission back. One that the desired state lists is taken back there. */
export function dismiss(
  keeper: Keeper,
  { runtime, cn, who }: Admission,
): Promise<{ unchanged: boolean }> {
  return change(keeper, async (db) => {
    if ((await admittedIn(db)).get(cn) !== runtime) return { unchanged: true }
    await db.deleteFrom('identities').where('cn', '=', cn).execute()
    await audit(db, { at: keeper.now(), who, action: 'dismiss', subject: runtime, detail: cn })
    return { unchanged: false }
  })
}

/**
 * Admits the first certificate that asks for a runtime which has none; false: it has one by now. `state` is that of the
 * newest version.
 */
export function admitFirst(
  keeper: Keeper,
  state: DesiredState,
  admission: Omit<Admission, 'who'>,
): Promise<boolean> {
  const { runtime, cn } = admission
  return change(keeper, async (db) => {
    const admitted = await admittedIn(db)
    const listed = state.runtimes.find(({ id }) => id === runtime)
    const isFree = listed?.identities.length === 0 && ![...admitted.values()].includes(runtime)
    if (!isFree || admitted.has(cn)) return admitted.get(cn) === runtime
    await write(db, { ...admission, who: 'first use' }, keeper.now())
    return true
  })
}

async function write(db: Db, { runtime, cn, who }: Admission, at: Instant): Promise<void> {
  await db
    .insertInto('identities')
    .values({ cn, runtime, admitted_at: at, admitted_by: who })
    .execute()
  await db.deleteFrom('pending').where('cn', '=', cn).execute()
  await audit(db, { at, who, action: 'admit', subject: runtime, detail: cn })
}

function taken({ runtime, cn }: Admission, owner: string): AgentError {
  return new AgentError(
    'identity_taken',
    `Cannot admit '${cn}' for runtime ${runtime}: it is that of runtime ${owner}`,
  )
}

/** Certificates that wait to be admitted, those first that asked last. */
export function pendingIn(db: Db, limit: number): Promise<Tables['pending'][]> {
  return db.selectFrom('pending').selectAll().orderBy('last_seen', 'desc').limit(limit).execute()
}
