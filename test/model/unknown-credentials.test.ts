import { describe, expect, test } from 'bun:test'
import { planChanges } from '../../src/model/plan.ts'
import { retain } from '../../src/model/snapshot.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import type { Application } from '../../src/model/application.ts'
import type { Desired } from '../../src/model/target.ts'
import { HOUR } from '../../src/model/time.ts'
import { withholdUnknown } from '../../src/model/unknown-credentials.ts'
import { openMemory } from '../../src/targets/memory.ts'
import type { MemoryTarget } from '../../src/targets/memory.ts'
import { RUNTIME, application, bare, bundle } from './samples.ts'

const grace = 24 * HOUR
const { signal } = new AbortController()

/** The same landscape with and without the credentials of its first bundle, beside one that shows its own. */
const shown = [application('a', { bundles: [bundle('a1'), bundle('a2')] })]
const hidden = [application('a', { bundles: [bare('a1'), bundle('a2')] })]
const allHidden = [application('a', { bundles: [bare('a1'), bare('a2')] })]

function fetched(applications: Application[], now: number, last?: Snapshot): Snapshot {
  const options = { now, grace, ordinary: { count: 5, percent: 20 }, approved: new Set<string>() }
  return retain(last, { runtimeId: RUNTIME, applications, fetchedAt: now }, options).snapshot
}

/** One pass of the engine; gives the keys that were written and the problems. */
async function pass(
  target: MemoryTarget,
  snapshot: Snapshot,
): Promise<{ written: string[]; codes: string[] }> {
  const desired: Desired = { runtimeId: RUNTIME, applications: snapshot.applications }
  const observed = await target.observe(RUNTIME, signal)
  const planned = planChanges(target.render(desired, observed), observed, desired)
  const { changes, problems } = withholdUnknown(planned, observed, desired)
  await target.apply({ target: target.name, changes }, signal)
  return { written: changes.map(({ key }) => key), codes: problems.map((p) => p.problem.code) }
}

describe('when the snapshot is lost while Compass hides credentials', () => {
  test('what is published with credentials stays as it is, and says why', async () => {
    const target = openMemory('memory')
    await pass(target, fetched(shown, 0))
    expect(await pass(target, fetched(hidden, 1000))).toEqual({
      written: [],
      codes: ['credentials_missing'],
    })
  })

  test('credentials that are shown again are taken at once', async () => {
    const target = openMemory('memory')
    await pass(target, fetched(shown, 0))
    const lost = fetched(hidden, 1000)
    await pass(target, lost)
    const changed = [
      application('a', { bundles: [bundle('a1', { name: 'new name' }), bundle('a2')] }),
    ]
    expect((await pass(target, fetched(changed, 2000, lost))).written).toEqual(['binding/a1'])
  })

  test('after the grace a single bundle that shows none is believed', async () => {
    const target = openMemory('memory')
    await pass(target, fetched(shown, 0))
    const lost = fetched(hidden, 1000)
    const later = fetched(hidden, 1000 + grace, lost)
    expect((await pass(target, later)).written).toEqual(['binding/a1'])
    expect(later.applications[0]?.bundles[0]?.authMissingSince).toBeUndefined()
  })

  test('while no bundle at all shows credentials the grace does not end', async () => {
    const target = openMemory('memory')
    await pass(target, fetched(shown, 0))
    const lost = fetched(allHidden, 1000)
    expect((await pass(target, fetched(allHidden, 1000 + 10 * grace, lost))).written).toEqual([])
  })
})

describe('a bundle that never had credentials', () => {
  test('is published and updated as ever, also right after the first fetch', async () => {
    const target = openMemory('memory')
    const first = fetched([application('p', { bundles: [bare('p1')] })], 0)
    expect((await pass(target, first)).written).toEqual(['application/p', 'binding/p1'])
    const changed = [application('p', { bundles: [bare('p1', { name: 'other' })] })]
    expect((await pass(target, fetched(changed, 1000, first))).written).toEqual(['binding/p1'])
  })

  test('that comes after the first fetch is not marked', () => {
    const first = fetched(shown, 0)
    const second = fetched([...shown, application('n', { bundles: [bare('n1')] })], 1000, first)
    expect(second.applications[1]?.bundles[0]?.authMissingSince).toBeUndefined()
  })
})
