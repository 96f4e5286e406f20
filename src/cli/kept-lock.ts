import type { Owned, Ownership } from '../agent/ports.ts'
import type { Config } from '../config/config.ts'

/** The lock of a state directory, kept while one configuration makes room for the next: no other agent gets in between. */
export type KeptLock = {
  /** The ownership for a configuration: what the one before holds is handed on. */
  over(ownership: Ownership, config: Config): Ownership
  release(): Promise<void>
}

export function keptLock(): KeptLock {
  let held: Owned | undefined
  const release = async (): Promise<void> => {
    await held?.release()
    held = undefined
  }
  return {
    release,
    over(ownership, config) {
      // A Lease belongs to the client of its configuration: it is given up and taken again, as for any other replica.
      if (!isLockAlone(config)) {
        return {
          async acquire(signal, waiting) {
            await release()
            return ownership.acquire(signal, waiting)
          },
        }
      }
      return {
        async acquire(signal, waiting) {
          const { lost } = (held ??= await ownership.acquire(signal, waiting))
          return { lost, release: () => Promise.resolve() }
        },
      }
    },
  }
}

function isLockAlone({ identity, targets }: Config): boolean {
  return identity.store === 'disk' && !targets.some(({ kind }) => kind === 'kyma')
}
