import type { ObservedObject } from '../../src/model/target.ts'
import { openMemory } from '../../src/targets/memory.ts'
import { documentsContract } from './documents.contract.ts'
import { targetContract, type Place } from './target.contract.ts'

function place(): Place {
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
}

targetContract('memory', place)
documentsContract('memory', place)
