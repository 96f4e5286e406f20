import type { DaprTargetConfig } from '../config/config.ts'
import { sha256 } from '../model/digest.ts'
import { AgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type { ChangeResult, Desired, Observed, Plan, Rendered, Slice } from '../model/target.ts'
import { bulkFiles } from '../runtime/bulk-files.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import type { Clock } from '../runtime/clock.ts'
import { join } from '../runtime/path.ts'
import { choose } from './dapr-choose.ts'
import type { Chosen } from './dapr-choose.ts'
import type { DaprContent } from './dapr-document.ts'
import type { FileRules } from './dapr-file.ts'
import { openDaprJournal } from './dapr-journal.ts'
import { Publisher } from './dapr-publish.ts'
import { createDaprRender } from './dapr-render.ts'
import { createResources } from './dapr-resources.ts'
import type { Resources } from './dapr-resources.ts'
import { ObservedDapr } from './dapr-rules.ts'
import type { DaprRules } from './dapr-rules.ts'
import { checkSecretsPlace } from './dapr-secrets.ts'
import { createSeen, titlesIn } from './dapr-seen.ts'
import type { SeenFile } from './dapr-seen.ts'
import type { DaprReader } from './dapr-sidecars.ts'
import { readersGroup } from './files-layout.ts'
import type { Mark } from './files-manifest.ts'
import { noHooks } from './hooks.ts'
import type { Hooks } from './hooks.ts'
import type { Target } from './target.ts'
import type { WriteInput } from './dapr-write.ts'

export type DaprOptions = {
  config: DaprTargetConfig
  /** `name` of agent.yaml: one part of the mark. */
  agent: string
  /** Holds the journal; the secrets must not lie in it. */
  stateDirectory: string
  /** Keys the hash in the path of the secrets, which others can see. */
  digestKey: Secret
  /** Those of config.sidecars. */
  readers: readonly DaprReader[]
  /** What makes sidecars start anew that take no change by themselves. */
  hooks?: Hooks
  /** daprd has to be waited for: 50 ms between two renames, and until it has taken a change. */
  clock: Clock
  disk?: BulkFiles
}

/**
 * Components, HTTPEndpoints and documents of the Runtime Director for daprd on this machine (reference/dapr.md §5, §6): one
 * file of ours among its resources, and one with the secrets elsewhere.
 */
export function openDapr(options: DaprOptions): Target {
  return new Dapr(options)
}

class Dapr implements Target {
  readonly kind = 'dapr'
  readonly name: string
  readonly slices: readonly Slice[] = ['applications', 'configuration']
  readonly #options: DaprOptions
  readonly #disk: BulkFiles
  readonly #resources = createResources()
  readonly #look = createSeen()
  readonly #publisher: Publisher
  #mark: Mark = { agent: '', runtimeId: '' }
  #render: ((desired: Desired, observed: Observed) => Rendered<DaprContent>) | undefined
  #last: { seen: SeenFile; around: Resources['around']; observed: ObservedDapr } | undefined

  constructor(options: DaprOptions) {
    const { config, stateDirectory, readers, clock, hooks = noHooks } = options
    this.name = config.name
    this.#options = options
    this.#disk = options.disk ?? bulkFiles
    const journal = openDaprJournal(join(stateDirectory, `dapr-${config.name}.json`), this.#disk)
    this.#publisher = new Publisher({ journal, readers, clock, hooks })
  }

  async observe(runtimeId: string, signal: AbortSignal): Promise<Observed> {
    signal.throwIfAborted()
    if (runtimeId !== this.#mark.runtimeId) this.#render = undefined
    this.#mark = { agent: this.#options.agent, runtimeId }
    await checkSecretsPlace(this.#write().place, this.#mark, this.#options.stateDirectory)
    const { seen, around } = this.#readAll()
    // One and the same while nothing changed, so that whoever renders can tell by `===`.
    if (this.#last?.seen !== seen || this.#last.around !== around.around) {
      const objects = new Map([...seen.objects].map(([key, one]) => [key, one.seen]))
      const observed = new ObservedDapr(objects, around.around)
      this.#last = { seen, around: around.around, observed }
    }
    return this.#last.observed
  }

  render(desired: Desired, observed: Observed): Rendered<DaprContent> {
    this.#render ??= createDaprRender(this.#rules())
    return this.#render(desired, observed)
  }

  async apply(plan: Plan, signal: AbortSignal): Promise<ChangeResult[]> {
    const write = this.#write()
    if (plan.changes.length === 0) {
      await this.#publisher.resume(write, this.#readAll().seen, signal)
      return []
    }
    // As late as can be: somebody else may have written since.
    const { seen, around } = this.#readAll()
    if (around.unfit !== undefined) throw errorOf(around.unfit)
    const chosen = await this.#choose(plan, seen, around)
    const results = await this.#publisher.publish(write, { plan, seen, chosen }, signal)
    return plan.changes.map(({ key }) => results.get(key) ?? { key, outcome: 'applied' })
  }

  async verify(_plan: Plan, signal: AbortSignal): Promise<Problem[]> {
    const { seen, around } = this.#readAll()
    const { unfit, restarts } = around
    const asked = await this.#publisher.verify(this.#write(), seen, signal)
    return [...(unfit === undefined ? [] : [unfit]), ...restarts, ...asked]
  }

  async #choose(plan: Plan, seen: SeenFile, { around }: Resources): Promise<Chosen> {
    const { store } = this.#fileRules()
    const pins = await this.#publisher.pins(plan)
    const { pipeline, taken } = around
    return choose({ plan, seen: seen.objects, pins, pipeline, taken, store })
  }

  #readAll(): { seen: SeenFile; around: Resources } {
    const { resources, otherResources, config } = this.#options.config
    const write = this.#write()
    const seen = this.#look(write)
    const around = this.#resources({
      disk: this.#disk,
      directories: [resources, ...otherResources],
      own: write.path,
      ownTitles: titlesIn(seen, write.rules),
      configs: config,
    })
    return { seen, around }
  }

  #write(): WriteInput {
    const { config, digestKey } = this.#options
    const gid = readersGroup(config.group)
    const path = join(config.resources, `ucl-${shortId(this.#mark.runtimeId)}.yaml`)
    return {
      disk: this.#disk,
      path,
      place: { disk: this.#disk, directory: config.secrets, gid, digestKey },
      mark: this.#mark,
      rules: this.#fileRules(),
    }
  }

  #fileRules(): FileRules {
    const store = `ucl-secrets-${shortId(this.#mark.runtimeId)}`
    return { store, scopes: this.#options.config.scopes }
  }

  #rules(): DaprRules {
    const { applications, endpoints, oauthScopes, scopes, types } = this.#options.config
    const { store } = this.#fileRules()
    return { applications, endpoints, oauthScopes, scopes, types, store }
  }
}

/** Eight characters that tell runtimes apart in one directory: those that its id begins with, where it is a UUID. */
function shortId(runtimeId: string): string {
  return /^[0-9a-f]{8}/.exec(runtimeId)?.[0] ?? sha256(runtimeId).slice(0, 8)
}

function errorOf({ code, message, hint, turn, subject }: Problem): AgentError {
  return new AgentError(code, message, { hint, turn, subject })
}
