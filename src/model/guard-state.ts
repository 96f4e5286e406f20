import { arrayOf, asNumber, asObject, asString, Malformed } from './decode.ts'
import { initialGuardState } from './guard.ts'
import type { GuardState } from './guard.ts'

type Waiting = GuardState['waiting'][number]

/** Guard state as read from a file. What cannot be read counts from the beginning, which only makes deletions wait. */
export function decodeGuardState(value: unknown): GuardState {
  try {
    return { waiting: arrayOf(asObject(value, 'guard')['waiting'], 'guard.waiting', waiting) }
  } catch (thrown) {
    if (thrown instanceof Malformed) return initialGuardState
    throw thrown
  }
}

function waiting(value: unknown, path: string): Waiting {
  const json = asObject(value, path)
  const number = (name: string): number => asNumber(json[name], `${path}.${name}`)
  return {
    group: group(json['group'], path),
    hash: asString(json['hash'], `${path}.hash`),
    since: number('since'),
    fetches: number('fetches'),
    firstFetch: number('firstFetch'),
    lastFetch: number('lastFetch'),
  }
}

function group(value: unknown, path: string): Waiting['group'] {
  if (value === 'applications' || value === 'bundles' || value === 'documents') return value
  throw new Malformed(`${path}.group is unknown`)
}
