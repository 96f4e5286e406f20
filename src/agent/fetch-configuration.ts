import type { Call } from '../clients/connector.ts'
import type { RuntimeDirector } from '../clients/runtime-director.ts'
import { acceptConfiguration } from '../model/accept-configuration.ts'
import { digestConfiguration, reuseConfiguration } from '../model/configuration.ts'
import type { ConfigurationSnapshot } from '../model/configuration.ts'
import type { Problem } from '../model/problem.ts'
import { markComplete } from '../model/snapshot.ts'
import { SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { ConfigurationDeps } from './deps.ts'

/** How long the server may wait for something new: shorter than most proxies keep a connection without a word. */
export const WAIT: Duration = 50 * SECOND

export type ConfigurationInput = ConfigurationDeps & {
  runtimeDirector: RuntimeDirector
  runtimeId: string
  last: ConfigurationSnapshot | undefined
  /** Whether the server may wait for something new. */
  listen: boolean
  /** The last configuration could not be stored. */
  unsaved: boolean
  now(): Instant
}

export type ConfigurationOutcome = {
  configuration: ConfigurationSnapshot
  /** False: nothing differs but the time and the name. */
  changed: boolean
  notes: string[]
  /** How long the server took to answer. */
  took: Duration
  /** Why the configuration is in memory only. */
  unsaved?: Problem
}

/**
 * Asks the Runtime Director what this runtime is to have, lets in what may be, and stores it when it differs from what
 * was stored last. Throws on whatever is no whole answer of a known shape: then nothing is changed.
 */
export async function fetchConfiguration(
  input: ConfigurationInput,
  call: Call,
): Promise<ConfigurationOutcome> {
  const { runtimeDirector, runtimeId, last } = input
  const began = input.now()
  const etag = last?.etag === undefined ? {} : { etag: last.etag }
  const question = { ...etag, ...(input.listen ? { wait: WAIT } : {}) }
  const given = await runtimeDirector.configuration(runtimeId, question, call)
  const fetchedAt = input.now()
  const took = fetchedAt - began
  if (given === 'unchanged') {
    // Only who has one has asked in a way that is answered so.
    const configuration = { ...(last as ConfigurationSnapshot), fetchedAt }
    return kept(input, { configuration, changed: false, notes: [], took })
  }
  const { documents, refused, notes } = acceptConfiguration(given.data, input.rules)
  const content = { runtimeId, documents: markComplete(documents), refused, rules: input.digest }
  const named = given.etag === undefined ? {} : { etag: given.etag }
  const fetched = { ...content, fetchedAt, digest: digestConfiguration(content), ...named }
  const changed = fetched.digest !== last?.digest
  const configuration = reuseConfiguration(last, fetched)
  return kept(input, { configuration, changed, notes, took })
}

async function kept(
  { store, unsaved }: ConfigurationInput,
  outcome: ConfigurationOutcome,
): Promise<ConfigurationOutcome> {
  if (!outcome.changed && !unsaved) return outcome
  const problem = await store.save(outcome.configuration)
  return problem === undefined ? outcome : { ...outcome, unsaved: problem }
}
