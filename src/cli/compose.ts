import { openCompass } from '../agent/compass.ts'
import type { AgentSettings, Deps } from '../agent/deps.ts'
import { wantedLabels } from '../agent/label.ts'
import type { Compass, Ownership, Reporter, StateStore, TokenSource } from '../agent/ports.ts'
import { openSnapshotFile, openStateFile } from '../agent/state-files.ts'
import type { Config, TargetConfig, ValueSource } from '../config/config.ts'
import { describeSource, resolveValue } from '../config/value.ts'
import { openDigestKey } from '../identity/digest-key.ts'
import { openDiskStore } from '../identity/disk.ts'
import { AgentError, toAgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { version } from '../model/version.ts'
import { systemClock } from '../runtime/clock.ts'
import { ensureDirectory, isWritableByOthers, readText, removeTemporary } from '../runtime/files.ts'
import { certificateInfo, randomUnit, splitPem, uuid } from '../runtime/keys.ts'
import { acquireLock } from '../runtime/lock.ts'
import { openLog } from '../runtime/log.ts'
import type { Log } from '../runtime/log.ts'
import { join } from '../runtime/path.ts'
import { env, pid } from '../runtime/process.ts'
import { openTriggerQueue } from '../server/trigger-queue.ts'
import type { TriggerQueue } from '../server/trigger-queue.ts'
import { openFiles } from '../targets/files.ts'
import type { Target } from '../targets/target.ts'

/** Larger files are no token and no CA bundle. */
const VALUE_LIMIT = 4 * 1024 * 1024

/** Everything of one agent, made from its configuration; nothing is written or connected before it runs. */
export type Composition = { deps: Deps; queue: TriggerQueue; log: Log }

export async function compose(
  config: Config,
  reporters: (log: Log, queue: TriggerQueue) => Reporter[],
): Promise<Composition> {
  const log = openLog(config.log)
  const queue = openTriggerQueue()
  const { directory } = config.identity
  const digestKey = await inState(directory, () => openDigestKey(directory))
  const deps: Deps = {
    settings: settingsOf(config),
    clock: systemClock,
    random: randomUnit,
    uuid,
    log,
    version,
    pid,
    store: openDiskStore({ directory }),
    snapshots: openSnapshotFile(directory),
    states: stateStore(directory),
    token: tokenSource(config.connector.token),
    compass: await composeCompass(config),
    targets: config.targets.map((target) =>
      composeTarget(target, { config, digestKey: digestKey.key }),
    ),
    reporters: reporters(log, queue),
    triggers: queue,
    ownership: diskOwnership(directory, () => digestKey.keep()),
  }
  return { deps, queue, log }
}

function settingsOf(config: Config): AgentSettings {
  const { name, runtime, connector, director, renewal, guard, insecureSkipVerify } = config
  return {
    name,
    ...(runtime.id === undefined ? {} : { runtimeId: runtime.id }),
    ...(connector.url === undefined ? {} : { connectorUrl: connector.url }),
    interval: director.interval,
    labels: wantedLabels(config.labels),
    renewal,
    guard,
    insecure: insecureSkipVerify,
  }
}

async function composeCompass(config: Config): Promise<Compass> {
  const { connector, runtime, proxy } = config
  return openCompass({
    ca: await readCa(connector.ca),
    ...(proxy === undefined ? {} : { proxy: { url: proxy.url.reveal(), except: proxy.except } }),
    insecureSkipVerify: config.insecureSkipVerify,
    ...(runtime.tenant === undefined ? {} : { tenant: runtime.tenant }),
    version,
    now: () => systemClock.now(),
  })
}

type TargetParts = { config: Config; digestKey: Secret }

function composeTarget(target: TargetConfig, { config, digestKey }: TargetParts): Target {
  if (target.kind !== 'files') {
    throw new AgentError('config_invalid', `Cannot use a target of kind ${target.kind}: not yet`)
  }
  return openFiles({
    config: target,
    agent: config.name,
    stateDirectory: config.identity.directory,
    digestKey,
    now: () => systemClock.now(),
  })
}

/** The blocks of connector.ca. A CA that cannot be read is a mistake in agent.yaml: without it nothing could be verified. */
async function readCa(source: ValueSource | undefined): Promise<string[]> {
  if (source === undefined) return []
  const pem = await resolveValue(source, readers)
  if (pem === undefined) throw badCa(source, 'it is missing or empty')
  const blocks = splitPem(pem.reveal())
  if (blocks.length === 0) throw badCa(source, 'there is no PEM certificate in it')
  try {
    blocks.forEach(certificateInfo)
  } catch (thrown) {
    throw badCa(source, reasonOf(thrown))
  }
  return blocks
}

function badCa(source: ValueSource, why: string): AgentError {
  return new AgentError(
    'config_invalid',
    `Cannot use ${describeSource(source)} as connector.ca: ${why}`,
  )
}

const readers = {
  file: (path: string) => readText(path, VALUE_LIMIT),
  env,
  secret: () => Promise.resolve(undefined),
}

function tokenSource(source: ValueSource): TokenSource {
  return {
    async read() {
      try {
        return await resolveValue(source, readers)
      } catch (thrown) {
        if (!(thrown instanceof AgentError)) throw thrown
        throw new AgentError(
          'token_unreadable',
          `Cannot read the token from ${describeSource(source)}: ${thrown.message}`,
        )
      }
    },
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
      hint: 'choose a directory that only the user of the agent and root can change, parents included',
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

/** As the second half of a message. */
function reasonOf(thrown: unknown): string {
  const { message } = toAgentError(thrown)
  return message.replace(/^Cannot /, 'cannot ')
}
