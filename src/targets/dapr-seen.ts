import { sha256 } from '../model/digest.ts'
import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type { ObservedObject } from '../model/target.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import type { FileFacts } from '../runtime/file-facts.ts'
import { DaprContent, secretRefs, titleOf } from './dapr-document.ts'
import type { DaprSecret } from './dapr-document.ts'
import { decodeFile, readHead, RESOURCES_MODE } from './dapr-file.ts'
import type { DecodedFile, FileObject, FileRules } from './dapr-file.ts'
import { hashIn, readSecrets } from './dapr-secrets.ts'
import type { SecretsPlace, SecretValues } from './dapr-secrets.ts'
import type { Mark } from './files-manifest.ts'

/** Digest of an object that is no longer as it was written. No rendered object has it. */
const DRIFTED = 'drifted'

/** Our file as it is now. */
export type SeenFile = {
  /** Null: there is none. */
  text: string | null
  sha256: string
  generation: number
  secretsFile: string | undefined
  objects: ReadonlyMap<string, SeenObject>
}

/** `secret` is missing where a value that the document refers to is. */
export type SeenObject = { file: FileObject; secret: DaprSecret | undefined; seen: ObservedObject }

export type SeenInput = {
  disk: BulkFiles
  path: string
  mark: Mark
  rules: FileRules
  place: SecretsPlace
}

const NOTHING: SeenFile = {
  text: null,
  sha256: '',
  generation: 0,
  secretsFile: undefined,
  objects: new Map(),
}

/** Looks at our file and at the secrets that it refers to; what is unchanged since the last look is not read again. */
export function createSeen(): (input: SeenInput) => SeenFile {
  let last: { facts: string; seen: SeenFile } | undefined
  return (input) => {
    const { disk, path, place } = input
    const facts = disk.look(path)
    if (facts === undefined) return NOTHING
    if (facts.kind !== 'file') throw foreign(path, `it is a ${facts.kind} and no file`)
    const secrets = last?.seen.secretsFile
    const now = (): string => JSON.stringify([facts, place.gid, secrets && disk.look(secrets)])
    if (last !== undefined && last.facts === now()) return last.seen
    const seen = read(input, facts)
    const { secretsFile } = seen
    const all = [facts, place.gid, secretsFile && disk.look(secretsFile)]
    last = { facts: JSON.stringify(all), seen }
    return seen
  }
}

function read(input: SeenInput, facts: FileFacts): SeenFile {
  const { disk, path, mark, rules, place } = input
  const text = disk.read(path) ?? ''
  checkHead(path, text, mark)
  const file = decodeFile(text, rules)
  if (file === undefined) throw foreign(path, 'it is not of this agent')
  const right = facts.mode === RESOURCES_MODE
  const stored = file.secretsFile === undefined ? undefined : readSecrets(place, file.secretsFile)
  const values = stored?.values ?? new Map<string, Readonly<Record<string, Secret>>>()
  const objects = file.objects.map((object): [string, SeenObject] => {
    const secret = secretOf(object, rules, values)
    const sound = right && (secret === undefined || stored?.sound === true)
    return [object.key, seenObject(object, secret, sound && isIntact(object, file, secret, rules))]
  })
  return {
    text,
    sha256: sha256(text),
    generation: file.generation,
    secretsFile:
      file.secretsFile !== undefined && hashIn(file.secretsFile, place.directory) !== undefined
        ? file.secretsFile
        : undefined,
    objects: new Map(objects),
  }
}

function checkHead(path: string, text: string, mark: Mark): void {
  const found = readHead(text)
  if (found === undefined) throw foreign(path, 'it does not begin as the files of an agent do')
  if (found.runtimeId !== mark.runtimeId)
    throw foreign(path, `it belongs to the runtime ${found.runtimeId}`)
  if (found.agent !== mark.agent)
    throw foreign(path, `it belongs to the agent named ${found.agent}`)
}

function isIntact(
  { key, document }: FileObject,
  file: DecodedFile,
  secret: DaprSecret | undefined,
  rules: FileRules,
): boolean {
  const needs = document.auth?.secretStore === rules.store
  return file.intact.has(key) && (!needs || secret !== undefined)
}

function seenObject(file: FileObject, secret: DaprSecret | undefined, intact: boolean): SeenObject {
  const { key, owner, document } = file
  const digest = intact ? new DaprContent(document, secret).digest() : DRIFTED
  const credentialed = secretRefs(document.spec).length > 0
  const { name } = document.metadata
  return { file, secret, seen: { key, owner, name, digest, credentialed } }
}

/** What a document refers to in our store; undefined when it refers to nothing there, or to what is lost. */
export function secretOf(
  { document }: FileObject,
  { store }: FileRules,
  values: SecretValues,
): DaprSecret | undefined {
  if (document.auth?.secretStore !== store) return undefined
  const refs = secretRefs(document.spec)
  const name = refs[0]?.name
  const members = name === undefined ? undefined : values.get(name)
  if (name === undefined || members === undefined) return undefined
  const found = refs.flatMap(({ name: of, key }): [string, Secret][] => {
    const value = of === name && Object.hasOwn(members, key) ? members[key] : undefined
    return value === undefined ? [] : [[key, value]]
  })
  return found.length === refs.length ? { name, values: Object.fromEntries(found) } : undefined
}

/** What a file of ours defines, as `Component crm`. */
export function titlesIn({ objects }: SeenFile, { store }: FileRules): Set<string> {
  const titles = [...objects.values()].map(({ file }) => titleOf(file.document))
  return new Set([...titles, `Component ${store}`])
}

function foreign(path: string, why: string): AgentError {
  return new AgentError('output_foreign', `Cannot write to ${path}: ${why}`)
}
