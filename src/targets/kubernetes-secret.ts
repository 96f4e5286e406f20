import { SECRETS, apiVersionOf } from '../clients/kubernetes/api.ts'
import type { KubeObject, Metadata } from '../clients/kubernetes/api.ts'
import type { Secret } from '../model/secret.ts'
import type { ObservedObject, Owner } from '../model/target.ts'
import { textOfBase64, toBase64 } from '../runtime/base64.ts'
import { hmac } from '../runtime/keys.ts'
import { bindingKey } from './binding-holders.ts'
import { BINDING_KEYS, REVISION, isCredentialKey } from './binding.ts'
import {
  HASH,
  ORPHANED_SINCE,
  PREFIX,
  SOURCE,
  isGoing,
  isPruneDisabled,
  isReconcileDisabled,
  markLabels,
} from './cluster-objects.ts'
import type { ClusterMark } from './cluster-objects.ts'

/*
 * One binding as one Secret (reference/kubernetes.md §4). Ours in it are the marks and the keys that a binding may have;
 * whatever else people add to it stays.
 *
 * It is created by POST and changed by a merge patch of the version that was read, not by server-side apply: an apply
 * would silently merge into a foreign Secret of the same name, and could not take away a key that a POST or a person
 * wrote. `type` of the object is fixed for its life by Kubernetes; readers go by the key `type`, which is not, so that
 * no Secret is ever deleted for another type.
 */

/** Names of application and bundle, for people who look with kubectl, and for the index. */
const APPLICATION = `${PREFIX}/application`
const BUNDLE = `${PREFIX}/bundle`
const TITLE_LIMIT = 253

/** What names an object and what it is of. */
export type Titles = { application: string; bundle: string }

/** Values by key, the revision excepted, in base64. */
export type BindingData = readonly (readonly [key: string, base64: string])[]

/** What a binding should hold. May hold secrets, so it prints as nothing. */
export class Binding {
  readonly ids: { application: string; bundle: string }
  readonly titles: Titles
  /** Keyed digest of {@link data}. */
  readonly values: string
  readonly #data: () => BindingData

  /** `data` are made again when they are sent, so that no secret stays in memory in between. */
  constructor(
    ids: { application: string; bundle: string },
    titles: Titles,
    { data, values }: { data: () => BindingData; values: string },
  ) {
    this.ids = ids
    this.titles = { application: titleOf(titles.application), bundle: titleOf(titles.bundle) }
    this.values = values
    this.#data = data
  }

  data(): BindingData {
    return this.#data()
  }

  toJSON(): string {
    return '[binding]'
  }
}

/** As a Secret has them. */
export function dataOf(values: readonly (readonly [key: string, value: string])[]): BindingData {
  return values.map(([key, value]) => [key, toBase64(value)])
}

function titleOf(name: string): string {
  return name.slice(0, TITLE_LIMIT).toWellFormed()
}

/** A Secret of ours as it is, without what it holds. */
export type SeenSecret = ObservedObject & {
  owner: Owner & { slice: 'applications' }
  uid: string
  resourceVersion: string
  createdAt: string
  /** Keyed digest of the values that are ours, as they are and as the agent wrote them. */
  values: string
  written: string | undefined
  /** Counts the changes of what is written. */
  revision: number
  /** What the binding says that it is. */
  type: string
  titles: Titles
  orphanedSince: string | undefined
  /** A person wants it left as it is, or kept. */
  leaveAlone: boolean
  keep: boolean
  /** Removed already, and kept there by a finalizer. */
  going: boolean
}

/** Digest of a Secret that is not as it was written. No rendered one has it. */
const DRIFTED = 'drifted'
const OURS = new Set(BINDING_KEYS)

/**
 * Reads a Secret that carries our labels; undefined when nothing in it says what it is of. `sent` are the data that it
 * should hold, as it was just written: when it does, their digest is known.
 */
export function readSecret(
  key: Secret,
  { metadata, data }: KubeObject,
  sent?: Sent,
): SeenSecret | undefined {
  const { name, uid = '', resourceVersion = '', creationTimestamp = '', annotations } = metadata
  const all = Object.entries(textsIn(data)).filter(([one]) => OURS.has(one))
  const ids = parseSource(annotations?.[SOURCE]) ?? idsIn(new Map(all))
  if (ids === undefined) return undefined
  const source = annotations?.[SOURCE] ?? ''
  const written = annotations?.[HASH]
  const values = holds(all, sent?.data) ? sent.values : digestOfData(key, all)
  const revision = revisionIn(new Map(all))
  const orphanedSince = annotations?.[ORPHANED_SINCE]
  const titles = { application: annotations?.[APPLICATION], bundle: annotations?.[BUNDLE] }
  const intact = values === written && revision > 0 && orphanedSince === undefined
  return {
    key: bindingKey({ id: ids.bundle }),
    owner: { slice: 'applications', ...ids },
    name,
    digest: intact ? digestOf(key, { source, titles, values }) : DRIFTED,
    credentialed: all.some(([one]) => isCredentialKey(one)),
    ...{ uid, resourceVersion, createdAt: creationTimestamp, values, written, revision },
    type: textOfBase64(new Map(all).get('type') ?? ''),
    titles: { application: titles.application ?? '', bundle: titles.bundle ?? '' },
    orphanedSince,
    leaveAlone: isReconcileDisabled(metadata),
    keep: isPruneDisabled(metadata),
    going: isGoing(metadata),
  }
}

type Sent = { data: unknown; values: string }

function holds(all: BindingData, sent: unknown): sent is object {
  const wanted = textsIn(sent)
  const given = Object.values(wanted).length
  return given > 0 && given === all.length && all.every(([key, value]) => wanted[key] === value)
}

/** What {@link readSecret} finds when the binding was written: keyed, as people can see it. */
export function digestOfBinding(key: Secret, { ids, titles, values }: Binding): string {
  return digestOf(key, { source: sourceOf(ids), titles, values })
}

type Told = { source: string; titles: { [K in keyof Titles]: string | undefined }; values: string }

function digestOf(key: Secret, { source, titles, values }: Told): string {
  return hmac(key, JSON.stringify([source, titles.application, titles.bundle, values]))
}

/** Keyed digest of values, whatever their order, the revision excepted. */
export function digestOfData(key: Secret, data: BindingData): string {
  const values = data.filter(([name]) => name !== REVISION)
  return hmac(key, JSON.stringify(values.toSorted(([a], [b]) => (a < b ? -1 : 1))))
}

/** Only the first id is escaped, as the second may hold what it likes. */
function sourceOf({ application, bundle }: Binding['ids']): string {
  const first = application.replaceAll('%', '%25').replaceAll('/', '%2F')
  return `${first}/${bundle}`.toWellFormed()
}

function parseSource(source = ''): Binding['ids'] | undefined {
  const at = source.indexOf('/')
  if (at < 0) return undefined
  const application = source.slice(0, at).replaceAll('%2F', '/').replaceAll('%25', '%')
  return { application, bundle: source.slice(at + 1) }
}

/** Where somebody took the annotation away. */
function idsIn(data: ReadonlyMap<string, string>): Binding['ids'] | undefined {
  const [application, bundle] = [data.get('ucl-application-id'), data.get('ucl-bundle-id')]
  if (application === undefined || bundle === undefined) return undefined
  return { application: textOfBase64(application), bundle: textOfBase64(bundle) }
}

/** 0: none that we wrote. */
function revisionIn(data: ReadonlyMap<string, string>): number {
  const text = textOfBase64(data.get(REVISION) ?? '')
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : 0
}

function textsIn(data: unknown): Record<string, string> {
  if (typeof data !== 'object' || data === null) return {}
  return Object.fromEntries(
    Object.entries(data).flatMap(([key, value]): [string, string][] =>
      typeof value === 'string' ? [[key, value]] : [],
    ),
  )
}

/** Where a Secret is written, and whose it is. */
export type Place = { namespace: string; mark: ClusterMark }

/** The Secret of a binding that has none yet. */
export function newSecret(name: string, binding: Binding, { namespace, mark }: Place): KubeObject {
  const data = binding.data()
  const type = textOfBase64(new Map(data).get('type') ?? '')
  return {
    apiVersion: apiVersionOf(SECRETS),
    kind: SECRETS.kind,
    metadata: {
      name,
      namespace,
      labels: markLabels(mark),
      annotations: annotationsOf(binding),
    },
    type: `servicebinding.io/${type}`,
    data: Object.fromEntries([...data, [REVISION, toBase64('1')]]),
  }
}

/** What turns the Secret that was seen into that of the binding. */
export function changeOfSecret(seen: SeenSecret, binding: Binding): Record<string, unknown> {
  const { values } = binding
  // A repaired Secret says nothing new to its readers, nor does one under a new digest key.
  const known = seen.written === values || seen.values === values
  const revision = Math.max(1, known ? seen.revision : seen.revision + 1)
  return {
    metadata: {
      resourceVersion: seen.resourceVersion,
      annotations: { ...annotationsOf(binding), [ORPHANED_SINCE]: null },
    },
    data: {
      ...Object.fromEntries(BINDING_KEYS.map((key) => [key, null])),
      ...Object.fromEntries([...binding.data(), [REVISION, toBase64(String(revision))]]),
    },
  }
}

/** What marks the Secret that was seen as one that would go. */
export function orphaned({ resourceVersion }: SeenSecret, since: string): Record<string, unknown> {
  return { metadata: { resourceVersion, annotations: { [ORPHANED_SINCE]: since } } }
}

function annotationsOf({ ids, titles, values }: Binding): Metadata['annotations'] & object {
  return {
    [SOURCE]: sourceOf(ids),
    [HASH]: values,
    [APPLICATION]: titles.application,
    [BUNDLE]: titles.bundle,
  }
}
