import type { ObservedObject } from '../../src/model/target.ts'
import { openMemory } from '../../src/targets/memory.ts'
import { targetContract } from './target.contract.ts'

targetContract('memory', () => {
  const target = openMemory('memory')
  return {
    open: () => target,
    writes: () => target.writes,
    damage: (key) => {
      const object: ObservedObject = target.objects.get(key)!
      target.objects.set(key, { ...object, digest: 'damaged' })
    },
    close: () => undefined,
  }
})
