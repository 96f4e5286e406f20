import { AgentError } from '../../model/problem.ts'
import type { KubeObject, Kubernetes, Ref, Resource } from './api.ts'
import { apiVersionOf } from './api.ts'
import { deniedOf } from './access.ts'
import { decodeObject } from './decode.ts'
import { isAbsent } from './errors.ts'
import { listAll } from './list.ts'
import { nameOf } from './path.ts'
import { watchAll } from './watch.ts'
import type { Wire, WireRequest } from './wire.ts'

/*
 * The port over a wire. What must stay true: each method is one request (list: one a page), nothing is tried again here,
 * and no object that was handed in is changed.
 */

const MANAGER = 'runtime-agent'

/** The verb of a message, the method, and what it sends. */
type Write = Pick<WireRequest, 'method' | 'body'> & {
  verb: string
  contentType?: string
  /** Whether the path names the object. */
  named: boolean
  force?: boolean | undefined
  dryRun?: boolean | undefined
}

/** The Kubernetes API over a wire, which it closes with itself. */
export function kubernetesOver(wire: Wire): Kubernetes {
  async function write(
    resource: Resource,
    ref: Ref,
    { verb, method, body, contentType, named, force, dryRun = false }: Write,
    signal: AbortSignal,
  ): Promise<KubeObject> {
    const what = `${verb} ${nameOf(resource, ref)}`
    const answer = await wire.send({
      method,
      resource,
      place: placeOf(resource, ref, named),
      what,
      query: { fieldManager: MANAGER, force, dryRun: dryRun ? 'All' : undefined },
      body,
      ...(contentType === undefined ? {} : { contentType }),
      signal,
    })
    return decodeObject(answer, resource, `${what} at ${wire.host}`)
  }

  return {
    host: wire.host,
    namespace: wire.namespace,
    async get(resource, ref, signal) {
      const what = `read ${nameOf(resource, ref)}`
      const place = placeOf(resource, ref, true)
      try {
        const answer = await wire.send({ method: 'GET', resource, place, what, signal })
        return decodeObject(answer, resource, `${what} at ${wire.host}`)
      } catch (thrown) {
        if (isAbsent(thrown)) return undefined
        throw thrown
      }
    },
    list: (resource, scope, signal) => listAll(wire, resource, scope, signal),
    create(resource, object, signal, options = {}) {
      const body = complete(resource, object)
      const how = { verb: 'create', method: 'POST', body, named: false, ...options } as const
      return write(resource, object.metadata, how, signal)
    },
    apply(resource, object, signal, options = {}) {
      const body = complete(resource, object)
      const contentType = 'application/apply-patch+yaml'
      const how = { verb: 'apply', method: 'PATCH', body, contentType, named: true } as const
      return write(resource, object.metadata, { ...how, ...options }, signal)
    },
    merge(resource, ref, patch, signal, options = {}) {
      const contentType = 'application/merge-patch+json'
      const how = {
        verb: 'change',
        method: 'PATCH',
        body: patch,
        contentType,
        named: true,
      } as const
      return write(resource, ref, { ...how, ...options }, signal)
    },
    replace(resource, object, signal) {
      const body = complete(resource, object)
      const how = { verb: 'replace', method: 'PUT', body, named: true } as const
      return write(resource, object.metadata, how, signal)
    },
    async remove(resource, ref, preconditions, signal) {
      const what = `remove ${nameOf(resource, ref)}`
      const place = placeOf(resource, ref, true)
      const body = { ...DELETE_OPTIONS, preconditions }
      try {
        await wire.send({ method: 'DELETE', resource, place, what, body, signal })
        return true
      } catch (thrown) {
        if (isAbsent(thrown)) return false
        throw thrown
      }
    },
    watch: (resource, scope, signal) => watchAll(wire, resource, scope, signal),
    denied: (rights, signal) => deniedOf(wire, rights, signal),
    close: () => wire.close(),
  }
}

const DELETE_OPTIONS = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' }

function placeOf(
  resource: Resource,
  { name, namespace }: Ref,
  named: boolean,
): WireRequest['place'] {
  if (resource.namespaced !== (namespace !== undefined)) {
    const why = resource.namespaced ? 'it needs a namespace' : 'it has no namespace'
    throw new AgentError('internal', `Cannot address ${nameOf(resource, { name })}: ${why}`)
  }
  return { namespace, ...(named ? { name } : {}) }
}

/** As the API wants it: with its kind, and without the record of who owns what, which only the server keeps. */
function complete(resource: Resource, object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata
  return { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind, metadata }
}
