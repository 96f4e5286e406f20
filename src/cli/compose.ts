import { openCompass } from '../agent/compass.ts'
import type { AgentSettings, Deps } from '../agent/deps.ts'
import { wantedLabels } from '../agent/label.ts'
import type { Compass, Reporter, TokenSource } from '../agent/ports.ts'
import { COMPASS_CONNECTIONS } from '../clients/kubernetes/api.ts'
import type { Kubernetes } from '../clients/kubernetes/api.ts'
import { openKubernetes } from '../clients/kubernetes/load.ts'
import type { Config, TargetConfig } from '../config/config.ts'
import { openConfigSecret } from '../kyma/config-secret.ts'
import { compassConnectionReporter } from '../kyma/connection-reporter.ts'
import { digestOf } from '../model/digest.ts'
import type { Problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { version } from '../model/version.ts'
import { systemClock } from '../runtime/clock.ts'
import { randomUnit, uuid } from '../runtime/keys.ts'
import { openLog } from '../runtime/log.ts'
import type { Log } from '../runtime/log.ts'
import { pid } from '../runtime/process.ts'
import { openTriggerQueue } from '../server/trigger-queue.ts'
import type { TriggerQueue } from '../server/trigger-queue.ts'
import { openFiles } from '../targets/files.ts'
import { openKubernetes as openBindings } from '../targets/kubernetes.ts'
import { openKyma } from '../targets/kyma.ts'
import type { Target } from '../targets/target.ts'
import { alsoByLease, keepInCluster } from './compose-cluster.ts'
import { composeDapr } from './compose-dapr.ts'
import { keepOnDisk } from './compose-disk.ts'
import { hooksByRoot } from './compose-hooks.ts'
import type { Keeping } from './keeping.ts'
import type { LoadedConfig } from './load-config.ts'
import { followCa, openToken, valueReaders } from './values.ts'

/** What a composition is made from: agent.yaml, or the variables of the Go agent with its configuration Secret. */
export type Given = Pick<LoadedConfig, 'config' | 'configuration'> & {
  /** Not to tell of itself in the CompassConnection: what it does is only a part of what the agent is for. */
  untold?: true
}

/** Everything of one agent, made from its configuration; nothing is written before it runs. */
export type Composition = {
  deps: Deps
  queue: TriggerQueue
  log: Log
  /** For commands that look without being in charge: learns what else the agent learns when it is. */
  look(): Promise<void>
  /** For who disconnects: takes away the CR that tells of the connection. */
  removeConnection(): Promise<void>
  /** Ends what the composition has opened. */
  close(): Promise<void>
}

/** What reporters may need of the composition that they become a part of. */
export type Surroundings = {
  log: Log
  queue: TriggerQueue
  /** What fails beside the loop. */
  problems(): Problem[]
}

export async function compose(
  given: Given,
  reporters: (surroundings: Surroundings) => Reporter[],
): Promise<Composition> {
  const { config } = given
  const log = openLog(config.log)
  const queue = openTriggerQueue()
  const kubernetes = needsCluster(config)
    ? await openKubernetes({ ...config.kubernetes, version })
    : undefined
  const source = openSource(given, kubernetes, queue)
  const parts = { config, kubernetes, log, source }
  const keeping = await openKeeping(parts)
  const connection = given.untold === true ? undefined : openConnection(parts, queue, keeping)
  const problems = (): Problem[] => [...keeping.problems(), ...(connection?.problems() ?? [])]
  const deps: Deps = {
    settings: settingsOf(config, source),
    clock: systemClock,
    random: randomUnit,
    uuid,
    log,
    version,
    pid,
    store: keeping.store,
    snapshots: keeping.snapshots,
    states: keeping.states,
    ...configurationOf(config, keeping),
    token: source.token,
    compass: await composeCompass(parts),
    targets: config.targets.flatMap((target) =>
      composeTarget(target, { config, digestKey: keeping.digestKey, kubernetes }),
    ),
    reporters: [
      ...reporters({ log, queue, problems }),
      ...(connection === undefined ? [] : [connection.reporter]),
    ],
    triggers: queue,
    ownership: keeping.ownership,
  }
  return {
    deps,
    queue,
    log,
    async look() {
      await keeping.look()
      // The tenant comes from where the token comes from; that it cannot be read is shown where it is needed.
      await source.token.read().catch(() => undefined)
    },
    async removeConnection() {
      const { compassConnection } = config
      if (compassConnection === undefined) return
      const { signal } = new AbortController()
      await kubernetes?.remove(COMPASS_CONNECTIONS, compassConnection, {}, signal)
    },
    async close() {
      source.close()
      await kubernetes?.close()
    },
  }
}

type Parts = {
  config: Config
  kubernetes: Kubernetes | undefined
  log: Log
  source: ComposedSource
}

/** Whether the Kubernetes API is used at all: without it its client is not loaded. */
function needsCluster({ identity, connector, targets, compassConnection }: Config): boolean {
  return (
    identity.store === 'secret' ||
    compassConnection !== undefined ||
    [connector.token, connector.ca].some((source) => source?.from === 'secret') ||
    targets.some(({ kind }) => kind !== 'files' && kind !== 'dapr')
  )
}

/** Token, and what the operator says of Compass: fixed in agent.yaml, or as the configuration Secret says now. */
type ComposedSource = {
  token: TokenSource
  connectorUrl(): string | undefined
  runtimeId(): string | undefined
  tenant(): string | undefined
  close(): void
}

function openSource(
  { config, configuration }: Given,
  kubernetes: Kubernetes | undefined,
  queue: TriggerQueue,
): ComposedSource {
  if (configuration !== undefined && kubernetes !== undefined) {
    return openConfigSecret({
      kubernetes,
      secret: configuration,
      now: () => systemClock.now(),
      otherRuntime: () => queue.ask({ kind: 'sync' }),
    })
  }
  const { connector, runtime } = config
  const token = openToken(connector.token, kubernetes)
  return {
    token,
    connectorUrl: () => connector.url,
    runtimeId: () => runtime.id,
    tenant: () => runtime.tenant,
    close: () => token.close(),
  }
}

async function openKeeping({ config, kubernetes, log, source }: Parts): Promise<Keeping> {
  const { store, secret, directory } = config.identity
  if (store === 'secret' && secret !== undefined && kubernetes !== undefined)
    return keepInCluster({ kubernetes, config, secret, log, runtimeId: () => learnt(source) })
  const keeping = await keepOnDisk(directory)
  // All Applications of a cluster are its one writer's.
  const alone = config.targets.some(({ kind }) => kind === 'kyma')
  return alone && kubernetes !== undefined
    ? alsoByLease(keeping, { kubernetes, config, log })
    : keeping
}

/** The id, after the source of it was looked at. */
async function learnt({ token, runtimeId }: ComposedSource): Promise<string | undefined> {
  // What keeps the token from being read is shown by the loop, which reads it too.
  await token.read().catch(() => undefined)
  return runtimeId()
}

function openConnection(
  { config: { compassConnection }, kubernetes, log }: Parts,
  queue: TriggerQueue,
  keeping: Keeping,
): { reporter: Reporter; problems(): Problem[] } | undefined {
  if (compassConnection === undefined || kubernetes === undefined) return undefined
  const reporter = compassConnectionReporter({
    kubernetes,
    name: compassConnection.name,
    ask: (trigger) => queue.ask(trigger),
    log,
    now: () => systemClock.now(),
    problems: () => keeping.problems(),
  })
  return {
    reporter,
    problems: () => [reporter.problem()].filter((problem) => problem !== undefined),
  }
}

function settingsOf(config: Config, source: ComposedSource): AgentSettings {
  const { name, director, renewal, guard, insecureSkipVerify } = config
  return {
    name,
    get runtimeId() {
      return source.runtimeId()
    },
    get connectorUrl() {
      return source.connectorUrl()
    },
    interval: director.interval,
    labels: wantedLabels(config.labels),
    renewal,
    guard,
    insecure: insecureSkipVerify,
  }
}

function configurationOf(
  { configuration }: Config,
  { configurations: store }: Keeping,
): Pick<Deps, 'configuration'> {
  if (configuration === undefined) return {}
  const { url, interval, allow, secrets } = configuration
  const rules = { allow, secrets }
  return { configuration: { interval, rules, digest: digestOf({ url, ...rules }), store } }
}

async function composeCompass({ config, kubernetes, source }: Parts): Promise<Compass> {
  const { connector, proxy, configuration } = config
  return openCompass({
    ca: await followCa(connector.ca, valueReaders(kubernetes)),
    ...(proxy === undefined ? {} : { proxy: { url: proxy.url.reveal(), except: proxy.except } }),
    insecureSkipVerify: config.insecureSkipVerify,
    ...(configuration === undefined ? {} : { runtimeDirector: configuration }),
    tenant: () => source.tenant(),
    version,
    now: () => systemClock.now(),
  })
}

type TargetParts = { config: Config; digestKey: Secret; kubernetes: Kubernetes | undefined }

function composeTarget(
  target: TargetConfig,
  { config, digestKey, kubernetes }: TargetParts,
): Target[] {
  const now = (): number => systemClock.now()
  const agent = config.name
  if (target.kind === 'files') {
    const stateDirectory = config.identity.directory
    const root = hooksByRoot(config)
    return [openFiles({ config: target, agent, stateDirectory, digestKey, now, ...root })]
  }
  if (target.kind === 'dapr')
    return [composeDapr(target, { config, digestKey, readers: valueReaders(kubernetes) })]
  if (kubernetes === undefined) return []
  return target.kind === 'kyma'
    ? [openKyma({ config: target, kubernetes, digestKey })]
    : openBindings({ config: target, agent, digestKey, kubernetes, now })
}
