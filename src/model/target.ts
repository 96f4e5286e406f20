import type { Application } from './application.ts'
import type { ConfigObject } from './config-value.ts'
import type { Problem } from './problem.ts'

/** One of the two parts of what is desired; each is applied, guarded and held on its own. */
export type Slice = 'applications' | 'configuration'

declare const complete: unique symbol

/** Marks what came from one complete, verified fetch. Only markComplete() (model/snapshot.ts) makes one. */
export type Complete<T> = T & { readonly [complete]: true }

/**
 * A document of the Runtime Director that was let in, ready to apply: names are valid in Kubernetes, the conventions of
 * the proof of concept are gone (model/accept-configuration.ts).
 */
export type ConfigDocument = {
  /**
   * `<API group>/<kind>/<namespace>/<name>`: `core` for the group without name, an empty namespace when the document names
   * none. Without the version: another version of a kind is the same object.
   */
  id: string
  apiVersion: string
  kind: string
  /** As the document names it. Missing: it is meant for the place where the target is. */
  namespace?: string
  name: string
  /** All of it, with `apiVersion`, `kind` and `metadata`. */
  document: ConfigObject
  /** Label selector of the Pods that have to be restarted where nothing reloads by itself; only a wish. */
  restartSelector?: string
}

/** What the runtime should look like. A missing slice is held as it is, never emptied. */
export type Desired = {
  runtimeId: string
  applications?: Complete<Application[]>
  configuration?: Complete<ConfigDocument[]>
  /** The runtime label `isNormalized` is the string "true": names are as Kyma wants them (reference/go-agent.md §10). */
  namesNormalized?: true
}

/** What an object is made from; the guard counts by these ids. */
export type Owner =
  | { slice: 'applications'; application: string; bundle?: string }
  | { slice: 'configuration'; document: string }

/** One object of ours that exists in a target. */
export type ObservedObject = {
  /** Identity within the target, from ids, never from names: `binding/<bundle id>`. */
  key: string
  owner: Owner
  /** Name in the target, kept for the life of the object. */
  name: string
  /** Digest of its content as it is now; a drifted object has another one. */
  digest: string
  /** It holds credentials of its bundle: not replaced by one without them while these are unknown. */
  credentialed?: boolean
}

/** All objects of ours in a target, by key. Whoever makes one has read them all: unread is not absent. */
export type Observed = { readonly objects: ReadonlyMap<string, ObservedObject> }

/** One object as it should be. `content` is the target's own business. */
export type RenderedObject<Content = unknown> = ObservedObject & { content: Content }

export type Rendered<Content = unknown> = {
  readonly objects: ReadonlyMap<string, RenderedObject<Content>>
  /** Problems of single sources. The objects that such a source already has are kept as they are. */
  readonly problems: readonly SourceProblem[]
}

export type SourceProblem = {
  owner: Owner
  problem: Problem
  /** True when nothing was rendered for the source: what it already has must not be deleted. */
  withheld: boolean
}

export type Change<Content = unknown> =
  | {
      kind: 'create' | 'update'
      key: string
      owner: Owner
      name: string
      object: RenderedObject<Content>
    }
  | { kind: 'delete'; key: string; owner: Owner; name: string; why: string }

/** What may be done to one target now. Empty: nothing is written. */
export type Plan<Content = unknown> = {
  readonly target: string
  readonly changes: readonly Change<Content>[]
}

/** `held`: not now for the given reason; planned again next pass without back-off. */
export type ChangeResult = {
  key: string
  outcome: 'applied' | 'failed' | 'reverted' | 'held'
  problem?: Problem
}
