import type { BindingTypeRule } from '../config/config.ts'
import type { Application, Bundle } from '../model/application.ts'
import { bindingName } from '../model/names.ts'
import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type {
  Desired,
  Observed,
  Owner,
  Rendered,
  RenderedObject,
  SourceProblem,
} from '../model/target.ts'
import { relieveMemory } from '../runtime/relieve.ts'
import { bindingOf, publishedValues } from './binding.ts'
import { bindingKey, holdersOf } from './binding-holders.ts'
import { Binding, dataOf, digestOfBinding, digestOfData } from './kubernetes-secret.ts'
import type { SeenSecret } from './kubernetes-secret.ts'

export type SecretRenderOptions = {
  types: readonly BindingTypeRule[]
  /** Keys the digests. */
  digestKey: Secret
}

/** What a target sees in one namespace: Secrets of ours by key, and those that claim to be what another one is. */
export class ObservedSecrets implements Observed {
  readonly objects: ReadonlyMap<string, SeenSecret>
  readonly copies: readonly SeenSecret[]

  /** Of several for one binding the oldest is the one. */
  constructor(seen: readonly SeenSecret[]) {
    const objects = new Map<string, SeenSecret>()
    const copies: SeenSecret[] = []
    for (const one of seen.toSorted(byAge)) {
      if (objects.has(one.key)) copies.push(one)
      else objects.set(one.key, one)
    }
    this.objects = objects
    this.copies = copies
  }
}

function byAge(a: SeenSecret, b: SeenSecret): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1
  return a.name < b.name ? -1 : 1
}

type Part = { objects: RenderedObject<Binding>[]; problems: SourceProblem[]; bytes: number }

/** Bytes of bindings, rendered one after the other, after which memory is worth a look. */
const HEAVY = 4_000_000

/** Names of one application's Secrets, by key; undefined where another one has the name. */
type Names = ReadonlyMap<string, string | undefined>
const NAMELESS: Names = new Map()

/**
 * The render of one namespace. Remembers what it made of an application for as long as that very object is desired under
 * the same names, so that an unchanged snapshot costs some lookups and no hashing; the result is the same without.
 */
export function createSecretRender(
  options: SecretRenderOptions,
): (desired: Desired, observed: Observed) => Rendered<Binding> {
  let weight = 0
  const made = new WeakMap<Application, { names: string; part: Part }>()
  const partOf = (application: Application, names: Names): Part => {
    const given = [...names.values()].join(' ')
    const known = made.get(application)
    if (known?.names === given) return known.part
    const part = renderApplication(application, names, options)
    weight += part.bytes
    if (weight > HEAVY) {
      // What was made for the digests is garbage, ten times as large, and nothing else would run before it is much.
      relieveMemory()
      weight = 0
    }
    made.set(application, { names: given, part })
    return part
  }
  return ({ applications = [] }, observed) => {
    const names = chooseNames(applications, observed)
    const parts = applications.map((one) => partOf(one, names.get(one) ?? NAMELESS))
    const objects = parts.flatMap((part) => part.objects)
    return {
      objects: new Map(objects.map((object) => [object.key, leftAlone(object, observed)])),
      problems: [...parts.flatMap(({ problems }) => problems), ...copiesIn(observed)],
    }
  }
}

/** What a person wants left as it is seems to be as it should be. */
function leftAlone(object: RenderedObject<Binding>, { objects }: Observed) {
  const seen = objects.get(object.key)
  const leave = seen !== undefined && 'leaveAlone' in seen && seen.leaveAlone === true
  return leave ? { ...object, digest: seen.digest } : object
}

/** A name once given stays; a new Secret gets its own unless another one has it. */
function chooseNames(
  applications: readonly Application[],
  observed: Observed,
): Map<Application, Names> {
  const holders = holdersOf(applications, observed)
  const taken = new Set([...observed.objects.values()].map(({ name }) => name))
  const choose = (application: Application, bundle: Bundle): string | undefined => {
    const key = bindingKey(bundle)
    if (holders.get(key) !== application) return undefined
    const given = observed.objects.get(key)?.name
    if (given !== undefined) return given
    const name = bindingName(application.name, bundle)
    if (taken.has(name)) return undefined
    taken.add(name)
    return name
  }
  return new Map(
    applications.map((application) => [
      application,
      new Map(application.bundles.map((one) => [bindingKey(one), choose(application, one)])),
    ]),
  )
}

/** What the API server takes of the values of one Secret together, in bytes. */
const LIMIT = 1024 * 1024
/** The largest revision. */
const REVISION_SIZE = 16

function renderApplication(
  application: Application,
  names: Names,
  { types, digestKey }: SecretRenderOptions,
): Part {
  const part: Part = { objects: [], problems: [], bytes: 0 }
  for (const bundle of application.bundles) {
    const key = bindingKey(bundle)
    const ids = { application: application.id, bundle: bundle.id }
    const owner: Owner = { slice: 'applications', ...ids }
    const subject = `${application.name} / ${bundle.name}`
    const say = (one: Problem, withheld: boolean) =>
      part.problems.push({ owner, problem: one, withheld })
    const { entries, problems } = bindingOf(application, bundle, types)
    for (const one of problems) say(one, entries === undefined)
    if (entries === undefined) continue
    const name = names.get(key)
    if (name === undefined) {
      say(nameTaken(subject), true)
      continue
    }
    const titles = { application: application.name, bundle: bundle.name }
    const make = () => dataOf(publishedValues(bindingOf(application, bundle, types).entries ?? []))
    const data = dataOf(publishedValues(entries))
    const size = data.reduce((sum, [, base64]) => sum + sizeOf(base64), REVISION_SIZE)
    if (size > LIMIT) {
      say(tooLarge(subject, size), true)
      continue
    }
    part.bytes += size
    const values = digestOfData(digestKey, data)
    const content = new Binding(ids, titles, { data: make, values })
    part.objects.push({ key, owner, name, digest: digestOfBinding(digestKey, content), content })
  }
  return part
}

function sizeOf(base64: string): number {
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0
  return (base64.length / 4) * 3 - padding
}

function nameTaken(subject: string): Problem {
  const message = `Cannot publish ${subject}: another binding has the name that this one would get`
  return problem('name_taken', message, { subject })
}

function tooLarge(subject: string, size: number): Problem {
  const message = `Cannot publish ${subject}: it has ${size} bytes, and a Secret holds ${LIMIT}`
  return problem('application_invalid', message, { subject })
}

function copiesIn(observed: Observed): SourceProblem[] {
  if (!(observed instanceof ObservedSecrets)) return []
  return observed.copies.map(({ owner, name, key }) => {
    const original = observed.objects.get(key)?.name ?? key
    return {
      owner,
      withheld: false,
      problem: problem(
        'object_foreign',
        `Cannot tell what the Secret ${name} is for: it carries the marks of ${original}, so it is left as it is`,
        { subject: name, hint: 'remove its labels of this agent, or the Secret' },
      ),
    }
  })
}
