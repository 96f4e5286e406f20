import { AgentError } from '../../src/model/problem.ts'
import { bulkFiles } from '../../src/runtime/bulk-files.ts'
import type { BulkFiles } from '../../src/runtime/bulk-files.ts'

const CHANGING = new Set<string>([
  'write',
  'makeDirectory',
  'mend',
  'link',
  'rename',
  'remove',
  'replace',
  'sync',
  'swap',
])

export type Fault = {
  /** The operation that fails, counted from 1. */
  at: number
  /** `error`: that one fails. `kill`: nothing works from there on, as in a process that is gone. */
  kind: 'error' | 'kill'
}

/** A disk that counts what changes it and fails where it is told to. */
export class FaultyDisk {
  fault: Fault | undefined
  /** Changing operations so far, by name. */
  done: string[] = []

  readonly disk: BulkFiles = new Proxy(bulkFiles, {
    get: (real, name: keyof BulkFiles) => {
      if (!CHANGING.has(name)) return real[name]
      return (...parameters: unknown[]): unknown => {
        this.done.push(name)
        const { fault } = this
        const fails =
          fault?.kind === 'kill' ? this.done.length >= fault.at : this.done.length === fault?.at
        if (fails) throw new AgentError('disk_failed', `Cannot ${name}: told to fail`)
        return Reflect.apply(real[name], real, parameters)
      }
    },
  })
}
