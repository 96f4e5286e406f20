import { digestOf } from '../model/digest.ts'
import type { Secret } from '../model/secret.ts'
import type { Owner, RenderedObject } from '../model/target.ts'

/** The kinds that may be written, with the one apiVersion that daprd reads of each. Never a Configuration. */
export const DAPR_KINDS = {
  Component: 'dapr.io/v1alpha1',
  HTTPEndpoint: 'dapr.io/v1alpha1',
  Subscription: 'dapr.io/v2alpha1',
  Resiliency: 'dapr.io/v1alpha1',
} as const

export type DaprKind = keyof typeof DAPR_KINDS

export type Json = null | boolean | number | string | Json[] | JsonMap
export type JsonMap = { [key: string]: Json }

/** A document as daprd reads it: secrets are referred to, never in it. */
export type DaprDocument = {
  apiVersion: string
  kind: DaprKind
  metadata: { name: string; labels?: JsonMap; annotations?: JsonMap }
  spec: JsonMap
  auth?: { secretStore: string }
  scopes?: string[]
}

/** The values that one or more documents refer to by `secretKeyRef: {name, key}`. */
export type DaprSecret = { name: string; values: Readonly<Record<string, Secret>> }

/** What is applied of one object: a document and, where it refers to one of ours, its secret. No file and no cluster. */
export class DaprContent {
  readonly document: DaprDocument
  readonly secret: DaprSecret | undefined

  constructor(document: DaprDocument, secret?: DaprSecret) {
    this.document = document
    this.secret = secret
  }

  /** Changes with the document and with every value that it refers to. Hashes secrets without a key: it stays with us. */
  digest(): string {
    const { document, secret } = this
    const refs = secretRefs(document.spec).filter(({ name }) => name === secret?.name)
    return digestOf({ document, values: refs.map(({ key }) => secret?.values[key]) })
  }
}

/** `Component ucl-crm`: names are unique for each kind. */
export function titleOf({ kind, metadata }: DaprDocument): string {
  return `${kind} ${metadata.name}`
}

/** The object of a document. */
export function daprObject(
  key: string,
  owner: Owner,
  content: DaprContent,
): RenderedObject<DaprContent> {
  const credentialed = content.secret !== undefined
  const { name } = content.document.metadata
  return { key, owner, name, digest: content.digest(), content, credentialed }
}

/** All `secretKeyRef` of a document, wherever they stand. */
export function secretRefs(value: Json): { name: string; key: string }[] {
  if (value === null || typeof value !== 'object') return []
  if (Array.isArray(value)) return value.flatMap(secretRefs)
  return Object.entries(value).flatMap(([key, member]) => {
    if (key !== 'secretKeyRef') return secretRefs(member)
    const ref = isMap(member) ? member : {}
    const [name, of] = [ref['name'], ref['key']]
    return typeof name === 'string' && name !== ''
      ? [{ name, key: typeof of === 'string' && of !== '' ? of : name }]
      : []
  })
}

export function isMap(value: Json | undefined): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
