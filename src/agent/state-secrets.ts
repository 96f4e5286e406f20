import type { Access, Kubernetes } from '../clients/kubernetes/api.ts'
import { SECRETS } from '../clients/kubernetes/api.ts'
import { changeSecret, readSecret } from '../clients/kubernetes/secrets.ts'
import { AgentError, problem, reasonOf, toAgentError, type Problem } from '../model/problem.ts'
import { decodeConfiguration, encodeConfiguration } from '../model/configuration-codec.ts'
import { decodeSnapshot, snapshotPieces } from '../model/snapshot-codec.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { gunzip, gzip } from '../runtime/gzip.ts'
import type { ConfigurationStore, SnapshotStore, StateStore } from './ports.ts'
import { openSnapshotParts, type SnapshotParts } from './snapshot-parts.ts'
import { decodeState, encodeState, initialState, type AgentState } from './state.ts'

/*
 * Snapshot and state in Secrets of the agent's namespace, under names that RBAC can list one by one:
 *
 *   runtime-agent-state                what state.json is on disk
 *   runtime-agent-snapshot             which parts make up the snapshot, with their digests; written last
 *   runtime-agent-snapshot-0 … -15     the snapshot, gzip, cut into parts
 *   runtime-agent-configuration, -0 … -3   the same for the configuration of the Runtime Director
 */

export type StateSecretsOptions = {
  kubernetes: Kubernetes
  /** Where the agent keeps its own. */
  namespace: string
  /** What their names begin with: `runtime-agent`, or that with the name of the agent. */
  prefix: string
  /** Another writer has changed what is ours alone: what this agent knows of it is not true any more. */
  foreign?: (why: string) => void
}

/**
 * The rights without which the agent does not begin: those on the state. Where those on the snapshot are missing, that is
 * a problem of its own.
 */
export function stateRights({
  namespace,
  prefix,
}: Pick<StateSecretsOptions, 'namespace' | 'prefix'>): Access[] {
  const right = (verb: string): Access => ({ verb, resource: SECRETS, namespace })
  const name = `${prefix}-state`
  return [{ ...right('get'), name }, { ...right('patch'), name }, right('create')]
}

/** Larger than any snapshot of 16 parts: who packs more into them packs a bomb. */
const LONGEST = 512 * 1024 * 1024

export type SecretSnapshots = SnapshotStore & {
  /**
   * Reads the snapshot for the next `load`, which then asks nobody. Throws what may be over soon: an agent that begins
   * without it knows nothing of credentials that the Director has ceased to show.
   */
  begin(): Promise<void>
}

/**
 * The last snapshot in Secrets. One that cannot be stored is a problem that `save` gives back: the agent works from
 * memory meanwhile. What `load` cannot put together whole is one too, and never another snapshot than was stored.
 */
export function openSnapshotSecrets(options: StateSecretsOptions): SecretSnapshots {
  const parts = openSnapshotParts(options)
  /** Digest of the snapshot that is known to be there whole. */
  let stored: string | undefined
  let begun: Loaded | undefined
  return {
    async begin() {
      begun = undefined
      begun = await readSnapshot(parts).catch((thrown: unknown) => {
        const error = toAgentError(thrown)
        if (error.class === 'retry' && error.code !== 'snapshot_damaged') throw error
        return { problem: error.toProblem() }
      })
    },
    async load() {
      const loaded = begun ?? (await loadSnapshot(parts))
      begun = undefined
      stored = loaded.snapshot?.digest
      return loaded
    },
    async save(snapshot) {
      begun = undefined
      if (snapshot.digest === stored) return undefined
      stored = undefined
      const unsaved = await keepText(parts, 'snapshot', snapshotPieces(snapshot))
      if (unsaved === undefined) stored = snapshot.digest
      return unsaved
    },
  }
}

/** @testing So many names stand in the RBAC. */
export const MOST_CONFIGURATION_PARTS = 4

/** The last configuration in Secrets of its own, as the snapshot is. */
export function openConfigurationSecrets(options: StateSecretsOptions): ConfigurationStore {
  const mostParts = MOST_CONFIGURATION_PARTS
  const parts = openSnapshotParts({ ...options, noun: 'configuration', mostParts })
  return {
    async load() {
      try {
        const text = await readText(parts)
        return text === undefined ? {} : decodeConfiguration(text)
      } catch (thrown) {
        return { problem: toAgentError(thrown).toProblem() }
      }
    },
    save: (configuration) => keepText(parts, 'configuration', encodeConfiguration(configuration)),
  }
}

type Loaded = { snapshot?: Snapshot; problem?: Problem }

function loadSnapshot(parts: SnapshotParts): Promise<Loaded> {
  return readSnapshot(parts).catch((thrown: unknown) => ({
    problem: toAgentError(thrown).toProblem(),
  }))
}

async function readSnapshot(parts: SnapshotParts): Promise<Loaded> {
  const text = await readText(parts)
  return text === undefined ? {} : decodeSnapshot(text)
}

async function readText(parts: SnapshotParts): Promise<string | undefined> {
  const packed = await parts.load()
  if (packed === undefined) return undefined
  const text = await gunzip(packed, LONGEST)
  if (text === undefined) throw damaged('it is no gzip')
  return text
}

function damaged(why: string): AgentError {
  return new AgentError('snapshot_damaged', `Cannot use the kept snapshot: ${why}`)
}

async function keepText(
  parts: SnapshotParts,
  noun: string,
  text: Iterable<string>,
): Promise<Problem | undefined> {
  try {
    await parts.save(await gzip(text))
    return undefined
  } catch (thrown) {
    const { code, hint, turn } = toAgentError(thrown)
    const message = `Cannot keep the ${noun} over a restart: ${reasonOf(thrown)}`
    return problem(code, message, { hint, turn })
  }
}

const STATE = 'state.json'

export type SecretState = StateStore & {
  /** Reads the state for the next `load`, which then asks nobody: what fails here would end the agent there. */
  begin(): Promise<void>
}

/**
 * The state in a Secret. Two agents never write over one another: who finds another state than it knows ends with
 * kubernetes_conflict, and must read it again.
 */
export function openStateSecret(options: StateSecretsOptions): SecretState {
  const { kubernetes, namespace, prefix, foreign } = options
  const secret = { namespace, name: `${prefix}-state` }
  const { signal } = new AbortController()
  /** As it was when we last read or wrote it; `text` undefined: it was not there. */
  let seen: { text: string | undefined } | undefined
  const load = async (): Promise<AgentState> => {
    const text = (await readSecret(kubernetes, secret, signal))?.get(STATE)
    seen = { text }
    return text === undefined ? initialState : decodeState(text)
  }
  let begun: AgentState | undefined
  return {
    async begin() {
      begun = await load()
    },
    async load() {
      const found = begun ?? (await load())
      begun = undefined
      return found
    },
    async save(state) {
      begun = undefined
      const wanted = encodeState(state)
      const change = (texts: ReadonlyMap<string, string> | undefined) => {
        const there = texts?.get(STATE)
        if (there === wanted) return undefined
        // One that was removed loses nothing by being written again.
        if (seen !== undefined && there !== undefined && there !== seen.text) {
          const message = `Cannot write the Secret ${namespace}/${secret.name}: it was changed by somebody else`
          foreign?.(message)
          throw new AgentError('kubernetes_conflict', message)
        }
        return { [STATE]: wanted }
      }
      await changeSecret(kubernetes, secret, change, signal)
      seen = { text: wanted }
    },
  }
}
