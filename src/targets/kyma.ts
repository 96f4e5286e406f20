import { APPLICATIONS, SECRETS } from '../clients/kubernetes/api.ts'
import type { Kubernetes } from '../clients/kubernetes/api.ts'
import type { KymaTargetConfig } from '../config/config.ts'
import type { Secret } from '../model/secret.ts'
import type { ChangeResult, Desired, Observed, Plan, Rendered, Slice } from '../model/target.ts'
import { Seen } from './cluster-objects.ts'
import { applyKyma } from './kyma-apply.ts'
import { ObservedKyma, readApplication } from './kyma-observe.ts'
import { createKymaRender } from './kyma-render.ts'
import type { KymaContent } from './kyma-render.ts'
import { BUNDLE_ID, readSecret } from './kyma-secret.ts'
import type { Target } from './target.ts'

export type KymaOptions = {
  config: KymaTargetConfig
  kubernetes: Kubernetes
  /** Keys the digests of Secrets. */
  digestKey: Secret
}

/** Application CRs and their Secrets, in place of the Go compass-runtime-agent (reference/go-agent.md §6–§8). */
export function openKyma(options: KymaOptions): Target {
  return new Kyma(options)
}

class Kyma implements Target {
  readonly kind = 'kyma'
  readonly slices: readonly Slice[] = ['applications']
  readonly name: string
  readonly render: (desired: Desired, observed: Observed) => Rendered<KymaContent>
  readonly #options: KymaOptions
  readonly #applications = new Seen(readApplication)
  readonly #secrets: Seen<ReturnType<typeof readSecret>>
  #observed = new ObservedKyma([], [])

  constructor(options: KymaOptions) {
    const { config, digestKey } = options
    this.name = config.name
    this.#options = options
    this.#secrets = new Seen((object) => readSecret(digestKey, object))
    this.render = createKymaRender({ gatewayUrl: config.gatewayUrl, digestKey })
  }

  /** There is one Compass a cluster, and its CRs carry no mark of a runtime. */
  async observe(_runtimeId: string, signal: AbortSignal): Promise<Observed> {
    const { kubernetes, config } = this.#options
    const scope = { namespace: config.namespace, labels: BUNDLE_ID }
    const [applications, secrets] = await Promise.all([
      this.#applications.list(kubernetes, { resource: APPLICATIONS, scope: {} }, signal),
      this.#secrets.list(kubernetes, { resource: SECRETS, scope }, signal),
    ])
    this.#observed = new ObservedKyma(
      applications,
      secrets.filter((one) => one !== undefined),
    )
    return this.#observed
  }

  async apply(plan: Plan, signal: AbortSignal): Promise<ChangeResult[]> {
    const { kubernetes, config } = this.#options
    const results = await applyKyma(
      plan.changes,
      {
        kubernetes,
        namespace: config.namespace,
        skipVerify: config.skipVerify,
        observed: this.#observed,
        noteApplication: (object) => this.#applications.note(object),
        noteSecret: (object) => this.#secrets.note(object),
      },
      signal,
    )
    return inOrderOf(plan, results)
  }
}

function inOrderOf({ changes }: Plan, results: readonly ChangeResult[]): ChangeResult[] {
  const byKey = new Map(results.map((result) => [result.key, result]))
  return changes.flatMap(({ key }) => byKey.get(key) ?? [])
}
