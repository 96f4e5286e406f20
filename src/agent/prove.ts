import type { Prove } from '../identity/candidate.ts'
import type { Compass } from './ports.ts'

/** The one mTLS call that a candidate must carry before it becomes the identity: the Director's `viewer`. */
export function proveOver(compass: Compass): Prove {
  return async (candidate, call) => {
    const session = compass.session(candidate)
    try {
      return await session.director.viewer(call)
    } finally {
      await session.close()
    }
  }
}
