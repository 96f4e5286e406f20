import { SECRETS } from '../clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes, Ref } from '../clients/kubernetes/api.ts'
import type { KubernetesTargetConfig } from '../config/config.ts'
import { AgentError, problem, toAgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type {
  Change,
  ChangeResult,
  Desired,
  Observed,
  Plan,
  Rendered,
  Slice,
} from '../model/target.ts'
import { DAY, formatInstant } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import { carryOut } from './cluster-apply.ts'
import type { Job } from './cluster-apply.ts'
import { Seen, markSelector } from './cluster-objects.ts'
import { writeIndex } from './kubernetes-index.ts'
import { ObservedSecrets, createSecretRender } from './kubernetes-render.ts'
import { openRestarts } from './kubernetes-restart.ts'
import type { Restarts } from './kubernetes-restart.ts'
import { Binding, changeOfSecret, newSecret, orphaned, readSecret } from './kubernetes-secret.ts'
import type { Place, SeenSecret } from './kubernetes-secret.ts'
import { usersOfSecrets } from './kubernetes-uses.ts'
import type { Target } from './target.ts'

export type KubernetesOptions = {
  config: KubernetesTargetConfig
  /** `name` of agent.yaml: one part of the mark. */
  agent: string
  /** Keys the digests in annotations, which people can see. */
  digestKey: Secret
  kubernetes: Kubernetes
  now: () => Instant
}

/**
 * Bindings as Secrets (reference/kubernetes.md §4): one target for each namespace, as each may be missing, full or closed
 * to the agent on its own. Named as in agent.yaml, or `<name>/<namespace>` when there are several.
 */
export function openKubernetes({ config, ...options }: KubernetesOptions): Target[] {
  const { name, namespaces } = config
  return namespaces.map((namespace) => {
    const own = namespaces.length === 1 ? name : `${name}/${namespace}`
    return new KubernetesNamespace({ ...options, config, namespace, name: own })
  })
}

/** A Secret that somebody still uses goes after this time, as its application is gone from Compass anyway. */
const IN_USE_GRACE: Duration = DAY

type Options = KubernetesOptions & { namespace: string; name: string }

class KubernetesNamespace implements Target {
  readonly kind = 'kubernetes'
  readonly slices: readonly Slice[] = ['applications']
  readonly name: string
  readonly render: (desired: Desired, observed: Observed) => Rendered<Binding>
  readonly #options: Options
  readonly #secrets: Seen<SeenSecret | undefined>
  readonly #restarts: Restarts | undefined
  /** Of the latest observe, and what was done since: Secrets by key. */
  #objects = new Map<string, SeenSecret>()
  /** Of the latest observe; the other part of the mark. */
  #runtimeId = ''
  /** What went wrong in the latest apply beside the changes themselves. */
  #beside: Problem[] = []

  constructor(options: Options) {
    const { name, namespace, kubernetes, digestKey, config } = options
    this.name = name
    this.#options = options
    this.#secrets = new Seen((object) => readSecret(digestKey, object))
    this.render = createSecretRender({ types: config.types, digestKey })
    const revisions = () =>
      new Map([...this.#objects.values()].map((one) => [one.name, one.revision]))
    if (config.restart) this.#restarts = openRestarts({ kubernetes, namespace, revisions })
  }

  async observe(runtimeId: string, signal: AbortSignal): Promise<Observed> {
    this.#runtimeId = runtimeId
    const { kubernetes, namespace } = this.#options
    const scope = { namespace, labels: markSelector(this.#place().mark) }
    const all = await this.#secrets.list(kubernetes, { resource: SECRETS, scope }, signal)
    const observed = new ObservedSecrets(all.filter((one) => one !== undefined))
    this.#objects = new Map(observed.objects)
    return observed
  }

  async apply({ changes }: Plan, signal: AbortSignal): Promise<ChangeResult[]> {
    this.#beside = []
    const writes = changes.filter((change) => change.kind !== 'delete')
    const deletes = changes.filter((change) => change.kind === 'delete')
    await this.#prepareRestarts(writes, signal)
    const written = await carryOut(
      writes.map((change) => [this.#write(change)]),
      signal,
    )
    await this.#attempt(signal, () => this.#restarts?.run(this.#options.now(), signal))
    const deleted = await carryOut(this.#deletions(deletes), signal, written)
    if (this.#options.config.index) await this.#attempt(signal, () => this.#index(signal))
    return [...written, ...deleted]
  }

  verify(): Promise<Problem[]> {
    return Promise.resolve(this.#beside)
  }

  #write(change: Exclude<Change, { kind: 'delete' }>): Job[number] {
    const { content: binding, digest } = change.object
    if (!(binding instanceof Binding)) {
      throw new AgentError('internal', `Cannot write ${change.key}: the plan is of another target`)
    }
    const { application, bundle } = binding.titles
    const { digestKey } = this.#options
    return {
      change,
      subject: `${application} / ${bundle}`,
      run: async (signal) => {
        const seen = this.#objects.get(change.key)
        const [answer, data] =
          seen === undefined
            ? await this.#create(newSecret(change.name, binding, this.#place()), signal)
            : await this.#merge(seen, changeOfSecret(seen, binding), signal)
        const { values } = binding
        const read = readSecret(digestKey, answer, { data, values })
        const after = this.#secrets.note(answer, read)
        if (after !== undefined) this.#objects.set(change.key, after)
        if (after?.digest !== digest) throw changedOnTheWay(change.name)
        return undefined
      },
    }
  }

  async #create(secret: KubeObject, signal: AbortSignal): Promise<[KubeObject, unknown]> {
    const answer = await this.#options.kubernetes.create(SECRETS, secret, signal)
    return [answer, secret['data']]
  }

  async #merge(
    seen: SeenSecret,
    change: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<[KubeObject, unknown]> {
    const answer = await this.#options.kubernetes.merge(SECRETS, this.#ref(seen), change, signal)
    return [answer, change['data']]
  }

  /** Who uses the Secrets is asked once, and only when some would go. */
  #deletions(deletes: readonly Extract<Change, { kind: 'delete' }>[]): Job[] {
    const { kubernetes, namespace } = this.#options
    let users: Promise<Map<string, string[]>> | undefined
    return deletes.map((change) => {
      const run = async (signal: AbortSignal): Promise<Problem | undefined> => {
        users ??= usersOfSecrets(kubernetes, namespace, signal)
        return this.#remove(change.key, (await users).get(change.name), signal)
      }
      return [{ change, subject: change.name, run }]
    })
  }

  async #remove(
    key: string,
    users: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<Problem | undefined> {
    const seen = this.#objects.get(key)
    if (seen === undefined) return undefined
    if (seen.going) return going(seen)
    if (seen.keep) return kept(seen)
    const { kubernetes, now } = this.#options
    const ref = this.#ref(seen)
    if (users !== undefined) {
      const since = seen.orphanedSince ?? formatInstant(now())
      if (seen.orphanedSince === undefined) {
        const answer = await kubernetes.merge(SECRETS, ref, orphaned(seen, since), signal)
        const after = this.#secrets.note(answer)
        if (after !== undefined) this.#objects.set(key, after)
      }
      // Not a time that anybody can read: it goes.
      if (now() - Date.parse(since) < IN_USE_GRACE) return inUse(seen, since, users)
    }
    const { uid, resourceVersion } = this.#objects.get(key) ?? seen
    await kubernetes.remove(SECRETS, ref, { uid, resourceVersion }, signal)
    this.#objects.delete(key)
    return undefined
  }

  async #prepareRestarts(writes: readonly Change[], signal: AbortSignal): Promise<void> {
    const names = new Set(writes.filter(({ kind }) => kind === 'update').map(({ name }) => name))
    await this.#attempt(signal, () => this.#restarts?.prepare(names, signal))
  }

  async #index(signal: AbortSignal): Promise<Problem[]> {
    const { kubernetes, namespace } = this.#options
    const entries = [...this.#objects.values()].map(({ name, titles, type }) => {
      return { name, ...titles, type }
    })
    await writeIndex({ kubernetes, namespace }, { mark: this.#place().mark, entries }, signal)
    return []
  }

  /** What must not keep Secrets from being written; it is shown, and tried again in the next pass. */
  async #attempt(signal: AbortSignal, work: () => Promise<Problem[]> | undefined): Promise<void> {
    try {
      this.#beside.push(...((await work()) ?? []))
    } catch (thrown) {
      signal.throwIfAborted()
      this.#beside.push(toAgentError(thrown).toProblem())
    }
  }

  #place(): Place {
    const { namespace, agent } = this.#options
    return { namespace, mark: { agent, runtimeId: this.#runtimeId } }
  }

  #ref({ name }: SeenSecret): Ref {
    return { name, namespace: this.#options.namespace }
  }
}

function changedOnTheWay(name: string): AgentError {
  const why = 'something in the cluster changes it on the way'
  return new AgentError(
    'kubernetes_refused',
    `Cannot write the Secret ${name} as it should be: ${why}`,
  )
}

function going({ name }: SeenSecret): Problem {
  const message = `The Secret ${name} is removed, but its finalizers keep it there`
  return problem('object_in_use', message, {
    subject: name,
    hint: 'nothing more is done with it: whoever set the finalizers has to take them away',
  })
}

function kept({ name, leaveAlone }: SeenSecret): Problem {
  const mark = leaveAlone ? 'reconcile' : 'prune'
  const message = `Cannot remove the Secret ${name}: it is annotated ${mark}: disabled`
  return problem('object_in_use', message, {
    subject: name,
    hint: 'its application is gone: remove the Secret, or the annotation',
  })
}

function inUse({ name }: SeenSecret, since: string, users: readonly string[]): Problem {
  const more = users.length > 3 ? ` and ${users.length - 3} more` : ''
  const message = `Cannot remove the Secret ${name} yet, which would go since ${since}: ${users.slice(0, 3).join(', ')}${more} ${users.length === 1 ? 'refers' : 'refer'} to it`
  return problem('object_in_use', message, { subject: name })
}
