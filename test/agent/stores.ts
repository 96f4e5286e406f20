import type { ConfigurationStore, SnapshotStore, StateStore } from '../../src/agent/ports.ts'
import { decodeState, encodeState, initialState } from '../../src/agent/state.ts'
import { openMemoryStore } from '../../src/identity/memory.ts'
import type { IdentityStore } from '../../src/identity/store.ts'
import type { Identity } from '../../src/model/identity.ts'
import { AgentError } from '../../src/model/problem.ts'
import { decodeConfiguration, encodeConfiguration } from '../../src/model/configuration-codec.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/model/snapshot-codec.ts'

/** A store that keeps text as a file would, and counts. */
export type Kept = {
  text: string | undefined
  saves: number
  /** So many saves from now on fail as on a full disk. */
  failures: number
}

/** What survives a restart of an agent: give the same to the next one. */
export type Stores = {
  identity: IdentityStore
  snapshots: SnapshotStore & Kept
  states: StateStore & Kept
  configurations: ConfigurationStore & Kept
}

export function openStores(identity?: Identity): Stores {
  return {
    identity: openMemoryStore(identity),
    snapshots: snapshotText(),
    states: stateText(),
    configurations: configurationText(),
  }
}

function snapshotText(): Stores['snapshots'] {
  return {
    text: undefined,
    saves: 0,
    failures: 0,
    load() {
      return Promise.resolve(this.text === undefined ? {} : decodeSnapshot(this.text))
    },
    async save(snapshot) {
      await keep(this, encodeSnapshot(snapshot))
      return undefined
    },
  }
}

function configurationText(): Stores['configurations'] {
  return {
    text: undefined,
    saves: 0,
    failures: 0,
    load() {
      return Promise.resolve(this.text === undefined ? {} : decodeConfiguration(this.text))
    },
    async save(configuration) {
      await keep(this, encodeConfiguration(configuration))
      return undefined
    },
  }
}

function stateText(): Stores['states'] {
  return {
    text: undefined,
    saves: 0,
    failures: 0,
    load() {
      return Promise.resolve(this.text === undefined ? initialState : decodeState(this.text))
    },
    save(state) {
      return keep(this, encodeState(state))
    },
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- a full disk rejects, it does not throw
async function keep(kept: Kept, text: string): Promise<void> {
  if (kept.failures > 0) {
    kept.failures -= 1
    throw new AgentError('disk_full', 'Cannot write the file: no space is left')
  }
  kept.text = text
  kept.saves += 1
}
