import type { Ownership, StateStore } from '../agent/ports.ts'
import { openConfigurationFile, openSnapshotFile, openStateFile } from '../agent/state-files.ts'
import { openDigestKey } from '../identity/digest-key.ts'
import { openDiskStore } from '../identity/disk.ts'
import { AgentError, reasonOf } from '../model/problem.ts'
import { ensureDirectory, isWritableByOthers, removeTemporary } from '../runtime/files.ts'
import { acquireLock } from '../runtime/lock.ts'
import { join } from '../runtime/path.ts'
import type { Keeping } from './keeping.ts'

/** What the agent keeps, below its state directory. Nothing is written before it is in charge. */
export async function keepOnDisk(directory: string): Promise<Keeping> {
  const digestKey = await inState(directory, () => openDigestKey(directory))
  return {
    store: openDiskStore({ directory }),
    snapshots: openSnapshotFile(directory),
    states: stateStore(directory),
    configurations: openConfigurationFile(directory),
    digestKey: digestKey.key,
    ownership: diskOwnership(directory, () => digestKey.keep()),
    look: () => Promise.resolve(),
    problems: () => [],
  }
}

/** The lock of the state directory, which is made when missing. */
function diskOwnership(directory: string, owned: () => Promise<void>): Ownership {
  return {
    async acquire() {
      await prepareState(directory)
      const lock = await acquireLock(join(directory, 'lock'))
      if (lock === undefined) {
        throw new AgentError(
          'already_running',
          `Cannot use the state directory ${directory}: another agent holds its lock`,
        )
      }
      // What a killed process was writing; only now, as it might have been the owner's.
      await inState(directory, () => removeTemporary(directory))
      await inState(directory, owned)
      return { lost: new AbortController().signal, release: () => lock.release() }
    },
  }
}

/** Made or mended; but who can change a directory above it, or owns it, could put other state in its place. */
async function prepareState(directory: string): Promise<void> {
  const open = await inState(directory, async () => {
    await ensureDirectory(directory, { mode: 0o700 })
    return isWritableByOthers(directory)
  })
  if (open === undefined) return
  throw new AgentError(
    'state_unusable',
    `Cannot use the state directory ${directory}: other users can change ${open}`,
    {
      hint: 'run this as the user of the agent, as in runuser -u runtime-agent -- agent …; or choose a directory that only this user and root can change, parents included',
    },
  )
}

function stateStore(directory: string): StateStore {
  const { load, save } = openStateFile(directory)
  return { save, load: () => inState(directory, load) }
}

/** What must work before the agent can run at all: without it `run` ends with 1 and says which directory refuses. */
async function inState<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    throw new AgentError(
      'state_unusable',
      `Cannot use the state directory ${directory}: ${reasonOf(thrown)}`,
      { cause: thrown },
    )
  }
}
