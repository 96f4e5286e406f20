import { digestOf } from '../model/digest.ts'
import { bindingName, slugWithId } from '../model/names.ts'
import type { Application } from '../model/application.ts'
import type {
  ConfigDocument,
  ObservedObject,
  Owner,
  Plan,
  RenderedObject,
} from '../model/target.ts'
import type { Target } from './target.ts'

export type MemoryTarget = Target & {
  /** What the target holds; a test may change it behind the back of the target. */
  readonly objects: Map<string, ObservedObject>
  /** How many objects were created, updated or deleted so far. */
  readonly writes: number
}

/** @testing A target that keeps its objects in memory: the simplest that keeps the contract. */
export function openMemory(name: string): MemoryTarget {
  const objects = new Map<string, ObservedObject>()
  let writes = 0
  return {
    name,
    kind: 'memory',
    slices: ['applications', 'configuration'],
    objects,
    get writes() {
      return writes
    },
    observe: () => Promise.resolve({ objects: new Map(objects) }),
    render: ({ applications = [], configuration = [] }, observed) => {
      const rendered = [
        ...applications.flatMap((application) =>
          objectsOf(application, (key, wish) => observed.objects.get(key)?.name ?? wish),
        ),
        ...configuration.map(objectOfDocument),
      ]
      return { objects: new Map(rendered.map((object) => [object.key, object])), problems: [] }
    },
    apply: ({ changes }: Plan) => {
      for (const change of changes) {
        writes += 1
        if (change.kind === 'delete') objects.delete(change.key)
        else objects.set(change.key, withoutContent(change.object))
      }
      return Promise.resolve(changes.map(({ key }) => ({ key, outcome: 'applied' })))
    },
  }
}

type Naming = (key: string, wish: string) => string

function objectsOf(application: Application, nameOf: Naming): RenderedObject<null>[] {
  const { id, name, bundles } = application
  const owner: Owner = { slice: 'applications', application: id }
  const own = bundles.map(({ id: bundle }) => bundle)
  const object = (key: string, of: Owner, wish: string, content: unknown) => {
    return { key, owner: of, name: nameOf(key, wish), digest: digestOf(content), content: null }
  }
  return [
    object(`application/${id}`, owner, slugWithId(name, id), { ...application, bundles: own }),
    ...bundles.map(({ authMissingSince: _, ...bundle }) => ({
      ...object(
        `binding/${bundle.id}`,
        { ...owner, bundle: bundle.id },
        bindingName(name, bundle),
        bundle,
      ),
      credentialed: bundle.auth !== undefined,
    })),
  ]
}

function objectOfDocument({ id, document }: ConfigDocument): RenderedObject<null> {
  const owner: Owner = { slice: 'configuration', document: id }
  return { key: `config/${id}`, owner, name: id, digest: digestOf(document), content: null }
}

function withoutContent(object: RenderedObject): ObservedObject {
  const { key, owner, name, digest, credentialed = false } = object
  return { key, owner, name, digest, credentialed }
}
