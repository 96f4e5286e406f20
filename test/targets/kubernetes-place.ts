import { expect } from 'bun:test'
import { applyTarget } from '../../src/agent/apply.ts'
import type { ApplyOutcome } from '../../src/agent/apply.ts'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../src/clients/kubernetes/api.ts'
import type { KubernetesTargetConfig } from '../../src/config/config.ts'
import type { Application } from '../../src/model/application.ts'
import { initialGuardState } from '../../src/model/guard.ts'
import type { GuardConfig } from '../../src/model/guard.ts'
import { Secret } from '../../src/model/secret.ts'
import { markComplete } from '../../src/model/snapshot.ts'
import { HOUR } from '../../src/model/time.ts'
import { openKubernetes } from '../../src/targets/kubernetes.ts'
import type { Target } from '../../src/targets/target.ts'
import type { AuditEntry, Kube } from '../kube.ts'
import { RUNTIME } from '../model/samples.ts'

/** What the tests of the target `kubernetes` share. */

export const { signal } = new AbortController()

export type Some = Partial<KubernetesTargetConfig> & {
  kubernetes: Kubernetes
  agent?: string
  digestKey?: string
  now?: () => number
}

export function targetsOf(some: Some): Target[] {
  const { kubernetes, agent = 'default', digestKey = 'key', now = Date.now, ...config } = some
  return openKubernetes({
    config: {
      ...{ kind: 'kubernetes', name: 'kubernetes', namespaces: [], types: [] },
      ...{ index: false, restart: false, ...config },
    },
    agent,
    digestKey: new Secret(digestKey),
    kubernetes,
    now,
  })
}

const EVERYTHING_GOES: GuardConfig = {
  ordinary: { count: 0, percent: 0 },
  massDeletion: 'off',
  credentialsGrace: HOUR,
}

/** A pass as the agent does it, with a guard that lets everything go. */
export function pass(target: Target, applications: Application[]): Promise<ApplyOutcome> {
  const snapshot = {
    runtimeId: RUNTIME,
    applications: markComplete(applications),
    fetchedAt: 0,
    digest: '',
  }
  const rest = { guardState: initialGuardState, approvals: [], now: 0 }
  return applyTarget({ target, snapshot, guard: EVERYTHING_GOES, ...rest }, signal)
}

export const outcomes = ({ results }: ApplyOutcome): string[] =>
  results.map(({ key, outcome, problem }) =>
    [key, outcome, problem?.code].filter(Boolean).join(' '),
  )

/** A namespace of the API server, as a test looks at it and meddles with it. */
export class Namespace {
  static #count = 0
  readonly kube: Kube
  readonly name: string

  private constructor(kube: Kube, name: string) {
    this.kube = kube
    this.name = name
  }

  static async make(kube: Kube): Promise<Namespace> {
    const name = `team-${++Namespace.#count}`
    await kube.namespace(name)
    return new Namespace(kube, name)
  }

  target(some: Partial<Some> = {}): Target {
    return targetsOf({ namespaces: [this.name], kubernetes: this.kube.client, ...some })[0]!
  }

  async secrets(): Promise<KubeObject[]> {
    const { items } = await this.kube.client.list(SECRETS, { namespace: this.name }, signal)
    return items
  }

  /** The only Secret that there is. */
  async secret(): Promise<KubeObject> {
    const [secret, ...others] = await this.secrets()
    expect(others).toEqual([])
    return secret!
  }

  async edit(name: string, change: Record<string, unknown>): Promise<KubeObject> {
    return this.kube.client.merge(SECRETS, { name, namespace: this.name }, change, signal)
  }

  async remove(name: string): Promise<void> {
    await this.kube.client.remove(SECRETS, { name, namespace: this.name }, {}, signal)
  }

  /** Calls to this namespace since `mark` of {@link Kube.auditMark}, as in `patch secrets`. */
  calls(mark: number): string[] {
    const here = this.kube.auditLog(mark).filter(({ namespace }) => namespace === this.name)
    return here.map(({ verb, resource }: AuditEntry) => `${verb} ${resource}`)
  }
}

export const encode = (text: string): string => Buffer.from(text).toString('base64')

/** What readers of a Secret see. */
export function dataOf({ data }: KubeObject): Record<string, string> {
  const decode = (text: unknown) => Buffer.from(String(text), 'base64').toString()
  return Object.fromEntries(Object.entries(data ?? {}).map(([key, value]) => [key, decode(value)]))
}

export const versionOf = ({ metadata: { uid, resourceVersion } }: KubeObject): string =>
  `${uid} ${resourceVersion}`

export const annotation = (name: string): string => `runtime-agent.kyma-project.io/${name}`

/** Writes the status of an object, as its controller would; `path` is that of the object. */
export async function patchStatus(kube: Kube, path: string, status: object): Promise<void> {
  const answer = await fetch(`${kube.url}${path}/status`, {
    method: 'PATCH',
    headers: {
      authorization: `Bearer ${kube.adminToken.reveal()}`,
      'content-type': 'application/merge-patch+json',
    },
    body: JSON.stringify({ status }),
    tls: { ca: kube.ca },
  })
  expect(answer.status).toBe(200)
}
