import { decodeConfiguration, encodeConfiguration } from '../model/configuration-codec.ts'
import { decodeSnapshot, snapshotPieces } from '../model/snapshot-codec.ts'
import { AgentError } from '../model/problem.ts'
import { readText, writeAtomic } from '../runtime/files.ts'
import { join } from '../runtime/path.ts'
import type { ConfigurationStore, SnapshotStore, StateStore } from './ports.ts'
import { decodeState, encodeState, initialState } from './state.ts'

/** Larger than any snapshot: applications of 64 MiB pages, many times. */
const SNAPSHOT_LIMIT = 1024 * 1024 * 1024

/** `<state>/snapshot.json`, 0600: it holds credentials. A file that cannot be read is a problem; the next fetch heals it. */
export function openSnapshotFile(directory: string): SnapshotStore {
  const path = join(directory, 'snapshot.json')
  return {
    async load() {
      try {
        const text = await readText(path, SNAPSHOT_LIMIT)
        return text === undefined ? {} : decodeSnapshot(text)
      } catch (thrown) {
        if (!(thrown instanceof AgentError)) throw thrown
        return { problem: thrown.toProblem() }
      }
    },
    async save(snapshot) {
      await writeAtomic(path, snapshotPieces(snapshot))
      return undefined
    },
  }
}

/** Larger than any configuration: at most 8 MiB are read of one (configuration.maxBytes). */
const CONFIGURATION_LIMIT = 64 * 1024 * 1024

/** `<state>/configuration.json`, 0600: it may hold passwords. As the snapshot. */
export function openConfigurationFile(directory: string): ConfigurationStore {
  const path = join(directory, 'configuration.json')
  return {
    async load() {
      try {
        const text = await readText(path, CONFIGURATION_LIMIT)
        return text === undefined ? {} : decodeConfiguration(text)
      } catch (thrown) {
        if (!(thrown instanceof AgentError)) throw thrown
        return { problem: thrown.toProblem() }
      }
    },
    async save(configuration) {
      await writeAtomic(path, encodeConfiguration(configuration))
      return undefined
    },
  }
}

/** `<state>/state.json`, 0600. */
export function openStateFile(directory: string): StateStore {
  const path = join(directory, 'state.json')
  return {
    async load() {
      const text = await readText(path)
      return text === undefined ? initialState : decodeState(text)
    },
    save: (state) => writeAtomic(path, encodeState(state)),
  }
}
