import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { gunzip, gzip } from '../runtime/gzip.ts'
import { seal, unseal } from '../runtime/seal.ts'
import type { DesiredState } from './state.ts'

/** Far more than ten thousand runtimes need. */
const LARGEST = 256 * 1024 * 1024

/** A state as it is kept: JSON, gzip, encrypted for its own number only. */
export async function packState(
  state: DesiredState,
  key: Secret,
  number: number,
): Promise<Uint8Array> {
  return seal(await gzip(JSON.stringify(state)), key, contextOf(number))
}

/**
 * The state that was packed.
 *
 * @throws AgentError store_key_wrong
 */
export async function unpackState(
  packed: Uint8Array,
  key: Secret,
  number: number,
): Promise<DesiredState> {
  const text = await gunzip(unseal(packed, key, contextOf(number)), LARGEST)
  if (text === undefined) {
    throw new AgentError(
      'store_key_wrong',
      `Cannot read ${contextOf(number)} of the store: it is damaged`,
    )
  }
  // Nobody but us can have encrypted it.
  return JSON.parse(text) as DesiredState
}

function contextOf(number: number): string {
  return `version ${number}`
}
