import type { BindingTypeRule } from '../config/config.ts'
import type { Application, Bundle } from '../model/application.ts'
import { canonicalJson } from '../model/digest.ts'
import { bindingName, slugWithId } from '../model/names.ts'
import { problem } from '../model/problem.ts'
import type {
  Desired,
  Observed,
  Owner,
  Rendered,
  RenderedObject,
  SourceProblem,
} from '../model/target.ts'
import { formatInstant } from '../model/time.ts'
import { bindingOf, credentialsType, isMeta, publishedValues } from './binding.ts'
import type { BindingEntry } from './binding.ts'
import { bindingKey, holdersOf } from './binding-holders.ts'
import { envFile } from './env-file.ts'
import { createDocumentsRender } from './files-configuration.ts'
import { FileSet } from './file-set.ts'
import type { RenderedFile } from './file-set.ts'
import { systemBrokerJson } from './system-broker.ts'

export type RenderOptions = {
  env: boolean
  json: boolean
  compat?: 'system-broker'
  types: readonly BindingTypeRule[]
  /** Keyed digest of the files of one object (files-digest.ts). */
  digest: (files: readonly RenderedFile[]) => string
}

type Part = { objects: RenderedObject<FileSet>[]; problems: SourceProblem[] }

/** Names of one application's objects, by key; undefined where another object has the name. */
type Names = Map<string, string | undefined>

/**
 * The render of the files target. Remembers what it made of an application for as long as that very object is desired
 * under the same names, and the whole when nothing at all is another object than before: an unchanged snapshot costs some
 * lookups and no hashing; the result is the same without.
 */
export function createRender(
  options: RenderOptions,
): (desired: Desired, observed: Observed) => Rendered<FileSet> {
  const made = new WeakMap<Application, { names: string; part: Part }>()
  const partOf = (application: Application, names: Names): Part => {
    const given = [...names.values()].join(' ')
    const known = made.get(application)
    if (known?.names === given) return known.part
    const part = renderApplication(application, names, options)
    made.set(application, { names: given, part })
    return part
  }
  const renderDocuments = createDocumentsRender(options.digest)
  const renderAll = (wanted: Wanted, observed: Observed): Rendered<FileSet> => {
    const chosen = chooseNames(wanted.applications ?? [], observed)
    const parts = chosen.map(([application, names]) => partOf(application, names))
    const documents = renderDocuments(wanted.configuration ?? [], observed)
    const made = parts.flatMap(({ objects }) => objects.map((o): Entry => [o.key, o]))
    return {
      objects: new Map([...made, ...documents.objects]),
      problems: [...parts.flatMap(({ problems }) => problems), ...documents.problems],
    }
  }
  let last: { wanted: Wanted; observed: Observed; whole: Rendered<FileSet> } | undefined
  return (wanted, observed) => {
    const { applications, configuration } = wanted
    if (
      last === undefined ||
      last.wanted.applications !== applications ||
      last.wanted.configuration !== configuration ||
      !isSame(last.observed, observed)
    )
      last = { wanted, observed, whole: renderAll(wanted, observed) }
    return last.whole
  }
}

type Wanted = Pick<Desired, 'applications' | 'configuration'>
type Entry = [string, RenderedObject<FileSet>]

/** Whether it consists of the very same objects. */
function isSame(before: Observed, now: Observed): boolean {
  if (before.objects.size !== now.objects.size) return false
  for (const [key, object] of now.objects) if (before.objects.get(key) !== object) return false
  return true
}

const applicationKey = ({ id }: Application): string => `application/${id}`

/** A name once given stays; a new object gets its own unless another one has it. */
function chooseNames(
  applications: readonly Application[],
  observed: Observed,
): [Application, Names][] {
  const holders = holdersOf(applications, observed)
  const taken = new Set([...observed.objects.values()].map(({ key, name }) => placeOf(key, name)))
  const choose = (key: string, wish: () => string): [string, string | undefined] => {
    const given = observed.objects.get(key)?.name
    if (given !== undefined) return [key, given]
    const name = wish()
    const place = placeOf(key, name)
    if (taken.has(place)) return [key, undefined]
    taken.add(place)
    return [key, name]
  }
  return applications.map((application) => {
    const { id, name, bundles } = application
    const names = new Map([
      choose(applicationKey(application), () => slugWithId(name, id)),
      ...bundles.map((bundle): [string, string | undefined] => {
        const key = bindingKey(bundle)
        if (holders.get(key) !== application) return [key, undefined]
        return choose(key, () => bindingName(name, bundle))
      }),
    ])
    return [application, names]
  })
}

/** Applications and bindings lie in different directories. */
function placeOf(key: string, name: string): string {
  return `${key.slice(0, key.indexOf('/'))}/${name}`
}

function renderApplication(application: Application, names: Names, options: RenderOptions): Part {
  const owner: Owner = { slice: 'applications', application: application.id }
  const part: Part = { objects: [], problems: [] }
  const add = (key: string, of: Owner, make: (name: string) => () => RenderedFile[]): void => {
    const name = names.get(key)
    if (name === undefined) {
      part.problems.push(nameTaken(application, of))
      return
    }
    const files = make(name)
    const content = new FileSet(files)
    part.objects.push({ key, owner: of, name, digest: options.digest(files()), content })
  }
  add(applicationKey(application), owner, (name) => () => [applicationFile(name, application)])
  for (const bundle of application.bundles) {
    const of: Owner = { ...owner, bundle: bundle.id }
    const { entries, problems } = bindingOf(application, bundle, options.types)
    const withheld = entries === undefined
    part.problems.push(...problems.map((p) => ({ owner: of, problem: p, withheld })))
    if (withheld) continue
    add(bindingKey(bundle), of, (name) => {
      const refused = options.env ? envProblem(name, entries) : undefined
      if (refused) part.problems.push({ owner: of, problem: refused, withheld: false })
      // Made again when it is written, so that no secret stays in memory in between.
      return () => bindingFiles(name, application, bundle, options)
    })
  }
  return part
}

function nameTaken(application: Application, owner: Owner): SourceProblem {
  const message = `Cannot publish ${application.name}: another object has the name that this one would get`
  return {
    owner,
    withheld: true,
    problem: problem('name_taken', message, { subject: application.name }),
  }
}

function envProblem(name: string, entries: readonly BindingEntry[]) {
  const env = envFile(name, entries)
  if ('text' in env) return undefined
  const keys = env.refused.join(', ')
  return problem(
    'application_invalid',
    `Cannot write env/${name}.env: no environment can hold ${keys} (a NUL character, or more than 128 KiB)`,
    { subject: name },
  )
}

/** What a person or a tool wants to know of an application; without secrets. */
function applicationFile(name: string, application: Application): RenderedFile {
  const { id, name: title, providerName, description, systemNumber, localTenantId } = application
  const content = {
    ...{ id, name: title, providerName, description, systemNumber, localTenantId },
    labels: inOrder(application.labels),
    authIds: application.authIds,
    bundles: application.bundles.map(describeBundle),
  }
  const data = `${JSON.stringify(content, null, 2)}\n`
  return { path: `applications/${name}.json`, private: false, data }
}

function describeBundle({ auth, authMissingSince: since, ...bundle }: Bundle): object {
  const { id, name, description, inputSchema, apis, events } = bundle
  const credentialsMissingSince = since === undefined ? undefined : formatInstant(since)
  return {
    ...{ id, name, description, credentialsType: credentialsType(auth), credentialsMissingSince },
    inputSchema,
    apis: inOrder(apis),
    events: inOrder(events),
  }
}

/** Members in one order, whatever order they were read in: from the Director or from the stored snapshot. */
function inOrder(value: unknown): unknown {
  return JSON.parse(canonicalJson(value))
}

function bindingFiles(
  name: string,
  application: Application,
  bundle: Bundle,
  options: RenderOptions,
): RenderedFile[] {
  const entries = bindingOf(application, bundle, options.types).entries ?? []
  const keys = [
    ...publishedValues(entries),
    ...(options.compat ? [['system-broker.json', systemBrokerJson(bundle)] as const] : []),
  ]
  const env = options.env ? envFile(name, entries) : undefined
  return [
    ...keys.map(([key, data]) => ({ path: `bindings/${name}/${key}`, private: false, data })),
    ...(env && 'text' in env ? [{ path: `env/${name}.env`, private: true, data: env.text }] : []),
    ...(options.json
      ? [{ path: `json/${name}.json`, private: false, data: jsonForm(name, entries) }]
      : []),
  ]
}

/** One object as @sap/xsenv would show it: JSON values as values. */
function jsonForm(name: string, entries: readonly BindingEntry[]): string {
  const values = (list: readonly BindingEntry[]): object =>
    Object.fromEntries(
      list.map(({ key, value, format }) => {
        const parsed: unknown = format === 'json' ? JSON.parse(value) : value
        return [key, parsed]
      }),
    )
  const meta = values(entries.filter(isMeta))
  const credentials = values(entries.filter((entry) => !isMeta(entry)))
  return `${JSON.stringify({ name, ...meta, credentials }, null, 2)}\n`
}
