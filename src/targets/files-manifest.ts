import {
  arrayOf,
  asBoolean,
  asNumber,
  asObject,
  asString,
  Malformed,
  optional,
} from '../model/decode.ts'
import type { JsonObject } from '../model/decode.ts'
import type { Owner } from '../model/target.ts'
import type { VcapFile } from './files-vcap.ts'

/** Whose output it is: part of every mark. */
export type Mark = { agent: string; runtimeId: string }

/** A file or directory as it was when it was written; any difference is looked at closely. */
export type ManifestFile = {
  /** Below the generation; ends in `/` for a directory. */
  path: string
  private: boolean
  size: number
  mtimeMs: number
  inode: number
}

export type ManifestObject = {
  key: string
  owner: Owner
  name: string
  /** Keyed digest of the rendered files. */
  digest: string
  /** Generation in which the content last changed. */
  revision: number
  files: ManifestFile[]
}

/** MANIFEST.json: what one generation holds. Without secrets; digests are keyed. */
export type Manifest = Mark & {
  generation: number
  objects: ManifestObject[]
  /** All bindings in one file, when that is asked for. */
  vcap?: VcapFile
}

const FORMAT = 1
/** Nothing that leads out of the generation, whatever was done to the manifest. */
const PATH =
  /^((bindings|env|json|applications)(\/[A-Za-z0-9][A-Za-z0-9._-]*)?\/(\.metadata|[A-Za-z0-9][A-Za-z0-9._-]*)?|config(\/[a-z0-9][a-z0-9-]*){1,2}\/[a-z0-9][a-z0-9.-]*\.yaml)$/

export function encodeManifest(manifest: Manifest): string {
  const { agent, runtimeId, generation, objects, vcap } = manifest
  const lines = objects.map((object) => JSON.stringify(compact(object)))
  const head = JSON.stringify({ format: FORMAT, agent, runtimeId, generation, vcap })
  return `${head.slice(0, -1)},"objects":[\n${lines.join(',\n')}\n]}\n`
}

/** Throws {@link Malformed} when it is not one that we wrote. */
export function decodeManifest(text: string): Manifest {
  const json = parse(text)
  if (json['format'] !== FORMAT) throw new Malformed(`its format is not ${FORMAT}`)
  const vcap = optional(json['vcap'], 'vcap', decodeVcap)
  return {
    ...(vcap === undefined ? {} : { vcap }),
    ...decodeMark(json),
    generation: asNumber(json['generation'], 'generation'),
    objects: arrayOf(json['objects'], 'objects', decodeObject),
  }
}

function decodeVcap(value: unknown, path: string): VcapFile {
  const json = asObject(value, path)
  const number = (name: string): number => asNumber(json[name], `${path}.${name}`)
  return { size: number('size'), mtimeMs: number('mtimeMs'), inode: number('inode') }
}

/** The mark in the root: says whose directory it is before the first generation is complete. */
export function encodeMark({ agent, runtimeId }: Mark): string {
  return `${JSON.stringify({ format: FORMAT, agent, runtimeId })}\n`
}

export function readMark(text: string): Mark | undefined {
  try {
    return decodeMark(parse(text))
  } catch (thrown) {
    if (thrown instanceof Malformed) return undefined
    throw thrown
  }
}

function decodeMark(json: JsonObject): Mark {
  return {
    agent: asString(json['agent'], 'agent'),
    runtimeId: asString(json['runtimeId'], 'runtimeId'),
  }
}

function parse(text: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Malformed('it is not JSON')
  }
  return asObject(value, 'it')
}

/** All that documents lie in, outer ones first: `config`, `config/component`, `config/component/apps`. */
export function configDirectories(
  objects: readonly Pick<ManifestObject, 'key' | 'name'>[],
): string[] {
  const names = objects.filter(({ key }) => key.startsWith('config/')).map(({ name }) => name)
  const all = names.flatMap((name) => {
    const parts = ['config', ...name.split('/').slice(0, -1)]
    return parts.map((_, index) => parts.slice(0, index + 1).join('/'))
  })
  return [...new Set(all)].sort()
}

/** A generation has ten thousand files: lists instead of objects halve the manifest. */
function compact({ key, owner, name, digest, revision, files }: ManifestObject): object {
  const list = files.map((file) => [file.path, file.private, file.size, file.mtimeMs, file.inode])
  return { key, owner, name, digest, revision, files: list }
}

function decodeObject(value: unknown, path: string): ManifestObject {
  const json = asObject(value, path)
  const text = (name: string): string => asString(json[name], `${path}.${name}`)
  return {
    key: text('key'),
    owner: decodeOwner(json['owner'], `${path}.owner`),
    name: text('name'),
    digest: text('digest'),
    revision: asNumber(json['revision'], `${path}.revision`),
    files: arrayOf(json['files'], `${path}.files`, decodeFile),
  }
}

function decodeOwner(value: unknown, path: string): Owner {
  const json = asObject(value, path)
  if (json['slice'] === 'configuration')
    return { slice: 'configuration', document: asString(json['document'], `${path}.document`) }
  if (json['slice'] !== 'applications') throw new Malformed(`${path}.slice is unknown`)
  const application = asString(json['application'], `${path}.application`)
  const bundle = optional(json['bundle'], `${path}.bundle`, asString)
  return { slice: 'applications', application, ...(bundle === undefined ? {} : { bundle }) }
}

function decodeFile(value: unknown, at: string): ManifestFile {
  const [path, isPrivate, size, mtimeMs, inode] = arrayOf(value, at, (item) => item)
  const file = asString(path, `${at}[0]`)
  if (!PATH.test(file)) throw new Malformed(`${at}[0] is no path of ours`)
  return {
    path: file,
    private: asBoolean(isPrivate, `${at}[1]`),
    size: asNumber(size, `${at}[2]`),
    mtimeMs: asNumber(mtimeMs, `${at}[3]`),
    inode: asNumber(inode, `${at}[4]`),
  }
}
