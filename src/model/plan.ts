import type {
  Change,
  Desired,
  Observed,
  ObservedObject,
  Owner,
  Rendered,
  RenderedObject,
  SourceProblem,
} from './target.ts'

/**
 * What it takes to make a target look as rendered: creates, updates, deletes last (a renamed thing must not lose its
 * place in between), each in the order of keys.
 *
 * Deleted is only what is ours, is not rendered, belongs to a slice that was completely fetched, and whose source was
 * not withheld. The guard decides afterwards which of the deletions may happen now.
 */
export function planChanges<Content>(
  rendered: Rendered<Content>,
  observed: Observed,
  desired: Desired,
): Change<Content>[] {
  const creates: RenderedObject<Content>[] = []
  const updates: RenderedObject<Content>[] = []
  for (const object of rendered.objects.values()) {
    const there = observed.objects.get(object.key)
    if (there === undefined) creates.push(object)
    else if (there.digest !== object.digest) updates.push(object)
  }
  const withheld = new Set(rendered.problems.filter((p) => p.withheld).flatMap(withheldMark))
  const deletes = [...observed.objects.values()].filter(
    ({ key, owner }) =>
      !rendered.objects.has(key) &&
      desired[owner.slice] !== undefined &&
      !marksOf(owner).some((mark) => withheld.has(mark)),
  )
  if (creates.length + updates.length + deletes.length === 0) return []
  const known = idsOf(desired)
  return [
    ...creates.sort(byKey).map((object) => write('create', object)),
    ...updates.sort(byKey).map((object) => write('update', object)),
    ...deletes.sort(byKey).map((object) => remove(object, known)),
  ]
}

/** What is desired, by id: how the guard and the plan know whether a source vanished or is only rendered otherwise. */
export type KnownIds = {
  applications: ReadonlySet<string>
  bundles: ReadonlySet<string>
  documents: ReadonlySet<string>
}

export function idsOf(desired: Desired): KnownIds {
  const applications = desired.applications ?? []
  return {
    applications: new Set(applications.map(({ id }) => id)),
    bundles: new Set(applications.flatMap(({ bundles }) => bundles.map(({ id }) => id))),
    documents: new Set((desired.configuration ?? []).map(({ id }) => id)),
  }
}

function byKey(a: ObservedObject, b: ObservedObject): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}

function write<Content>(
  kind: 'create' | 'update',
  object: RenderedObject<Content>,
): Change<Content> {
  const { key, owner, name } = object
  return { kind, key, owner, name, object }
}

function remove({ key, owner, name }: ObservedObject, known: KnownIds): Change<never> {
  return { kind: 'delete', key, owner, name, why: whyGone(owner, known) }
}

function whyGone(owner: Owner, known: KnownIds): string {
  if (owner.slice === 'configuration') {
    return known.documents.has(owner.document) ? 'no longer rendered' : 'the document is gone'
  }
  if (!known.applications.has(owner.application)) return 'the application is gone'
  const gone = owner.bundle !== undefined && !known.bundles.has(owner.bundle)
  return gone ? 'the bundle is gone' : 'no longer rendered'
}

/** A withheld application keeps all of its objects, a withheld bundle its own. */
function withheldMark({ owner }: SourceProblem): string[] {
  return marksOf(owner).slice(0, 1)
}

/** From the smallest thing an object belongs to, to the largest. */
function marksOf(owner: Owner): string[] {
  if (owner.slice === 'configuration') return [`document ${owner.document}`]
  const application = `application ${owner.application}`
  return owner.bundle === undefined ? [application] : [`bundle ${owner.bundle}`, application]
}
