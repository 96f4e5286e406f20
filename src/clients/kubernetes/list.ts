import { AgentError } from '../../model/problem.ts'
import type { KubeObject, Listed, Resource, Scope } from './api.ts'
import { decodePage } from './decode.ts'
import { isGone } from './errors.ts'
import { manyOf } from './path.ts'
import type { Wire } from './wire.ts'

const PAGE = 500
const SMALLEST_PAGE = 5
const TRIES = 3
const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json'

/**
 * All objects of a scope as of one moment, page by page. The server keeps that moment for some minutes: when it has
 * forgotten it in between (410), nothing that was read counts and the list begins anew. A page that is larger than one
 * answer may be (64 MiB) is asked for in smaller ones.
 */
export async function listAll(
  wire: Wire,
  resource: Resource,
  scope: Scope,
  signal: AbortSignal,
): Promise<Listed> {
  for (let tries = 1; ; tries++) {
    try {
      return await listOnce(wire, resource, scope, signal)
    } catch (thrown) {
      if (!isGone(thrown) || tries === TRIES) throw thrown
    }
  }
}

async function listOnce(
  wire: Wire,
  resource: Resource,
  scope: Scope,
  signal: AbortSignal,
): Promise<Listed> {
  const items: KubeObject[] = []
  let limit = PAGE
  let next: string | undefined
  for (;;) {
    const what = `list ${manyOf(resource, scope.namespace)}`
    const page = await wire
      .send({
        method: 'GET',
        resource,
        place: { namespace: scope.namespace },
        what,
        query: {
          limit,
          labelSelector: scope.labels,
          fieldSelector: scope.fields,
          continue: next,
        },
        ...(scope.only === 'metadata' ? { accept: METADATA } : {}),
        signal,
      })
      .catch((thrown: unknown) => {
        if (!isTooLarge(thrown) || limit <= SMALLEST_PAGE) throw thrown
        return undefined
      })
    if (page === undefined) {
      limit /= 10
      continue
    }
    const decoded = decodePage(page, resource, `${what} at ${wire.host}`)
    // The server sends who owns what along with metadata, at several times its size.
    if (scope.only === 'metadata')
      for (const { metadata } of decoded.items) delete metadata.managedFields
    items.push(...(scope.keep === undefined ? decoded.items : decoded.items.map(scope.keep)))
    next = decoded.next
    if (next === undefined) return { items, resourceVersion: decoded.resourceVersion }
  }
}

function isTooLarge(thrown: unknown): boolean {
  return thrown instanceof AgentError && thrown.code === 'answer_too_large'
}
