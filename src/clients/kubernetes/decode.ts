import { AgentError } from '../../model/problem.ts'
import type { KubeObject, Metadata, OwnerReference, Resource } from './api.ts'
import { apiVersionOf } from './api.ts'

/*
 * From JSON of the API to objects: metadata is checked and reduced to what the port names, all else stays unknown. Values
 * are never in messages. `managedFields` is more than half of a small object: only who is kept, not which fields.
 */

type Members = Record<string, unknown>

/** One object; `what` is as in "read Secret a/b at host" and begins the message of what does not fit. */
export function decodeObject(value: unknown, resource: Resource, what: string): KubeObject {
  if (!isMembers(value)) throw unfit(what, 'it is no object')
  return {
    ...value,
    // Members of a list carry neither.
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    metadata: decodeMetadata(value['metadata'], what),
  }
}

/** A page of a list. */
export function decodePage(
  value: unknown,
  resource: Resource,
  what: string,
): { items: KubeObject[]; resourceVersion: string; next: string | undefined } {
  if (!isMembers(value) || !isMembers(value['metadata'])) throw unfit(what, 'it is no list')
  const { items, metadata } = { items: value['items'] ?? [], metadata: value['metadata'] }
  if (!Array.isArray(items)) throw unfit(what, 'items is no list')
  const resourceVersion = metadata['resourceVersion']
  if (typeof resourceVersion !== 'string') throw unfit(what, 'it has no resourceVersion')
  const next = metadata['continue']
  return {
    items: items.map((item: unknown) => decodeObject(item, resource, what)),
    resourceVersion,
    next: typeof next === 'string' && next !== '' ? next : undefined,
  }
}

function decodeMetadata(value: unknown, what: string): Metadata {
  if (!isMembers(value)) throw unfit(what, 'metadata is no object')
  const name = value['name']
  if (typeof name !== 'string') throw unfit(what, 'metadata.name is no text')
  const metadata: Metadata = { ...value, name }
  for (const key of TEXTS)
    if (metadata[key] !== undefined && typeof metadata[key] !== 'string')
      throw unfit(what, `metadata.${key} is no text`)
  for (const key of ['labels', 'annotations'] as const)
    if (metadata[key] !== undefined && !areTexts(metadata[key]))
      throw unfit(what, `metadata.${key} does not map texts to texts`)
  const owners: unknown = metadata.ownerReferences
  if (owners !== undefined && !(Array.isArray(owners) && owners.every(isOwner)))
    throw unfit(what, 'metadata.ownerReferences is no list of references')
  const managers: unknown = metadata.managedFields
  if (managers !== undefined) metadata.managedFields = decodeManagers(managers)
  return metadata
}

const TEXTS = [
  'namespace',
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'deletionTimestamp',
] as const

function isOwner(value: unknown): value is OwnerReference {
  return (
    isMembers(value) &&
    ['apiVersion', 'kind', 'name', 'uid'].every((key) => typeof value[key] === 'string')
  )
}

function decodeManagers(value: unknown): NonNullable<Metadata['managedFields']> {
  if (!Array.isArray(value)) return []
  return value.filter(isMembers).map(({ manager, operation }) => ({
    ...(typeof manager === 'string' ? { manager } : {}),
    ...(typeof operation === 'string' ? { operation } : {}),
  }))
}

function areTexts(value: unknown): boolean {
  return isMembers(value) && Object.values(value).every((one) => typeof one === 'string')
}

/** A JSON object. */
export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unfit(what: string, why: string): AgentError {
  return new AgentError('answer_malformed', `Cannot ${what}: the answer does not fit: ${why}`)
}
