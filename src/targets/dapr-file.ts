import type { Owner } from '../model/target.ts'
import type { Mark } from './files-manifest.ts'
import { DAPR_KINDS, isMap } from './dapr-document.ts'
import type { DaprDocument, DaprKind, JsonMap } from './dapr-document.ts'
import { readDocument, splitDocuments, yamlOf } from './dapr-yaml.ts'

/*
 * The one file of ours in a directory of resources, as text. Its head says whose it is, annotations say what each document
 * is made from: the file alone tells what we own, so that nothing is lost with the state directory.
 *
 *   # managed-by: runtime-agent runtime=6f1c… agent=default generation=42
 *   # What is changed here by hand is put back.
 *   apiVersion: …      the secret store, when there are secrets; then one document an object, in the order of keys
 *   ---
 */

const MARK = 'runtime-agent.kyma-project.io'

/** One object in the file. */
export type FileObject = { key: string; owner: Owner; document: DaprDocument }

export type DaprFile = Mark & {
  generation: number
  /** Path of the secrets; missing when no document has any. */
  secretsFile?: string
  objects: FileObject[]
}

/** Readable by everybody: it holds no secret, and one that daprd cannot read ends it at the next change of anything. */
export const RESOURCES_MODE = 0o644

export type FileRules = { store: string; scopes: readonly string[] }

export function encodeFile(file: DaprFile, rules: FileRules): string {
  const { runtimeId, agent, generation, secretsFile } = file
  const head = `# managed-by: runtime-agent runtime=${encodeURIComponent(runtimeId)} agent=${encodeURIComponent(agent)} generation=${generation}
# What is changed here by hand is put back.
`
  const sorted = file.objects.toSorted((a, b) => (a.key < b.key ? -1 : 1))
  const documents = [
    ...(secretsFile === undefined ? [] : [storeDocument(secretsFile, rules)]),
    ...sorted.map(marked),
  ]
  return head + documents.map((document) => yamlOf({ ...document })).join('---\n')
}

/** Where daprd finds the values: the path changes with them, as daprd looks at nothing else. */
export function storeDocument(secretsFile: string, { store, scopes }: FileRules): JsonMap {
  return {
    apiVersion: DAPR_KINDS.Component,
    kind: 'Component',
    metadata: { name: store },
    spec: {
      type: 'secretstores.local.file',
      version: 'v1',
      ignoreErrors: true,
      metadata: [
        { name: 'secretsFile', value: secretsFile },
        { name: 'multiValued', value: 'true' },
      ],
    },
    ...(scopes.length === 0 ? {} : { scopes: [...scopes] }),
  }
}

function marked({ key, owner, document }: FileObject): JsonMap {
  const { metadata } = document
  const annotations = { ...metadata.annotations, ...marksOf(key, owner) }
  return { ...document, metadata: { ...metadata, annotations } }
}

function marksOf(key: string, owner: Owner): JsonMap {
  const ids =
    owner.slice === 'configuration'
      ? { [`${MARK}/document`]: owner.document }
      : {
          [`${MARK}/application`]: owner.application,
          ...(owner.bundle === undefined ? {} : { [`${MARK}/bundle`]: owner.bundle }),
        }
  return { [`${MARK}/key`]: key, ...ids }
}

export type DecodedFile = DaprFile & {
  /** Objects as they were written; those that are missing here were changed since. */
  intact: ReadonlySet<string>
}

/** Undefined: the file does not begin as ours do. Documents that cannot be read are left out. */
export function decodeFile(text: string, rules: FileRules): DecodedFile | undefined {
  const head = HEAD.exec(text)
  if (head === null) return undefined
  const [, runtimeId = '', agent = '', generation = ''] = head
  const file: DaprFile = {
    runtimeId: decoded(runtimeId),
    agent: decoded(agent),
    generation: Number(generation),
    objects: [],
  }
  for (const part of splitDocuments(text)) {
    const document = readDocument(part)
    const object = document && objectOf(document)
    if (object !== undefined) file.objects.push(object)
    else if (document !== undefined && nameOf(document) === rules.store) {
      const path = pathIn(document)
      if (path !== undefined) file.secretsFile = path
    }
  }
  return { ...file, intact: intactIn(text, file, rules) }
}

const HEAD = /^# managed-by: runtime-agent runtime=(\S*) agent=(\S*) generation=(\d{1,15})\n/

/** Whose file it is; undefined when it is none of an agent. */
export function readHead(text: string): Mark | undefined {
  const [found, runtimeId = '', agent = ''] = HEAD.exec(text) ?? []
  return found === undefined ? undefined : { runtimeId: decoded(runtimeId), agent: decoded(agent) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}

/** By its text. A document that differs is told by itself; when all are as they were, it is something else that was changed. */
function intactIn(text: string, file: DaprFile, rules: FileRules): Set<string> {
  const keys = new Set(file.objects.map(({ key }) => key))
  if (keys.size === file.objects.length && encodeFile(file, rules) === text) return keys
  const parts = new Set(splitDocuments(text).map((part) => part.replace(/^(#.*\n)+/, '').trimEnd()))
  const same = file.objects.filter((object) => parts.has(yamlOf(marked(object)).trimEnd()))
  return new Set(same.length < file.objects.length ? same.map(({ key }) => key) : [])
}

function objectOf(document: JsonMap): FileObject | undefined {
  const { kind, metadata } = document
  const annotations = isMap(metadata) ? metadata['annotations'] : undefined
  if (!isMap(annotations) || !isMap(metadata) || !isKind(kind)) return undefined
  const own = (name: string): string | undefined => {
    const value = annotations[`${MARK}/${name}`]
    return typeof value === 'string' ? value : undefined
  }
  const [key, owner] = [own('key'), ownerOf(own)]
  if (key === undefined || owner === undefined || typeof metadata['name'] !== 'string')
    return undefined
  const rest = Object.entries(annotations).filter(([name]) => !name.startsWith(`${MARK}/`))
  const { annotations: _, ...others } = metadata
  const meta = {
    ...others,
    ...(rest.length === 0 ? {} : { annotations: Object.fromEntries(rest) }),
  }
  return { key, owner, document: { ...document, metadata: meta } as unknown as DaprDocument }
}

function ownerOf(own: (name: string) => string | undefined): Owner | undefined {
  const [document, application, bundle] = [own('document'), own('application'), own('bundle')]
  if (document !== undefined) return { slice: 'configuration', document }
  if (application === undefined) return undefined
  return { slice: 'applications', application, ...(bundle === undefined ? {} : { bundle }) }
}

function isKind(kind: unknown): kind is DaprKind {
  return typeof kind === 'string' && Object.hasOwn(DAPR_KINDS, kind)
}

function nameOf({ metadata }: JsonMap): unknown {
  return isMap(metadata) ? metadata['name'] : undefined
}

function pathIn({ spec }: JsonMap): string | undefined {
  const items = isMap(spec) ? spec['metadata'] : undefined
  if (!Array.isArray(items)) return undefined
  const item = items.find((one) => isMap(one) && one['name'] === 'secretsFile')
  const value = isMap(item) ? item['value'] : undefined
  return typeof value === 'string' ? value : undefined
}
