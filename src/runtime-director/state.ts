import type {
  ConfigurationFile,
  Document,
  Json,
  Match,
  OverlayFile,
  RuntimeFile,
} from '../config/desired.ts'
import { digestOf } from '../model/digest.ts'
import { isObject, mergePatch } from './merge-patch.ts'

/** All that runtimes should have, as one published version holds it. */
export type DesiredState = {
  runtimes: RuntimeFile[]
  /** Sorted by name. */
  configurations: Named<ConfigurationFile>[]
  /** Sorted by order, then by name. */
  overlays: Named<OverlayFile>[]
  /** What `{secretRef: NAME}` stands for. The one place of a version that holds secrets on purpose. */
  secrets: Record<string, string>
}

export type Named<File> = File & { name: string }

/** Says whether two states are the same, and gives nothing away: it stands in the history. */
export function stateDigest(state: DesiredState): string {
  return digestOf(state)
}

/** Whether a configuration or an overlay is for a runtime. */
function isFor(match: Match, { id, labels, groups }: RuntimeFile): boolean {
  if (match.all === true) return true
  if (match.runtimes !== undefined && !match.runtimes.includes(id)) return false
  if (match.groups !== undefined && !match.groups.some((group) => groups.includes(group)))
    return false
  return Object.entries(match.labels ?? {}).every(([key, wanted]) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined
    return value !== undefined && (Array.isArray(wanted) ? wanted : [wanted]).includes(value)
  })
}

/** A document as a runtime gets it, secrets still by name, and where it is from. */
export type Composed = { document: Document; configuration: number; index: number }

/** What all runtimes get for which the same configurations and overlays are. */
export type Selection = {
  key: string
  configurations: readonly number[]
  overlays: readonly number[]
}

/** Which configurations and overlays are for a runtime, as positions in the state. */
export function select(state: DesiredState, runtime: RuntimeFile): Selection {
  const of = (all: readonly { match: Match }[]): number[] =>
    all.flatMap(({ match }, index) => (isFor(match, runtime) ? [index] : []))
  const [configurations, overlays] = [of(state.configurations), of(state.overlays)]
  return { key: `${configurations.join()};${overlays.join()}`, configurations, overlays }
}

/** The documents of a selection, each overlay over them in its order. */
export function compose(state: DesiredState, { configurations, overlays }: Selection): Composed[] {
  const composed = configurations.flatMap((configuration) =>
    (state.configurations[configuration]?.resources ?? []).map((document, index) => ({
      document,
      configuration,
      index,
    })),
  )
  const patches = overlays.flatMap((overlay) => state.overlays[overlay]?.patch ?? [])
  return composed.map((one) => ({
    ...one,
    document: patches.reduce(
      (document, patch) =>
        patchFits(patch, document) ? (mergePatch(document, patch) as Document) : document,
      one.document,
    ),
  }))
}

/** One without a namespace is for those in any. */
export function patchFits(patch: Document, document: Document): boolean {
  const { namespace } = patch.metadata
  return (
    patch.apiVersion === document.apiVersion &&
    patch.kind === document.kind &&
    patch.metadata.name === document.metadata.name &&
    (namespace === undefined || namespace === document.metadata.namespace)
  )
}

/** What a cluster or a sidecar would take for one object, whatever the version of its API. */
export function objectKey({ apiVersion, kind, metadata }: Document): string {
  const group = apiVersion.includes('/') ? apiVersion.split('/', 1)[0] : ''
  return [group, kind, metadata.namespace ?? '', metadata.name].join('/')
}

/** The name that `{secretRef: NAME}` has; undefined for everything else. */
function secretRefOf(value: Json): string | undefined {
  if (!isObject(value) || Object.keys(value).length !== 1) return undefined
  return typeof value['secretRef'] === 'string' ? value['secretRef'] : undefined
}

/** The value with secrets in the place of their names. */
export function withSecrets(value: Json, secrets: Readonly<Record<string, string>>): Json {
  if (Array.isArray(value)) return value.map((one) => withSecrets(one, secrets))
  if (!isObject(value)) return value
  const name = secretRefOf(value)
  if (name !== undefined) return Object.hasOwn(secrets, name) ? (secrets[name] ?? '') : ''
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, withSecrets(one, secrets)]),
  )
}

/** Names of secrets in a value, with where they stand. */
export function* secretRefs(
  value: Json,
  path: readonly (string | number)[] = [],
): Generator<{ name: string; path: readonly (string | number)[] }> {
  const name = secretRefOf(value)
  if (name !== undefined) yield { name, path: [...path, 'secretRef'] }
  else if (Array.isArray(value))
    for (const [index, one] of value.entries()) yield* secretRefs(one, [...path, index])
  else if (isObject(value))
    for (const [key, one] of Object.entries(value)) yield* secretRefs(one, [...path, key])
}
