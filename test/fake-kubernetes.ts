/**
 * The part of the Kubernetes API that keeps a few objects, in memory: get, list, create, merge, replace, remove with the
 * preconditions and the no-ops of the real one. The contracts that run on it run on the real one too; what it does not do
 * honestly (server-side apply, watch, admission) it refuses to do.
 *
 * `before` and `after` stand around each call: thrown before, the call was not made; thrown after, only its answer is lost.
 */
import type {
  Access,
  KubeObject,
  Kubernetes,
  Listed,
  Ref,
  Resource,
} from '../src/clients/kubernetes/api.ts'
import { AgentError, type Code } from '../src/model/problem.ts'

export type FakeCall = { verb: string; plural: string; ref: Ref; dryRun: boolean }
type Around = (call: FakeCall) => void | Promise<void>

const NOT_FAKED = 'only the real API can do this'

export class FakeKubernetes implements Kubernetes {
  readonly host = 'fake'
  readonly namespace = 'default'
  readonly calls: string[] = []
  /** `verb plural`, `verb plural/name`: what the service account may not do. */
  readonly forbidden = new Set<string>()
  /** Missing: every namespace is there. */
  namespaces: Set<string> | undefined
  before: Around = () => undefined
  after: Around = () => undefined
  readonly #objects: Map<string, KubeObject>
  #version = { now: 1000 }

  constructor(shared?: FakeKubernetes) {
    this.#objects = shared ? shared.#objects : new Map()
    if (shared) this.#version = shared.#version
  }

  /** Another client of the same API. */
  another(): FakeKubernetes {
    return new FakeKubernetes(this)
  }

  /** All that is kept, by `plural/namespace/name`. */
  get objects(): ReadonlyMap<string, KubeObject> {
    return this.#objects
  }

  get(resource: Resource, ref: Ref): Promise<KubeObject | undefined> {
    return this.#call({ verb: 'get', plural: resource.plural, ref, dryRun: false }, () => {
      const found = this.#objects.get(keyOf(resource, ref))
      return found && structuredClone(found)
    })
  }

  list(resource: Resource, scope: { namespace?: string; labels?: string }): Promise<Listed> {
    const { namespace } = scope
    const ref = { name: '', ...(namespace === undefined ? {} : { namespace }) }
    return this.#call({ verb: 'list', plural: resource.plural, ref, dryRun: false }, () => {
      const wanted = (scope.labels ?? '').split(',').filter(Boolean)
      const items = [...this.#objects]
        .filter(([key]) => key.startsWith(`${resource.plural}/${namespace ?? ''}`))
        .map(([, object]) => structuredClone(object))
        .filter(({ metadata: { labels = {} } }) =>
          wanted.every((pair) => pair.split('=')[1] === labels[pair.split('=')[0] ?? '']),
        )
      return { items, resourceVersion: String(this.#version.now) }
    })
  }

  create(
    resource: Resource,
    object: KubeObject,
    _signal?: AbortSignal,
    options: { dryRun?: boolean } = {},
  ): Promise<KubeObject> {
    const { dryRun = false } = options
    const ref = object.metadata
    return this.#call({ verb: 'create', plural: resource.plural, ref, dryRun }, () => {
      this.#assertNamespace(ref)
      if (this.#objects.has(keyOf(resource, ref))) {
        throw failure('kubernetes_conflict', `${ref.name} exists already`, 'AlreadyExists')
      }
      const metadata = { ...object.metadata, uid: crypto.randomUUID() }
      return this.#store(resource, { ...structuredClone(object), metadata }, dryRun)
    })
  }

  merge(
    resource: Resource,
    ref: Ref,
    patch: Record<string, unknown>,
    _signal?: AbortSignal,
    options: { dryRun?: boolean } = {},
  ): Promise<KubeObject> {
    const { dryRun = false } = options
    return this.#call({ verb: 'patch', plural: resource.plural, ref, dryRun }, () => {
      const found = this.#present(resource, ref)
      const merged = mergePatch(found, patch) as KubeObject
      assertVersion(found, merged.metadata.resourceVersion)
      if (JSON.stringify(merged) === JSON.stringify(found)) return structuredClone(found)
      return this.#store(resource, merged, dryRun)
    })
  }

  replace(resource: Resource, object: KubeObject): Promise<KubeObject> {
    const ref = object.metadata
    return this.#call({ verb: 'update', plural: resource.plural, ref, dryRun: false }, () => {
      const found = this.#present(resource, ref)
      assertVersion(found, ref.resourceVersion)
      const { uid = '', creationTimestamp = '' } = found.metadata
      const metadata = { ...object.metadata, uid, creationTimestamp }
      return this.#store(resource, { ...structuredClone(object), metadata }, false)
    })
  }

  remove(
    resource: Resource,
    ref: Ref,
    preconditions: { uid?: string; resourceVersion?: string },
  ): Promise<boolean> {
    return this.#call({ verb: 'delete', plural: resource.plural, ref, dryRun: false }, () => {
      const found = this.#objects.get(keyOf(resource, ref))
      if (found === undefined) return false
      assertVersion(found, preconditions.resourceVersion)
      if (preconditions.uid !== undefined && preconditions.uid !== found.metadata.uid) {
        throw failure('kubernetes_conflict', 'another uid', 'Conflict')
      }
      this.#version.now += 1
      return this.#objects.delete(keyOf(resource, ref))
    })
  }

  apply(): Promise<KubeObject> {
    throw new Error(NOT_FAKED)
  }

  watch(): AsyncIterable<never> {
    throw new Error(NOT_FAKED)
  }

  denied(rights: readonly Access[]): Promise<Access[]> {
    return Promise.resolve(rights.filter((right) => this.#isForbidden(right)))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #isForbidden({ verb, resource, name }: Access): boolean {
    const what = `${verb} ${resource.plural}`
    return this.forbidden.has(what) || this.forbidden.has(`${what}/${name ?? ''}`)
  }

  async #call<T>(call: FakeCall, work: () => T): Promise<T> {
    const { verb, plural, ref, dryRun } = call
    await this.before(call)
    this.calls.push(`${verb} ${plural}/${ref.name}${dryRun ? ' (dry run)' : ''}`)
    if (
      this.forbidden.has(`${verb} ${plural}`) ||
      this.forbidden.has(`${verb} ${plural}/${ref.name}`)
    )
      throw failure('kubernetes_forbidden', `no right to ${verb} ${plural}`, 'Forbidden')
    const result = work()
    await this.after(call)
    return result
  }

  #assertNamespace({ namespace }: Ref): void {
    if (namespace === undefined || this.namespaces?.has(namespace) !== false) return
    throw failure('kubernetes_missing', `the namespace ${namespace} does not exist`, 'NotFound')
  }

  #present(resource: Resource, ref: Ref): KubeObject {
    const found = this.#objects.get(keyOf(resource, ref))
    if (found !== undefined) return found
    this.#assertNamespace(ref)
    throw failure('kubernetes_missing', 'it does not exist', 'NotFound')
  }

  #store(resource: Resource, object: KubeObject, dryRun: boolean): KubeObject {
    this.#assertSize(object)
    if (dryRun) return object
    this.#version.now += 1
    const resourceVersion = String(this.#version.now)
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion } }
    this.#objects.set(keyOf(resource, object.metadata), stored)
    return structuredClone(stored)
  }

  /** core/v1 validation: MaxSecretSize. */
  #assertSize({ data }: KubeObject): void {
    const values = Object.values((data ?? {}) as Record<string, string>)
    const size = values.reduce((sum, value) => sum + Buffer.from(value, 'base64').length, 0)
    if (size > 1024 * 1024) throw failure('kubernetes_refused', 'data: Too long', 'Invalid')
  }
}

function keyOf({ plural }: Resource, { namespace = '', name }: Ref): string {
  return `${plural}/${namespace}/${name}`
}

function assertVersion({ metadata }: KubeObject, wanted: string | undefined): void {
  if (wanted === undefined || wanted === metadata.resourceVersion) return
  throw failure('kubernetes_conflict', 'the object has been modified', 'Conflict')
}

export function failure(code: Code, why: string, reason = ''): AgentError {
  return new AgentError(code, `Cannot ask the fake: ${why}`, { detail: { reason } })
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch))
    return structuredClone(patch)
  const result: Record<string, unknown> =
    typeof target === 'object' && target !== null && !Array.isArray(target)
      ? { ...structuredClone(target) }
      : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, key)
    else if (value !== undefined) result[key] = mergePatch(result[key], value)
  }
  return result
}
