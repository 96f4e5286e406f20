import { fetchDirector } from '../../../src/agent/fetch.ts'
import { applyTarget } from '../../../src/agent/apply.ts'
import type { ApplyOutcome } from '../../../src/agent/apply.ts'
import { openDirector } from '../../../src/clients/director.ts'
import { APPLICATIONS, SECRETS } from '../../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes, Resource } from '../../../src/clients/kubernetes/api.ts'
import type { Approval, GuardConfig } from '../../../src/model/guard.ts'
import { initialGuardState } from '../../../src/model/guard.ts'
import { Secret } from '../../../src/model/secret.ts'
import type { Snapshot } from '../../../src/model/snapshot.ts'
import { HOUR } from '../../../src/model/time.ts'
import type { Target } from '../../../src/targets/target.ts'
import { openKyma } from '../../../src/targets/kyma.ts'
import { aCall, NOW, sessionTo } from '../../clients/server.ts'
import type { AuditEntry, Kube } from '../../kube.ts'

export const NAMESPACE = 'kyma-system'
export const GATEWAY = 'http://central-application-gateway.kyma-system.svc.cluster.local:8082'
export const RUNTIME = '11111111-2222-4333-8444-555555555555'
const { signal } = new AbortController()

export const GUARD: GuardConfig = {
  ordinary: { count: 5, percent: 20 },
  massDeletion: 'hold',
  credentialsGrace: 24 * HOUR,
}

/** A target over this cluster; called again it is the same place after a restart. */
export function openTarget(kubernetes: Kubernetes, namespace = NAMESPACE): Target {
  return openKyma({
    config: {
      ...{ kind: 'kyma', name: 'kyma', namespace, gatewayUrl: GATEWAY },
      skipVerify: false,
    },
    kubernetes,
    digestKey: new Secret('digest-key-of-a-test'),
  })
}

export type PassOutcome = {
  outcome: ApplyOutcome
  /** Codes of the problems of single applications, sorted. */
  problems: string[]
  /** `kind key outcome` of each change. */
  results: string[]
  calls: AuditEntry[]
}

/** What the loop does in a pass, from the Director to the cluster, with what it remembers between passes. */
export class Agent {
  readonly #kube: Kube
  readonly #director: ReturnType<typeof openDirector>
  #target: Target
  #snapshot: Snapshot | undefined
  #guard = initialGuardState
  now = NOW
  approvals: Approval[] = []
  guard = GUARD

  constructor(kube: Kube, server: { url: string }) {
    this.#kube = kube
    this.#director = openDirector(sessionTo(server))
    this.#target = openTarget(kube.client)
  }

  /** A new process; `forgets` its snapshot too. */
  restart(forgets = false): void {
    this.#target = openTarget(this.#kube.client)
    if (forgets) this.#snapshot = undefined
  }

  async fetch(): Promise<void> {
    const fetched = await fetchDirector(
      {
        director: this.#director,
        snapshots: { load: () => Promise.resolve({}), save: () => Promise.resolve(undefined) },
        runtimeId: RUNTIME,
        last: this.#snapshot,
        guard: this.guard,
        approvals: this.approvals,
        unsaved: false,
        now: () => this.now,
      },
      aCall(),
    )
    this.#snapshot = fetched.snapshot
  }

  async pass(): Promise<PassOutcome> {
    await this.fetch()
    return this.apply()
  }

  /** Without the Director: repairs what drifted. */
  async apply(): Promise<PassOutcome> {
    const mark = this.#kube.auditMark()
    const outcome = await applyTarget(
      {
        target: this.#target,
        snapshot: this.#snapshot!,
        guardState: this.#guard,
        guard: this.guard,
        approvals: this.approvals,
        now: this.now,
      },
      signal,
    )
    this.#guard = outcome.guardState
    const kinds = new Map(outcome.plan.changes.map(({ key, kind }) => [key, kind]))
    return {
      outcome,
      problems: outcome.problems.map(({ problem }) => problem.code).sort(),
      results: outcome.results.map(
        ({ key, outcome: how }) => `${kinds.get(key)} ${key}${how === 'applied' ? '' : ` ${how}`}`,
      ),
      calls: await settledLog(this.#kube, mark),
    }
  }
}

/** Calls of our kinds since a mark, once the log has them: it is written a moment after the answer. */
async function settledLog(kube: Kube, mark: number): Promise<AuditEntry[]> {
  let before = -1
  for (;;) {
    const log = kube.auditLog(mark)
    if (log.length === before)
      return log.filter(({ userAgent }) => userAgent.startsWith('runtime-agent/'))
    before = log.length
    await Bun.sleep(20)
  }
}

export const writesIn = (calls: readonly AuditEntry[]): string[] =>
  calls
    .filter(({ verb }) => !['get', 'list', 'watch'].includes(verb))
    .map(({ verb, resource, name }) => `${verb} ${resource} ${name ?? ''}`)

export async function applicationsIn(kube: Kube): Promise<KubeObject[]> {
  return (await kube.client.list(APPLICATIONS, {}, signal)).items
}

export async function secretsIn(kube: Kube): Promise<KubeObject[]> {
  return (await kube.client.list(SECRETS, { namespace: NAMESPACE }, signal)).items
}

export async function readApplication(kube: Kube, name: string): Promise<KubeObject | undefined> {
  return kube.client.get(APPLICATIONS, { name }, signal)
}

export async function readSecret(kube: Kube, name: string): Promise<KubeObject | undefined> {
  return kube.client.get(SECRETS, { name, namespace: NAMESPACE }, signal)
}

export const valueIn = (secret: KubeObject | undefined, key: string): string | undefined => {
  const data = (secret?.['data'] ?? {}) as Record<string, string>
  return data[key] === undefined ? undefined : Buffer.from(data[key], 'base64').toString()
}

/** An empty cluster again. */
export async function clear(kube: Kube): Promise<void> {
  const remove = (resource: Resource) => (object: KubeObject) => {
    const { name, namespace } = object.metadata
    return kube.client.remove(resource, { name, ...(namespace ? { namespace } : {}) }, {}, signal)
  }
  await Promise.all((await applicationsIn(kube)).map(remove(APPLICATIONS)))
  await Promise.all((await secretsIn(kube)).map(remove(SECRETS)))
}

/** Somebody else than the agent, who writes as `kubectl edit` or the Go agent do: by plain update. */
export type Other = {
  create(resource: Resource, object: KubeObject): Promise<KubeObject>
  /** JSON merge patch. */
  change(resource: Resource, name: string, patch: object): Promise<KubeObject>
  /** Server-side apply, with force. */
  apply(resource: Resource, object: KubeObject): Promise<void>
  remove(resource: Resource, name: string): Promise<void>
}

const APPLY = 'application/apply-patch+yaml'

export async function other(kube: Kube, manager: string): Promise<Other> {
  const account = { namespace: 'default', name: manager }
  await kube.applyManifests([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: account },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: manager },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'cluster-admin',
      },
      subjects: [{ kind: 'ServiceAccount', ...account }],
    },
  ])
  const token = (await kube.token(account)).reveal()
  const send = async (
    method: string,
    resource: Resource,
    name: string | undefined,
    type: string,
    body: object | undefined,
  ): Promise<KubeObject> => {
    const { group, version, plural, namespaced } = resource
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    const place = `${root}${namespaced ? `/namespaces/${NAMESPACE}` : ''}/${plural}`
    const url = `${kube.url}${place}${name === undefined ? '' : `/${name}`}?fieldManager=${manager}${type === APPLY ? '&force=true' : ''}`
    const answer = await fetch(url, {
      method,
      tls: { ca: kube.ca },
      headers: { authorization: `Bearer ${token}`, 'content-type': type },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${method} ${url}: ${await answer.text()}`)
    return (await answer.json()) as KubeObject
  }
  return {
    create: (resource, object) => send('POST', resource, undefined, 'application/json', object),
    change: (resource, name, patch) =>
      send('PATCH', resource, name, 'application/merge-patch+json', patch),
    apply: async (resource, object) => {
      await send('PATCH', resource, object.metadata.name, APPLY, object)
    },
    remove: async (resource, name) => {
      await send('DELETE', resource, name, 'application/json', undefined)
    },
  }
}
