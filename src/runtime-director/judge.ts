import { checkDesired, isFileName } from '../config/desired.ts'
import type {
  ConfigurationFile,
  Desired,
  DesiredKind,
  Document,
  Match,
  OverlayFile,
  RuntimeFile,
} from '../config/desired.ts'
import { nearest } from '../config/nearest.ts'
import type { ConfigProblem, NodePath } from '../config/problem.ts'
import { quoted } from '../config/problem.ts'
import { compose, objectKey, patchFits, secretRefs, select, withSecrets } from './state.ts'
import type { DesiredState, Named } from './state.ts'

/*
 * From the files of the desired state to a state that may be published, or to all that is wrong with them at once, each
 * problem with file, line and column. Pure: the files are read, and secrets looked up, by others.
 */

/** A file of the desired state; `path` is relative to it: `runtimes/a.yaml`. */
export type DesiredFile = { path: string; text: string }

/** What is not in the files but decides about them. */
export type Surroundings = {
  /** Undefined: there is no such secret. Throws an AgentError when it must not be used, such as one that others can read. */
  secret(name: string): string | undefined
  /** Common names that were admitted by hand or at first use. */
  admitted: ReadonlyMap<string, string>
}

export type Judged =
  { state: DesiredState; problems?: never } | { state?: never; problems: ConfigProblem[] }

/** Dapr answers a larger component with an exit (its message size of 64 KiB less some room for what is added). */
const MAX_DOCUMENT_BYTES = 60 * 1024
/** Files that are read before others get their turn: some milliseconds. */
const TURN = 20
/** What agents accept by default (configuration.maxBytes). */
const MAX_RUNTIME_BYTES = 1024 * 1024

type File<T> = {
  value: T
  path: string
  name: string
  problemsAt: (found: { path: NodePath; message: string }[]) => ConfigProblem[]
}

type Files = {
  runtimes: File<RuntimeFile>[]
  configurations: File<Named<ConfigurationFile>>[]
  overlays: File<Named<OverlayFile>>[]
}

/** Judges all files as one. `pause` lets others go on in between: a server has agents to answer. */
export async function judge(
  files: readonly DesiredFile[],
  surroundings: Surroundings,
  pause: () => Promise<void> = () => Promise.resolve(),
): Promise<Judged> {
  const { read, problems } = await readFiles(files, pause)
  // What refers to a file that cannot be read is not called a mistake beside it.
  if (problems.length > 0) return { problems }
  const found = [
    ...sameNames(read),
    ...identities(read.runtimes, surroundings.admitted),
    ...references(read),
  ]
  const { secrets, problems: missing } = resolve(read, surroundings)
  const state: DesiredState = {
    runtimes: read.runtimes.map(({ value }) => value),
    configurations: read.configurations.map(({ value }) => value),
    overlays: read.overlays.map(({ value }) => value),
    secrets,
  }
  const all = [...found, ...missing, ...composed(state, read)]
  return all.length === 0 ? { state } : { problems: inOrder(all) }
}

function inOrder(problems: ConfigProblem[]): ConfigProblem[] {
  return problems.toSorted(
    (a, b) => compare(a.file, b.file) || a.line - b.line || a.column - b.column,
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

async function readFiles(
  files: readonly DesiredFile[],
  pause: () => Promise<void>,
): Promise<{ read: Files; problems: ConfigProblem[] }> {
  const problems: ConfigProblem[] = []
  const sorted = files.toSorted((a, b) => compare(a.path, b.path))
  const runtimes: File<RuntimeFile>[] = []
  const ofRuntimes = sorted.filter(({ path }) => path.startsWith('runtimes/'))
  for (let at = 0; at < ofRuntimes.length; at += TURN) {
    runtimes.push(...readKind('runtimes', ofRuntimes.slice(at, at + TURN), problems))
    await pause()
  }
  const [configurations, overlays] = [
    readKind('configurations', sorted, problems).map(withName),
    readKind('overlays', sorted, problems).map(withName),
  ]
  overlays.sort((a, b) => a.value.order - b.value.order || compare(a.name, b.name))
  return { read: { runtimes, configurations, overlays }, problems: inOrder(problems) }
}

function readKind<Kind extends DesiredKind>(
  kind: Kind,
  files: readonly DesiredFile[],
  problems: ConfigProblem[],
): File<Desired<Kind>>[] {
  return files.flatMap(({ path, text }) => {
    if (!path.startsWith(`${kind}/`)) return []
    const name = path.slice(kind.length + 1).replace(/\.yaml$/, '')
    const { output, problemsAt, problems: wrong } = checkDesired(kind, text, path)
    if (wrong !== undefined) {
      problems.push(...wrong)
      return []
    }
    const example = kind === 'runtimes' ? '0d6b3f0c' : 'logging'
    const message = `the file cannot have this name, want one such as ${kind}/${example}.yaml`
    if (!isFileName(kind, name)) problems.push(...problemsAt([{ path: [], message }]))
    return [{ value: output, path, name, problemsAt }]
  })
}

function withName<T extends { name?: string }>(file: File<T>): File<T & { name: string }> {
  return { ...file, value: { ...file.value, name: file.value.name ?? file.name } }
}

/** The name within a file is that of the file, so that a name stands for one file only. */
function sameNames({ runtimes, configurations, overlays }: Files): ConfigProblem[] {
  const differs = (key: string, given: string, file: File<unknown>): ConfigProblem[] =>
    given === file.name
      ? []
      : file.problemsAt([
          {
            path: [key],
            message: `found ${quoted(given)}, want ${quoted(file.name)}, as the file is called`,
          },
        ])
  return [
    ...runtimes.flatMap((file) => differs('id', file.value.id, file)),
    ...[...configurations, ...overlays].flatMap((file) => differs('name', file.value.name, file)),
  ]
}

/** A certificate is for one runtime. */
function identities(
  runtimes: File<RuntimeFile>[],
  admitted: ReadonlyMap<string, string>,
): ConfigProblem[] {
  const owners = new Map<string, string>()
  return runtimes.flatMap((file) =>
    file.value.identities.flatMap((name, index) => {
      const path = ['identities', index]
      const earlier = owners.get(name)
      owners.set(name, file.path)
      if (earlier !== undefined)
        return file.problemsAt([{ path, message: `${quoted(name)} stands in ${earlier} already` }])
      const other = admitted.get(name)
      if (other === undefined || other === file.value.id) return []
      return file.problemsAt([
        { path, message: `${quoted(name)} is admitted for runtime ${other}; take that back first` },
      ])
    }),
  )
}

/** Names in matches that nobody has are mistakes of writing more often than not. */
function references(files: Files): ConfigProblem[] {
  const runtimes = files.runtimes.map(({ value }) => value)
  const ids = new Set(runtimes.map(({ id }) => id))
  const groups = new Set(runtimes.flatMap((one) => one.groups))
  const labels = new Set(runtimes.flatMap((one) => Object.keys(one.labels)))
  const unknown = (what: string, known: ReadonlySet<string>, name: string): string => {
    const meant = nearest(name, [...known])
    return `there is no ${what} ${quoted(name)}${meant === undefined ? '' : `, did you mean ${meant}?`}`
  }
  const wrong = ({ runtimes: wanted = [], groups: of = [], labels: by = {} }: Match) => [
    ...wanted.flatMap((id, index) =>
      ids.has(id)
        ? []
        : [{ path: ['match', 'runtimes', index], message: unknown('runtime', ids, id) }],
    ),
    ...of.flatMap((group, index) =>
      groups.has(group)
        ? []
        : [{ path: ['match', 'groups', index], message: unknown('group', groups, group) }],
    ),
    ...Object.keys(by).flatMap((label) =>
      labels.has(label)
        ? []
        : [{ path: ['match', 'labels', label], message: unknown('label', labels, label) }],
    ),
  ]
  return [...files.configurations, ...files.overlays].flatMap((file) =>
    file.problemsAt(wrong(file.value.match)),
  )
}

/** The secrets that are named, and names that stand for none. */
function resolve(
  { configurations, overlays }: Files,
  { secret }: Surroundings,
): { secrets: Record<string, string>; problems: ConfigProblem[] } {
  const secrets: Record<string, string> = {}
  const problems: ConfigProblem[] = []
  const look = (documents: Document[], key: string, file: File<unknown>): void => {
    for (const { name, path } of secretRefs(documents, [key])) {
      const value = Object.hasOwn(secrets, name) ? secrets[name] : secret(name)
      if (value !== undefined) secrets[name] = value
      else
        problems.push(...file.problemsAt([{ path, message: `there is no secret ${quoted(name)}` }]))
    }
  }
  for (const file of configurations) look(file.value.resources, 'resources', file)
  for (const file of overlays) look(file.value.patch, 'patch', file)
  return { secrets, problems }
}

/** What shows only when everything is put together for each runtime. */
function composed(state: DesiredState, files: Files): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const patched = new Set<Document>()
  const seen = new Set<string>()
  for (const [at, runtime] of state.runtimes.entries()) {
    const selection = select(state, runtime)
    if (seen.has(selection.key)) continue
    seen.add(selection.key)
    const documents = compose(state, selection)
    for (const patch of selection.overlays.flatMap((one) => state.overlays[one]?.patch ?? []))
      if (documents.some(({ document }) => patchFits(patch, document))) patched.add(patch)
    problems.push(...documentProblems(state, files, { runtime, documents }))
    const bytes = documents.reduce((sum, { document }) => sum + sizeOf(document, state) + 1, 0)
    if (bytes > MAX_RUNTIME_BYTES)
      problems.push(
        ...(files.runtimes[at]?.problemsAt([
          {
            path: [],
            message: `gets ${bytes} bytes of documents, want at most ${MAX_RUNTIME_BYTES}`,
          },
        ]) ?? []),
      )
  }
  return [...unique(problems), ...uselessPatches(files, patched)]
}

function documentProblems(
  state: DesiredState,
  files: Files,
  { runtime, documents }: { runtime: RuntimeFile; documents: ReturnType<typeof compose> },
): ConfigProblem[] {
  const first = new Map<string, string>()
  return documents.flatMap(({ document, configuration, index }) => {
    const file = files.configurations[configuration]
    if (file === undefined) return []
    const key = objectKey(document)
    const place = `${file.path}, resources[${index}]`
    const earlier = first.get(key)
    first.set(key, place)
    const size = sizeOf(document, state)
    const path = ['resources', index]
    return file.problemsAt([
      ...(earlier === undefined
        ? []
        : [
            {
              path,
              message: `runtime ${runtime.id} would get ${document.kind} ${document.metadata.name} twice: it stands in ${earlier}, too`,
            },
          ]),
      ...(size < MAX_DOCUMENT_BYTES
        ? []
        : [
            {
              path,
              message: `has ${size} bytes for runtime ${runtime.id}, want less than ${MAX_DOCUMENT_BYTES}`,
            },
          ]),
    ])
  })
}

function sizeOf(document: Document, { secrets }: DesiredState): number {
  return new TextEncoder().encode(JSON.stringify(withSecrets(document, secrets))).length
}

function uselessPatches({ overlays }: Files, patched: ReadonlySet<Document>): ConfigProblem[] {
  return overlays.flatMap((file) =>
    file.problemsAt(
      file.value.patch.flatMap((patch, index) =>
        patched.has(patch)
          ? []
          : [
              {
                path: ['patch', index],
                message: `no runtime of this overlay has ${patch.kind} ${patch.metadata.name} of ${patch.apiVersion}`,
              },
            ],
      ),
    ),
  )
}

/** The same place is told once, with the first runtime that it is a problem of. */
function unique(problems: ConfigProblem[]): ConfigProblem[] {
  const places = new Map(
    problems
      .toReversed()
      .map((one) => [`${one.file} ${one.path} ${one.message.split(' ', 1)[0] ?? ''}`, one]),
  )
  return [...places.values()]
}
