import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Observed, Owner, RenderedObject, SourceProblem } from '../model/target.ts'
import { secretRefs, titleOf } from './dapr-document.ts'
import type { DaprContent, DaprDocument } from './dapr-document.ts'
import { surroundingsOf } from './dapr-rules.ts'
import type { DaprRules, DaprSurroundings } from './dapr-rules.ts'
import { yamlOf } from './dapr-yaml.ts'

/*
 * What daprd does not forgive, asked of every document before it is written: a name that is there twice ends it, a document
 * of 64 KiB hangs it, a reference that leads nowhere becomes an empty password (observed-dapr.md). A source one of whose
 * documents does not pass is withheld as a whole.
 */

export type DaprObject = RenderedObject<DaprContent>

/** From 64 KiB on daprd hangs; the rest is room for what a head adds. */
const DOCUMENT_LIMIT = 60 * 1024

export type Passed = { objects: DaprObject[]; problems: SourceProblem[] }

export function preflight(
  all: readonly DaprObject[],
  observed: Observed,
  rules: DaprRules,
): Passed {
  const around = surroundingsOf(observed)
  const holders = holdersOf(all, observed)
  const stores = storesAmong(all)
  const faults = new Map<string, { owner: Owner; why: Problem }>()
  for (const object of all) {
    const source = sourceOf(object.owner)
    const why = faultOf(object, { around, holders, stores, rules })
    if (why !== undefined && !faults.has(source)) faults.set(source, { owner: object.owner, why })
  }
  return {
    objects: all.filter(({ owner }) => !faults.has(sourceOf(owner))),
    problems: [...faults.values()].map(({ owner, why }) => ({
      owner,
      problem: why,
      withheld: true,
    })),
  }
}

type Scene = {
  around: DaprSurroundings
  /** Who has a name. */
  holders: ReadonlyMap<string, DaprObject>
  stores: ReadonlySet<string>
  rules: DaprRules
}

function faultOf(object: DaprObject, scene: Scene): Problem | undefined {
  const { document, secret } = object.content
  const title = titleOf(document)
  const refuse = (why: string): Problem =>
    problem('document_refused', `Cannot give ${title} to Dapr: ${why}`, { subject: title })
  const where = scene.around.taken.get(title)
  if (where !== undefined) return nameTaken(title, `${where} defines it`)
  if (scene.holders.get(title) !== object) return nameTaken(title, 'another source has the name')
  const marks = JSON.stringify([object.key, object.owner])
  const size = new TextEncoder().encode(yamlOf(document) + marks.repeat(2)).length
  if (size > DOCUMENT_LIMIT)
    return refuse(`it has ${size} bytes, and daprd hangs for ever from 65536 on`)
  const lost = secretRefs(document.spec).find(({ name, key }) =>
    secret?.name === name ? !Object.hasOwn(secret.values, key) : !isKnown(document, scene),
  )
  if (lost === undefined) return undefined
  return refuse(
    `its secret ${lost.name}/${lost.key} is in no store that is known here, and daprd would go on with an empty value`,
  )
}

/** Whether a reference that is not to one of our secrets leads into a store that will be there. */
function isKnown({ auth }: DaprDocument, { around, stores, rules }: Scene): boolean {
  const store = auth?.secretStore
  if (store === undefined || store === '') return rules.store === undefined
  return store !== rules.store && (stores.has(store) || around.stores.has(store))
}

/** Of several that want one name the one that has it already, else the first. */
function holdersOf(all: readonly DaprObject[], { objects }: Observed): Map<string, DaprObject> {
  const holders = new Map<string, DaprObject>()
  for (const object of all) {
    const title = titleOf(object.content.document)
    if (!holders.has(title) || objects.has(object.key)) holders.set(title, object)
  }
  return holders
}

function storesAmong(all: readonly DaprObject[]): Set<string> {
  const documents = all.map(({ content }) => content.document)
  return new Set(documents.filter(isStore).map(({ metadata }) => metadata.name))
}

export function isStore({ kind, spec }: Pick<DaprDocument, 'kind' | 'spec'>): boolean {
  const { type } = spec
  return kind === 'Component' && typeof type === 'string' && type.startsWith('secretstores.')
}

function nameTaken(title: string, why: string): Problem {
  return problem('name_taken', `Cannot give ${title} to Dapr: ${why}`, {
    subject: title,
    hint: 'two of one name end daprd: rename one of them; the one that was there first stays',
  })
}

function sourceOf(owner: Owner): string {
  return owner.slice === 'configuration'
    ? `document ${owner.document}`
    : `bundle ${owner.bundle ?? ''} of ${owner.application}`
}
