import { expect, test } from 'bun:test'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../src/clients/kubernetes/api.ts'
import { Seen } from '../../src/targets/cluster-objects.ts'

/** A cluster of as much as Seen asks for. */
function cluster(): { at: number; objects: KubeObject[]; whole: number; kubernetes: Kubernetes } {
  const world = { at: 100, objects: [] as KubeObject[], whole: 0 }
  const kubernetes = {
    list: (_resource: unknown, scope: { only?: string; keep?: (o: KubeObject) => KubeObject }) => {
      const { keep = (object: KubeObject) => object } = scope
      const items = world.objects.map((object) =>
        scope.only === undefined ? keep(object) : { metadata: object.metadata },
      )
      return Promise.resolve({ items, resourceVersion: String(world.at) })
    },
    get: (_resource: unknown, { name }: { name: string }) => {
      world.whole += 1
      return Promise.resolve(world.objects.find(({ metadata }) => metadata.name === name))
    },
  } as unknown as Kubernetes
  return Object.assign(world, { kubernetes })
}

const object = (value: string, resourceVersion = '7'): KubeObject => ({
  metadata: { name: 'a', namespace: 'n', uid: 'u', resourceVersion },
  value,
})

test('an object of a version that is known is not read again, and one of a cluster restored from a backup is', async () => {
  const world = cluster()
  const seen = new Seen(({ value }) => value)
  const { signal } = new AbortController()
  const list = (): Promise<unknown[]> =>
    seen.list(world.kubernetes, { resource: SECRETS, scope: { namespace: 'n' } }, signal)
  world.objects = [object('first')]
  expect(await list()).toEqual(['first'])
  world.at = 101
  expect(await list()).toEqual(['first'])
  expect(world.whole).toBe(0)
  // The backup is older, and the version of the object was given a second time.
  world.at = 90
  world.objects = [object('second')]
  expect(await list()).toEqual(['second'])
  world.at = 91
  expect(await list()).toEqual(['second'])
  expect(world.whole).toBe(1)
})
