import { AgentError, problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import type { FileFacts } from '../runtime/file-facts.ts'
import { join } from '../runtime/path.ts'
import { isMap, secretRefs } from './dapr-document.ts'
import type { DaprDocument, Json, JsonMap } from './dapr-document.ts'
import { isStore } from './dapr-preflight.ts'
import type { DaprSurroundings } from './dapr-rules.ts'
import { isYamlName, readDocument, splitDocuments } from './dapr-yaml.ts'

/*
 * What others have in the directories that daprd reads, and in its Configuration. At any change of any file daprd reads
 * all of them again: so what is wrong with one of theirs comes out when we write ours.
 */

export type ResourcesInput = {
  disk: BulkFiles
  /** Ours is in the first. */
  directories: readonly string[]
  /** Path of our file. */
  own: string
  /** What our file defines, as `Component crm`. */
  ownTitles: ReadonlySet<string>
  /** Files of Configurations that are given to daprd. */
  configs: readonly string[]
}

export type Resources = {
  around: DaprSurroundings
  /** Why nothing may be written now. */
  unfit: Problem | undefined
  /** What makes daprd restart more often than it needs to. */
  restarts: Problem[]
}

/** From here on daprd's reader of documents hangs; its buffer holds the separator too. */
const HANGS = 64 * 1024 - 16

type Foreign = {
  titles: string[]
  stores: string[]
  /** Titles of what makes daprd restart at each change. */
  restarting: string[]
  largest: number
}

/** Reads what others have; remembers each file for as long as it is the same. */
export function createResources(): (input: ResourcesInput) => Resources {
  const known = new Map<string, { facts: FileFacts; foreign: Foreign }>()
  let last: { text: string; around: DaprSurroundings } | undefined
  return (input) => {
    const files = filesOf(input)
    for (const path of known.keys()) if (!files.has(path)) known.delete(path)
    for (const [path, facts] of files) {
      const before = known.get(path)
      if (before !== undefined && isSame(before.facts, facts)) continue
      known.set(path, { facts, foreign: parse(input.disk.read(path) ?? '') })
    }
    const foreign = [...known].map(([path, one]): [string, Foreign] => [path, one.foreign])
    const around: DaprSurroundings = {
      taken: new Map(foreign.flatMap(([path, { titles }]) => titles.map((title) => [title, path]))),
      stores: new Set(foreign.flatMap(([, { stores }]) => stores)),
      pipeline: pipelineIn(input),
    }
    // The same object for the same content, so that whoever renders can tell by `===`.
    const text = JSON.stringify([[...around.taken], [...around.stores], [...around.pipeline]])
    if (last?.text !== text) last = { text, around }
    return {
      around: last.around,
      unfit: unfitIn(foreign, input),
      restarts: foreign.flatMap(restarts),
    }
  }
}

function filesOf({ disk, directories, own }: ResourcesInput): Map<string, FileFacts> {
  const files = new Map<string, FileFacts>()
  for (const directory of directories) {
    const names = disk.list(directory)
    if (names === undefined) {
      throw new AgentError(
        'dapr_resources_unfit',
        `Cannot read ${directory}: there is no such directory`,
        {
          hint: 'make the directory, or correct resources: daprd does not start without it',
        },
      )
    }
    for (const name of names.filter(isYamlName)) {
      const path = join(directory, name)
      // With a slash nothing but a directory answers: a symlink to a file is read as the file.
      const facts = disk.look(path)
      if (path !== own && facts !== undefined && facts.kind !== 'directory') files.set(path, facts)
    }
  }
  return files
}

function isSame(a: FileFacts, b: FileFacts): boolean {
  // What a symlink leads to may change without it.
  return a.kind === 'file' && a.inode === b.inode && a.mtimeMs === b.mtimeMs && a.size === b.size
}

function parse(text: string): Foreign {
  const foreign: Foreign = { titles: [], stores: [], restarting: [], largest: 0 }
  for (const part of splitDocuments(text)) {
    foreign.largest = Math.max(foreign.largest, new TextEncoder().encode(part).length)
    const document = readDocument(part)
    const title = document === undefined ? guessed(part) : titleIn(document)
    if (title === undefined) continue
    if (title.startsWith('Configuration ')) foreign.restarting.push(title)
    else foreign.titles.push(title)
    if (document === undefined) continue
    const [kind, name] = title.split(' ')
    const spec = isMap(document['spec']) ? document['spec'] : {}
    if (kind === 'HTTPEndpoint' && secretRefs(spec).length > 0) foreign.restarting.push(title)
    if (name !== undefined && isStore({ kind: kind as DaprDocument['kind'], spec }))
      foreign.stores.push(name)
  }
  return foreign
}

function titleIn({ apiVersion, kind, metadata }: JsonMap): string | undefined {
  const name = isMap(metadata) ? metadata['name'] : undefined
  const isOfDapr = typeof apiVersion === 'string' && apiVersion.startsWith('dapr.io/')
  return isOfDapr && typeof kind === 'string' && typeof name === 'string'
    ? `${kind} ${name}`
    : undefined
}

/** daprd's parser may understand what ours does not. */
function guessed(part: string): string | undefined {
  const [, kind] = /^kind:\s*["']?(\w+)/m.exec(part) ?? []
  const [, name] = /^metadata:[^]*?\bname:\s*["']?([\w.-]+)/m.exec(part) ?? []
  return kind === undefined || name === undefined ? undefined : `${kind} ${name}`
}

function unfitIn(
  foreign: [string, Foreign][],
  { ownTitles, own }: ResourcesInput,
): Problem | undefined {
  const seen = new Map<string, string>([...ownTitles].map((title) => [title, own]))
  for (const [path, { titles, largest }] of foreign) {
    if (largest >= HANGS)
      return unfit(
        path,
        `a document in ${path} has ${largest} bytes, and daprd hangs for ever from 65536 on`,
      )
    for (const title of titles) {
      const other = seen.get(title)
      if (other !== undefined)
        return unfit(
          path,
          `${title} is defined in ${other} and in ${path}, and two of one name end daprd`,
        )
      seen.set(title, path)
    }
  }
  return undefined
}

function unfit(path: string, why: string): Problem {
  return problem('dapr_resources_unfit', `Cannot write resources of Dapr: ${why}`, {
    subject: path,
  })
}

function restarts([path, { restarting }]: [string, Foreign]): Problem[] {
  return restarting.map((title) => {
    const why = title.startsWith('Configuration') ? 'lies among the resources' : 'refers to secrets'
    const message = `Cannot change anything without a restart of daprd: ${title} in ${path} ${why}`
    return problem('dapr_restarts', message, { subject: path })
  })
}

/** Names of all handlers. A file that cannot be read might name any. */
function pipelineIn({ disk, configs }: ResourcesInput): Set<string> {
  return new Set(
    configs.flatMap((path) => {
      const documents = splitDocuments(disk.read(path) ?? '').map(readDocument)
      const specs = documents.flatMap((one) =>
        one?.['kind'] === 'Configuration' ? [one['spec']] : [],
      )
      if (specs.length === 0) {
        throw new AgentError(
          'dapr_resources_unfit',
          `Cannot tell what pipelines there are: ${path} holds no Configuration of Dapr`,
          {
            hint: 'correct config of the target: it names the files that daprd is given with --config',
          },
        )
      }
      return specs.flatMap((spec) =>
        ['httpPipeline', 'appHttpPipeline'].flatMap((of) => handlers(spec, of)),
      )
    }),
  )
}

function handlers(spec: Json | undefined, of: string): string[] {
  const pipeline = isMap(spec) ? spec[of] : undefined
  const list = isMap(pipeline) ? pipeline['handlers'] : undefined
  if (!Array.isArray(list)) return []
  return list.flatMap((one) => (isMap(one) && typeof one['name'] === 'string' ? [one['name']] : []))
}
