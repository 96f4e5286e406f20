import { AgentError } from '../model/problem.ts'
import { admittedIn } from './identities.ts'
import type { Keeper } from './keeper.ts'
import { stateDigest } from './state.ts'
import type { DesiredState } from './state.ts'
import { readTree } from './tree.ts'
import type { Tree } from './tree.ts'
import { contentOf, publish, versionsOf } from './versions.ts'
import type { Published, Rules } from './versions.ts'
import { differenceOf, viewOf } from './view.ts'
import type { Difference } from './view.ts'

/** What publishing did, or would do. */
export type Outcome = Published & {
  difference: Difference
  runtimes: number
  digest: string
}

export type Ask = { who: string; rules: Rules; note?: string | undefined }

/**
 * Publishes the desired state as it is on the disk, or only looks what that would change.
 *
 * @throws AgentError desired_invalid, identity_taken, storage_failed, store_key_wrong
 */
export async function publishTree(
  keeper: Keeper,
  tree: Tree,
  ask: Ask & { dryRun?: boolean; atOnce?: boolean },
): Promise<Outcome> {
  const state = await readTree(tree, await keeper.storage.read(admittedIn))
  const { before, difference } = await compare(keeper, state)
  const result = { difference, runtimes: state.runtimes.length, digest: stateDigest(state) }
  if (ask.dryRun === true) {
    const unchanged = before?.digest === result.digest
    return { ...result, unchanged, number: (before?.number ?? 0) + (unchanged ? 0 : 1) }
  }
  const published = await publish(keeper, {
    ...{ state, who: ask.who, note: ask.note, rules: ask.rules },
    ...{ reason: 'publish', fromTree: true, atOnce: ask.atOnce === true },
    changed: countOf(difference),
  })
  return { ...result, ...published }
}

/**
 * Publishes an old version under a new number, to all runtimes at once. Only what runtimes get goes back, not who may ask for it:
 * no certificate that was dismissed since comes back, and none that was admitted since is lost.
 *
 * @throws AgentError version_unknown, storage_failed, store_key_wrong
 */
export async function rollBack(keeper: Keeper, number: number, ask: Ask): Promise<Outcome> {
  const old = await contentOf(keeper, number)
  if (old === undefined) {
    throw new AgentError('version_unknown', `Cannot roll back to version ${number}: it is not kept`)
  }
  const [newest] = await keeper.storage.read((db) => versionsOf(db, 1))
  const present = newest && (await contentOf(keeper, newest.number))
  const identities = new Map(present?.runtimes.map((one) => [one.id, one.identities]))
  const runtimes = old.runtimes.map((one) => ({ ...one, identities: identities.get(one.id) ?? [] }))
  const state = { ...old, runtimes }
  const { difference } = await compare(keeper, state)
  const published = await publish(keeper, {
    ...{ state, who: ask.who, note: ask.note, rules: ask.rules },
    ...{ reason: `rollback of ${number}`, changed: countOf(difference), atOnce: true },
  })
  return {
    ...{ difference, runtimes: runtimes.length, digest: stateDigest(state) },
    ...published,
  }
}

async function compare(
  keeper: Keeper,
  state: DesiredState,
): Promise<{ before: { number: number; digest: string } | undefined; difference: Difference }> {
  const [newest] = await keeper.storage.read((db) => versionsOf(db, 1))
  const content = newest && (await contentOf(keeper, newest.number))
  const view = newest && content && viewOf(newest.number, content)
  return { before: newest, difference: differenceOf(view, viewOf(0, state)) }
}

function countOf({ added, removed, changed }: Difference): number {
  return added.length + removed.length + changed.length
}
