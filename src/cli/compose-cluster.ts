import type { Ownership } from '../agent/ports.ts'
import {
  openConfigurationSecrets,
  openSnapshotSecrets,
  openStateSecret,
  stateRights,
} from '../agent/state-secrets.ts'
import { APPLICATIONS, COMPASS_CONNECTIONS, SECRETS } from '../clients/kubernetes/api.ts'
import type { Access, Kubernetes } from '../clients/kubernetes/api.ts'
import { leaseRights } from '../clients/kubernetes/lease-record.ts'
import { openLease } from '../clients/kubernetes/lease.ts'
import type { LeaseOwnership } from '../clients/kubernetes/lease.ts'
import type { Config, ObjectName } from '../config/config.ts'
import type { Facts } from '../identity/secret-data.ts'
import { openSecretDigestKey } from '../identity/secret-digest-key.ts'
import { identityRights, openSecretStore } from '../identity/secret.ts'
import { connectionRights } from '../kyma/connection-reporter.ts'
import { memberOf } from '../kyma/connection-fields.ts'
import { goAgentLook } from '../kyma/go-agent.ts'
import { systemClock } from '../runtime/clock.ts'
import { randomBytes } from '../runtime/keys.ts'
import type { Log } from '../runtime/log.ts'
import { env } from '../runtime/process.ts'
import type { Keeping } from './keeping.ts'

export type Cluster = {
  kubernetes: Kubernetes
  config: Config
  /** Of `identity.secret`. */
  secret: ObjectName
  log: Log
  /** As the configuration names it now; for an identity that the Go agent left. */
  runtimeId: () => Promise<string | undefined>
}

/** What the agent keeps in the cluster, and the Lease by which it knows that it is the only one. */
export function keepInCluster(cluster: Cluster): Keeping {
  const { kubernetes, config, secret, log } = cluster
  const { caSecret } = config.identity
  const prefix = prefixOf(config)
  const namespace = namespaceOf(kubernetes, config)
  const digestKey = openSecretDigestKey(kubernetes, secret)
  const foreign = (why: string): void => lease.doubt(why)
  const store = openSecretStore({
    kubernetes,
    secret,
    ...(caSecret === undefined ? {} : { caSecret }),
    legacy: () => legacyFacts(cluster),
    rights: rightsOf(kubernetes, config),
    warn: ({ message, code, hint }) => log.warn(message, { code, hint }),
    foreign,
    now: () => systemClock.now(),
  })
  const states = openStateSecret({ kubernetes, namespace, prefix, foreign })
  const snapshots = openSnapshotSecrets({ kubernetes, namespace, prefix, foreign })
  const lease = leaseOf(cluster, {
    async prepare() {
      // What is wrong with it is shown by whoever needs it.
      await cluster.runtimeId().catch(() => undefined)
      await digestKey.keep()
      await store.begin()
      await states.begin()
      await snapshots.begin()
      await store.keepCa()
    },
    tend: () => store.tend(),
  })
  return {
    store,
    snapshots,
    states,
    configurations: openConfigurationSecrets({ kubernetes, namespace, prefix, foreign }),
    digestKey: digestKey.key,
    ownership: lease,
    look: () => digestKey.load(),
    problems: () => [store.caProblem()].filter((problem) => problem !== undefined),
  }
}

/**
 * A state on disk, and a target that is the whole cluster's: the lock keeps others from the state, the Lease from the
 * cluster.
 */
export function alsoByLease(keeping: Keeping, cluster: Leased): Keeping {
  const lease = leaseOf(cluster, {})
  const ownership: Ownership = {
    async acquire(signal, waiting) {
      const lock = await keeping.ownership.acquire(signal, waiting)
      try {
        const { lost, release } = await lease.acquire(signal, waiting)
        return {
          lost,
          async release() {
            await release()
            await lock.release()
          },
        }
      } catch (thrown) {
        await lock.release()
        throw thrown
      }
    },
  }
  return { ...keeping, ownership }
}

type Leased = Pick<Cluster, 'kubernetes' | 'config' | 'log'>

function leaseOf(
  { kubernetes, config, log }: Leased,
  duties: { prepare?: () => Promise<void>; tend?: () => Promise<void> },
): LeaseOwnership {
  const pod = podName()
  const namespace = namespaceOf(kubernetes, config)
  const { secret } = config.identity
  const look = goAgentLook({
    kubernetes,
    namespaces: [
      namespace,
      ...(secret === undefined ? [] : [secret.namespace]),
      ...config.targets.flatMap((one) => (one.kind === 'kyma' ? [one.namespace] : [])),
    ],
    ...(pod === undefined ? {} : { pod }),
    warn: (message) => log.warn(message),
  })
  return openLease({
    kubernetes,
    namespace,
    name: prefixOf(config),
    holder: `${pod ?? 'agent'}_${randomHex()}`,
    clock: systemClock,
    log,
    ...(isOfKyma(config) ? { hindrance: look } : {}),
    rights: rightsOf(kubernetes, config),
    ...duties,
  })
}

/** Whether the Go agent would write what we write. */
function isOfKyma({ targets, compassConnection }: Config): boolean {
  return compassConnection !== undefined || targets.some(({ kind }) => kind === 'kyma')
}

/** Names of what the agent keeps in its namespace begin so; the Lease is called so. */
function prefixOf({ name }: Config): string {
  return name === 'default' ? 'runtime-agent' : `runtime-agent-${name}`
}

function namespaceOf(kubernetes: Kubernetes, { kubernetes: { namespace } }: Config): string {
  return namespace ?? kubernetes.namespace
}

/**
 * All that must be allowed before a token may be spent. Not those of the target `kubernetes`: it has namespaces that may
 * come and go, each with a failure of its own.
 */
function rightsOf(kubernetes: Kubernetes, config: Config): Access[] {
  const { identity, targets, connector } = config
  const namespace = namespaceOf(kubernetes, config)
  const prefix = prefixOf(config)
  const kyma = targets.find(({ kind }) => kind === 'kyma')
  const { token } = connector
  return [
    ...leaseRights(namespace, prefix),
    ...(identity.secret === undefined
      ? []
      : [...identityRights(identity.secret), ...stateRights({ namespace, prefix })]),
    ...(token.from === 'secret' ? [{ verb: 'get', resource: SECRETS, ...token.secret }] : []),
    ...(config.compassConnection === undefined ? [] : connectionRights),
    ...(kyma?.kind === 'kyma' ? kymaRights(kyma.namespace) : []),
  ].map(({ verb, resource, ...where }) => ({ verb, resource, ...place(where) }))
}

/** Without what else a name may hold, such as the key of a token. */
function place({ namespace, name }: Partial<ObjectName>): Partial<ObjectName> {
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  }
}

function kymaRights(namespace: string): Access[] {
  return [
    ...['get', 'list', 'create', 'patch', 'delete'].map((verb) => ({
      verb,
      resource: APPLICATIONS,
    })),
    ...['get', 'list', 'create', 'patch', 'delete'].map((verb) => ({
      verb,
      resource: SECRETS,
      namespace,
    })),
  ]
}

/** Where Compass answers and as which runtime, for a Secret that only the Go agent wrote: it has them in its CR. */
async function legacyFacts({
  kubernetes,
  config: { compassConnection },
  runtimeId,
}: Cluster): Promise<Facts | undefined> {
  const id = await runtimeId()
  if (compassConnection === undefined || id === undefined) return undefined
  const { signal } = new AbortController()
  const found = await kubernetes.get(COMPASS_CONNECTIONS, compassConnection, signal)
  const { connectorUrl, directorUrl } = memberOf(memberOf(found?.['spec'])['managementInfo'])
  if (!isGiven(connectorUrl) || !isGiven(directorUrl)) return undefined
  return { plane: { connectorUrl, directorUrl }, runtimeId: id }
}

function isGiven(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** Of the pod that this process runs in; undefined outside of a cluster. */
function podName(): string | undefined {
  if (env('KUBERNETES_SERVICE_HOST') === undefined) return undefined
  return env('POD_NAME') ?? env('HOSTNAME')
}

function randomHex(): string {
  return Array.from(randomBytes(4), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
