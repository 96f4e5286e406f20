import type { Identity, PendingEnrolment } from '../model/identity.ts'
import { decodePending, encodePending } from './journal.ts'
import { verifyIdentity, type IdentityStore } from './store.ts'

/** @testing The twin of the disk store without a disk; gone with the process. */
export function openMemoryStore(identity?: Identity): IdentityStore {
  let current = identity
  let journal: string | undefined
  return {
    load: () => Promise.resolve(current && { identity: current }),
    // As text, so that a later change of the object given does not change the journal.
    savePending: (pending: PendingEnrolment) => {
      journal = encodePending(pending)
      return Promise.resolve()
    },
    loadPending: () => Promise.resolve(journal === undefined ? undefined : decodePending(journal)),
    clearPending: () => {
      journal = undefined
      return Promise.resolve()
    },
    // eslint-disable-next-line @typescript-eslint/require-await -- a refusal must reject, not throw
    promote: async (next) => {
      verifyIdentity(next)
      current = { ...next }
    },
    forget: () => {
      current = undefined
      journal = undefined
      return Promise.resolve()
    },
    check: () => Promise.resolve(),
  }
}
