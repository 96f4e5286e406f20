import { APPLICATIONS, SECRETS, apiVersionOf } from '../clients/kubernetes/api.ts'
import type { KubeObject, OwnerReference } from '../clients/kubernetes/api.ts'
import type { Auth, Multimap } from '../model/application.ts'
import type { Secret } from '../model/secret.ts'
import { toBase64 } from '../runtime/base64.ts'
import { hmac } from '../runtime/keys.ts'
import { isGoing, isPruneDisabled, isReconcileDisabled } from './cluster-objects.ts'
import { goJson } from './kyma-json.ts'
import { labelOf, secretName } from './kyma-names.ts'
import type { SecretPart } from './kyma-names.ts'

/*
 * The Secrets of a bundle as the live Go agent writes them (reference/go-agent.md §8): one with credentials, one with
 * headers and query parameters. They carry no mark of ours: names, labels and owner say whose they are.
 *
 * They are created by POST and changed by a merge patch of the version that was read: an apply would merge into a foreign
 * Secret of the same name, and could not take away a key that a POST or the Go agent wrote.
 */

const APP = 'app'
/** Also what selects them in a list. */
export const BUNDLE_ID = 'bundleId'

/** Keys that are ours in a Secret; people may add others, which stay. */
const KEYS: Record<SecretPart, ReadonlySet<string>> = {
  credentials: new Set(['username', 'password', 'clientId', 'clientSecret']),
  parameters: new Set(['headers', 'queryParameters']),
}

export type SecretEntry = readonly [key: string, base64: string]

/** Of which bundle, and for which CR. */
export type SecretIds = { part: SecretPart; application: string; bundleId: string }

/** User and password, or client id and secret, when both halves are there. */
export function credentialEntries(auth: Auth | undefined): SecretEntry[] | undefined {
  const credential = auth?.credential
  const pairs: [string, Secret][] =
    credential?.type === 'basic'
      ? [
          ['username', credential.username],
          ['password', credential.password],
        ]
      : credential?.type === 'oauth'
        ? [
            ['clientId', credential.clientId],
            ['clientSecret', credential.clientSecret],
          ]
        : []
  if (pairs.length === 0 || pairs.some(([, secret]) => secret.isEmpty)) return undefined
  return pairs.map(([key, secret]) => [key, base64(secret.reveal())])
}

/** Both maps where they are not null, as long as one of them has an entry. */
export function parameterEntries(auth: Auth | undefined): SecretEntry[] | undefined {
  const { headers, queryParams } = auth ?? {}
  const isFilled = [headers, queryParams].some((map) => map && Object.keys(map).length > 0)
  if (!isFilled) return undefined
  const entry = (key: string, map: Multimap | undefined): SecretEntry[] =>
    map === undefined ? [] : [[key, base64(goJson(map))]]
  return [...entry('headers', headers), ...entry('queryParameters', queryParams)]
}

function base64(text: string): string {
  return toBase64(text.toWellFormed())
}

/** A Secret as it should be. Its values are made when they are sent, so that none stays in memory in between. */
export class SecretWish {
  /** Name of the application in Compass. */
  readonly title: string
  readonly ids: SecretIds
  readonly #entries: () => SecretEntry[]

  constructor(title: string, ids: SecretIds, entries: () => SecretEntry[]) {
    this.title = title
    this.ids = ids
    this.#entries = entries
  }

  get name(): string {
    return secretName(this.ids.part, this.ids.application, this.ids.bundleId)
  }

  entries(): SecretEntry[] {
    return this.#entries()
  }

  toJSON(): string {
    return '[secret]'
  }
}

/** A Secret of ours as it is, without what it holds. */
export type SeenSecret = SecretIds & {
  name: string
  uid: string
  resourceVersion: string
  createdAt: string
  digest: string
  /** Of those keys that are ours, the ones that it has. */
  keys: string[]
  owners: OwnerReference[]
  /** A person wants it left as it is, or kept. */
  leaveAlone: boolean
  keep: boolean
}

/** Undefined when its name is not the one that the Go agent and we give to what its labels and owner say. */
export function readSecret(digestKey: Secret, object: KubeObject): SeenSecret | undefined {
  const { name, uid = '', resourceVersion = '', creationTimestamp = '' } = object.metadata
  const { labels = {}, ownerReferences: owners = [] } = object.metadata
  const ids = idsOf(name, labels, owners)
  if (ids === undefined) return undefined
  const entries = entriesIn(object['data']).filter(([key]) => KEYS[ids.part].has(key))
  return {
    ...ids,
    ...{ name, uid, resourceVersion, createdAt: creationTimestamp, owners },
    keys: entries.map(([key]) => key),
    leaveAlone: isReconcileDisabled(object.metadata),
    keep: isGoing(object.metadata) || isPruneDisabled(object.metadata),
    digest: digestOf(digestKey, [
      labels[APP],
      labels[BUNDLE_ID],
      owners.filter(isApplication).map((owner) => [owner.name, owner.uid]),
      entries,
    ]),
  }
}

/** What {@link readSecret} finds when the Secret is as wished and belongs to the CR of this uid. */
export function digestOfWish(digestKey: Secret, wish: SecretWish, uid: string): string {
  const { application, bundleId } = wish.ids
  return digestOf(digestKey, [
    labelOf(application),
    bundleId,
    [[application, uid]],
    wish.entries().toSorted(byKey),
  ])
}

/** Keyed, as a hash of a short password can be guessed. */
function digestOf(digestKey: Secret, content: unknown): string {
  return hmac(digestKey, JSON.stringify(content))
}

function idsOf(
  name: string,
  labels: Record<string, string>,
  owners: readonly OwnerReference[],
): SecretIds | undefined {
  const bundleId = labels[BUNDLE_ID]
  if (bundleId === undefined) return undefined
  const candidates = [...owners.filter(isApplication).map((owner) => owner.name), labels[APP]]
  const parts: SecretPart[] = ['credentials', 'parameters']
  for (const application of candidates.filter((one) => one !== undefined))
    for (const part of parts)
      if (name === secretName(part, application, bundleId)) return { part, application, bundleId }
  return undefined
}

function isApplication({ apiVersion, kind }: OwnerReference): boolean {
  return kind === APPLICATIONS.kind && apiVersion.startsWith(`${APPLICATIONS.group}/`)
}

function entriesIn(data: unknown): SecretEntry[] {
  if (typeof data !== 'object' || data === null) return []
  const texts = Object.entries(data).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return texts.sort(byKey)
}

function byKey([a]: SecretEntry, [b]: SecretEntry): number {
  return a < b ? -1 : 1
}

/** Where it is not there yet. `uid`: of the CR that owns it. */
export function newSecret(wish: SecretWish, namespace: string, uid: string): KubeObject {
  return {
    apiVersion: apiVersionOf(SECRETS),
    kind: SECRETS.kind,
    metadata: {
      name: wish.name,
      namespace,
      labels: labelsOf(wish),
      ownerReferences: [ownerOf(wish.ids.application, uid)],
    },
    type: 'Opaque',
    data: Object.fromEntries(wish.entries()),
  }
}

/** What turns the Secret that was seen into the one wished, and nothing else of it. */
export function changeOfSecret(
  seen: Pick<SeenSecret, 'uid' | 'resourceVersion' | 'keys' | 'owners'>,
  wish: SecretWish,
  uid: string,
): Record<string, unknown> {
  const gone = seen.keys.map((key): [string, null] => [key, null])
  const others = seen.owners.filter((owner) => !isApplication(owner))
  return {
    metadata: {
      uid: seen.uid,
      resourceVersion: seen.resourceVersion,
      labels: labelsOf(wish),
      ownerReferences: [...others, ownerOf(wish.ids.application, uid)],
    },
    data: Object.fromEntries([...gone, ...wish.entries()]),
  }
}

/** Of a Secret that lost what tells {@link readSecret} whose it is; undefined when nothing says that it is ours. */
export function readBereft(object: KubeObject, { part, application, bundleId }: SecretIds) {
  const { uid = '', resourceVersion = '', labels = {}, ownerReferences = [] } = object.metadata
  const ours =
    labels[APP] === labelOf(application) ||
    labels[BUNDLE_ID] === bundleId ||
    ownerReferences.some((owner) => isApplication(owner) && owner.name === application)
  if (!ours) return undefined
  const keys = entriesIn(object['data']).map(([key]) => key)
  return {
    ...{ uid, resourceVersion, owners: ownerReferences },
    keys: keys.filter((key) => KEYS[part].has(key)),
  }
}

function labelsOf({ ids: { application, bundleId } }: SecretWish): Record<string, string> {
  return { [APP]: labelOf(application), [BUNDLE_ID]: bundleId }
}

function ownerOf(name: string, uid: string): OwnerReference {
  return { apiVersion: apiVersionOf(APPLICATIONS), kind: APPLICATIONS.kind, name, uid }
}
