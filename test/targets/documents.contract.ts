import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { planChanges } from '../../src/model/plan.ts'
import type { ConfigDocument, Desired } from '../../src/model/target.ts'
import { document, documents, RUNTIME } from '../model/samples.ts'
import { pass, summary } from './target.contract.ts'
import type { ContractOptions, Place } from './target.contract.ts'

export type DocumentsOptions = Pick<ContractOptions, 'run'> & {
  /** Key of the object that a document becomes. */
  keyOf?: (document: ConfigDocument) => string
  /** A small document of this name; `value` is somewhere in it. */
  make?: (name: string, value: string) => ConfigDocument
}

/** Proves that a target with the slice `configuration` keeps the promises of targets/target.ts for it. */
export function documentsContract(
  kind: string,
  open: () => Place | Promise<Place>,
  {
    run = test,
    keyOf = ({ id }) => `config/${id}`,
    make = (name, value) => document(name, value),
  }: DocumentsOptions = {},
): void {
  describe(`the target ${kind} keeps the contract of documents:`, () => {
    let place: Place
    beforeEach(async () => {
      place = await open()
    })
    afterEach(() => place.close())

    const two = (): ConfigDocument[] => [make('a', 'one'), make('b', 'two')]
    const [keyA, keyB] = two().map(keyOf) as [string, string]
    const ours = async (): Promise<string[]> => {
      const { objects } = await place.open().observe(RUNTIME, new AbortController().signal)
      return [...objects.values()]
        .filter(({ owner }) => owner.slice === 'configuration')
        .map(({ key }) => key)
        .sort()
    }

    run('what was applied is seen as it was rendered, with its owner', async () => {
      const target = place.open()
      expect(target.slices).toContain('configuration')
      const first = await pass(target, documents(two()))
      expect(summary(first)).toEqual([keyA, keyB].map((key) => `create ${key}`))
      const observed = await target.observe(RUNTIME, new AbortController().signal)
      const { objects } = target.render(documents(two()), observed)
      for (const [key, { digest }] of objects)
        expect(observed.objects.get(key)?.digest).toBe(digest)
      expect(observed.objects.get(keyA)?.owner).toEqual({
        slice: 'configuration',
        document: two()[0]!.id,
      })
    })

    run('the same again changes and writes nothing, after a restart neither', async () => {
      const target = place.open()
      await pass(target, documents(two()))
      const before = await place.writes()
      expect(summary(await pass(target, documents(two())))).toEqual([])
      expect(summary(await pass(place.open(), documents(two())))).toEqual([])
      expect(await place.writes()).toBe(before)
    })

    run('one changed value changes exactly one object', async () => {
      const target = place.open()
      await pass(target, documents(two()))
      const changed = [make('a', 'one'), make('b', 'another')]
      expect(summary(await pass(target, documents(changed)))).toEqual([`update ${keyB}`])
      expect(summary(await pass(target, documents(changed)))).toEqual([])
    })

    run('removing a document removes exactly its object', async () => {
      const target = place.open()
      await pass(target, documents(two()))
      const result = await pass(target, documents(two().slice(0, 1)))
      expect(summary(result)).toEqual([`delete ${keyB}`])
      expect(await ours()).toEqual([keyA])
    })

    run('an unknown slice is held as it is, and an empty one is not', async () => {
      const target = place.open()
      await pass(target, documents(two()))
      const before = await place.writes()
      const unknown: Desired = { runtimeId: RUNTIME }
      expect(summary(await pass(target, unknown))).toEqual([])
      expect(await place.writes()).toBe(before)
      await pass(target, documents([]))
      expect(await ours()).toEqual([])
    })

    run('only what the plan names is touched: a deletion that is held stays', async () => {
      const target = place.open()
      await pass(target, documents(two()))
      const { signal } = new AbortController()
      const want = documents([make('c', 'three')])
      const observed = await target.observe(RUNTIME, signal)
      const changes = planChanges(target.render(want, observed), observed, want)
      const allowed = changes.filter(({ key }) => key !== keyA)
      await target.apply({ target: target.name, changes: allowed }, signal)
      expect(await ours()).toEqual([keyA, keyOf(make('c', 'three'))].sort())
    })

    run('what was changed behind its back is put right', async () => {
      const target = place.open()
      await pass(target, documents(two()))
      const { objects } = await target.observe(RUNTIME, new AbortController().signal)
      await place.damage(keyA, objects.get(keyA)!.name)
      const repaired = await pass(target, documents(two()))
      expect(summary(repaired)).toContain(`update ${keyA}`)
      expect(summary(await pass(target, documents(two())))).toEqual([])
    })
  })
}
