import { problem } from '../model/problem.ts'
import type {
  ConfigDocument,
  Observed,
  Owner,
  Rendered,
  RenderedObject,
  SourceProblem,
} from '../model/target.ts'
import { FileSet } from './file-set.ts'
import type { RenderedFile } from './file-set.ts'
import { yamlText } from './yaml-text.ts'

type Made = { name: string; object: RenderedObject<FileSet> }

export type RenderDocuments = (
  documents: readonly ConfigDocument[],
  observed: Observed,
) => Rendered<FileSet>

/** Documents of the Runtime Director as `config/<kind>/[<namespace>/]<name>.yaml`. Remembers what it made of each. */
export function createDocumentsRender(
  digest: (files: readonly RenderedFile[]) => string,
): RenderDocuments {
  const known = new WeakMap<ConfigDocument, Made>()
  const objectOf = (document: ConfigDocument, name: string): RenderedObject<FileSet> => {
    const before = known.get(document)
    if (before?.name === name) return before.object
    // Made again when it is written, so that no secret stays in memory in between.
    const files = (): RenderedFile[] => [
      { path: `config/${name}.yaml`, private: false, data: yamlText(document.document) },
    ]
    const owner: Owner = { slice: 'configuration', document: document.id }
    const content = new FileSet(files)
    const object = { key: keyOf(document), owner, name, digest: digest(files()), content }
    known.set(document, { name, object })
    return object
  }
  return (documents, observed) => {
    const objects = new Map<string, RenderedObject<FileSet>>()
    const problems: SourceProblem[] = []
    const taken = takenNames(observed)
    for (const document of documents) {
      const name = nameOf(document)
      const holder = taken.get(name)
      if (holder === undefined || holder === keyOf(document)) {
        taken.set(name, keyOf(document))
        objects.set(keyOf(document), objectOf(document, name))
      } else problems.push(nameTaken(document))
    }
    return { objects, problems }
  }
}

/** What is there keeps its place: it may be of another API group. */
function takenNames({ objects }: Observed): Map<string, string> {
  const ours = [...objects.values()].filter(({ owner }) => owner.slice === 'configuration')
  return new Map(ours.map(({ name, key }) => [name, key]))
}

function keyOf({ id }: ConfigDocument): string {
  return `config/${id}`
}

/** From the document alone, so that it never changes. A namespace has no dot: it is never the name of another's file. */
function nameOf({ kind, namespace, name }: ConfigDocument): string {
  return [kind.toLowerCase(), ...(namespace === undefined ? [] : [namespace]), name].join('/')
}

function nameTaken({ id, kind, name }: ConfigDocument): SourceProblem {
  const message = `Cannot publish ${kind} ${name}: another document has the file that this one would get`
  const hint = 'two API groups have a kind of this name: rename one of the documents'
  return {
    owner: { slice: 'configuration', document: id },
    withheld: true,
    problem: problem('name_taken', message, { subject: `${kind} ${name}`, hint, turn: 'operator' }),
  }
}
