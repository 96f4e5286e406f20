import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import type { Application } from '../../src/model/application.ts'
import { planChanges } from '../../src/model/plan.ts'
import type { Change, Desired } from '../../src/model/target.ts'
import type { Target } from '../../src/targets/target.ts'
import { application, basic, bundle, desired, RUNTIME } from '../model/samples.ts'

/** What the contract needs of an implementation. */
export type Place = {
  /** A target over this place; called again it is the same place after a restart. */
  open(): Target
  /** Grows with whatever readers could notice. */
  writes(): number | string | Promise<number | string>
  /** Changes what the target holds of the object of this key, behind its back. */
  damage(key: string, name: string): void | Promise<void>
  close(): void | Promise<void>
}

/** How a target cuts applications into objects. */
export type Shape = {
  /** Keys of the objects of an application itself. */
  application: (id: string) => string[]
  /** Keys of the objects of a bundle with user and password. */
  bundle: (id: string) => string[]
}

const BOTH: Shape = {
  application: (id) => [`application/${id}`],
  bundle: (id) => [`binding/${id}`],
}

export type ContractOptions = {
  shape?: Shape
  /** `test`, or what skips where the place cannot be made. */
  run?: typeof test
}

export type Pass = { changes: Change[]; problems: string[] }

/** One pass without a guard: what the loop does. */
export async function pass(target: Target, want: Desired): Promise<Pass> {
  const { signal } = new AbortController()
  const observed = await target.observe(RUNTIME, signal)
  const rendered = target.render(want, observed)
  const changes = planChanges(rendered, observed, want)
  const plan = { target: target.name, changes }
  const results = await target.apply(plan, signal)
  expect(results.map(({ key, outcome }) => [key, outcome])).toEqual(
    changes.map(({ key }) => [key, 'applied']),
  )
  const problems = (await target.verify?.(plan, signal)) ?? []
  return {
    changes,
    problems: [...rendered.problems.map(({ problem }) => problem), ...problems].map((p) => p.code),
  }
}

export const summary = ({ changes }: Pass): string[] =>
  changes.map((change) => `${change.kind} ${change.key}`)

/** Proves that a target keeps the promises of targets/target.ts. */
export function targetContract(
  kind: string,
  make: () => Place | Promise<Place>,
  { shape = BOTH, run = test }: ContractOptions = {},
): void {
  const keysOf = (applications: readonly Application[]): string[] =>
    applications
      .flatMap(({ id, bundles }) => [
        ...shape.application(id),
        ...bundles.flatMap((one) => shape.bundle(one.id)),
      ])
      .sort()
  const [ofA1 = '', ofA2 = ''] = [shape.bundle('a1')[0], shape.bundle('a2')[0]]

  describe(`the target ${kind} keeps the contract:`, () => {
    let place: Place
    beforeEach(async () => {
      place = await make()
    })
    afterEach(() => place.close())

    const two = (): Application[] => [
      application('a', { bundles: [bundle('a1'), bundle('a2')] }),
      application('b', { bundles: [bundle('b1')] }),
    ]

    run('a new place holds nothing, and looking at it writes nothing', async () => {
      const before = await place.writes()
      const { objects } = await place.open().observe(RUNTIME, new AbortController().signal)
      expect([...objects.keys()]).toEqual([])
      expect(await place.writes()).toBe(before)
    })

    run('what was applied is seen as it was rendered', async () => {
      const target = place.open()
      const first = await pass(target, desired(two()))
      expect(summary(first)).toEqual(keysOf(two()).map((key) => `create ${key}`))
      const observed = await target.observe(RUNTIME, new AbortController().signal)
      const { objects } = target.render(desired(two()), observed)
      expect([...observed.objects.values()].map(({ key, digest }) => [key, digest])).toEqual(
        [...objects.values()]
          .map(({ key, digest }) => [key, digest] as [string, string])
          .sort(([a], [b]) => (a < b ? -1 : 1)),
      )
      expect(observed.objects.get(ofA2)?.owner).toEqual({
        slice: 'applications',
        application: 'a',
        bundle: 'a2',
      })
    })

    run('the same again changes and writes nothing, after a restart neither', async () => {
      const target = place.open()
      await pass(target, desired(two()))
      const before = await place.writes()
      expect(summary(await pass(target, desired(two())))).toEqual([])
      expect(summary(await pass(place.open(), desired(two())))).toEqual([])
      expect(await place.writes()).toBe(before)
    })

    run('one rotated password changes exactly one object', async () => {
      const target = place.open()
      await pass(target, desired(two()))
      const rotated = two()
      rotated[0]!.bundles[1]!.auth = basic('user', 'rotated')
      expect(summary(await pass(target, desired(rotated)))).toEqual([`update ${ofA2}`])
      expect(summary(await pass(target, desired(rotated)))).toEqual([])
    })

    run('a rename keeps all names and deletes nothing', async () => {
      const target = place.open()
      await pass(target, desired(two()))
      const names = async () => {
        const { objects } = await place.open().observe(RUNTIME, new AbortController().signal)
        return [...objects].map(([key, { name }]) => [key, name])
      }
      const before = await names()
      const renamed = two()
      renamed[0]!.name = 'Another name'
      renamed[0]!.bundles[0]!.name = 'Another bundle'
      const { changes } = await pass(target, desired(renamed))
      expect(changes.filter(({ kind }) => kind !== 'update')).toEqual([])
      expect(await names()).toEqual(before)
    })

    run('removing an application removes exactly its objects', async () => {
      const target = place.open()
      await pass(target, desired(two()))
      const result = await pass(target, desired(two().slice(0, 1)))
      expect(summary(result)).toEqual(keysOf(two().slice(1)).map((key) => `delete ${key}`))
      const { objects } = await target.observe(RUNTIME, new AbortController().signal)
      expect([...objects.keys()].sort()).toEqual(keysOf(two().slice(0, 1)))
    })

    run('an unknown slice is held as it is', async () => {
      const target = place.open()
      await pass(target, desired(two()))
      const before = await place.writes()
      expect(summary(await pass(target, { runtimeId: RUNTIME }))).toEqual([])
      expect(await place.writes()).toBe(before)
    })

    run('only what the plan names is touched: a deletion that is held stays', async () => {
      const target = place.open()
      await pass(target, desired(two()))
      const { signal } = new AbortController()
      const want = desired([application('c')])
      const observed = await target.observe(RUNTIME, signal)
      const changes = planChanges(target.render(want, observed), observed, want)
      const allowed = changes.filter(({ key }) => key !== ofA1)
      await target.apply({ target: target.name, changes: allowed }, signal)
      const { objects } = await place.open().observe(RUNTIME, signal)
      expect([...objects.keys()].sort()).toEqual([ofA1, ...keysOf([application('c')])].sort())
    })

    run('what was changed behind its back is put right, and only that', async () => {
      const target = place.open()
      await pass(target, desired(two()))
      const { objects } = await target.observe(RUNTIME, new AbortController().signal)
      await place.damage(ofA1, objects.get(ofA1)!.name)
      expect(summary(await pass(target, desired(two())))).toEqual([`update ${ofA1}`])
      expect(summary(await pass(target, desired(two())))).toEqual([])
    })

    run('the last application may go and come back', async () => {
      const target = place.open()
      await pass(target, desired(two()))
      await pass(target, desired([]))
      const { objects } = await place.open().observe(RUNTIME, new AbortController().signal)
      expect(objects.size).toBe(0)
      expect(summary(await pass(target, desired(two())))).toEqual(
        keysOf(two()).map((key) => `create ${key}`),
      )
    })
  })
}
