import type { Problem } from '../model/problem.ts'
import type { ChangeResult, Plan } from '../model/target.ts'
import { mayRead } from './dapr-canary.ts'
import { rejected } from './dapr-choose.ts'
import type { Chosen } from './dapr-choose.ts'
import { Concluder, expectedIn, RELOAD } from './dapr-conclude.ts'
import type { Bad, ConcludeOptions, Content } from './dapr-conclude.ts'
import { titleOf } from './dapr-document.ts'
import type { Pin } from './dapr-journal.ts'
import { hashIn, sweepSecrets } from './dapr-secrets.ts'
import type { SeenFile } from './dapr-seen.ts'
import { lookAtAll } from './dapr-sidecars.ts'
import type { Expected } from './dapr-sidecars.ts'
import { problemsOf } from './dapr-verdict.ts'
import { renameIn, stage, sweepResources } from './dapr-write.ts'
import type { Staged, WriteInput } from './dapr-write.ts'

/*
 * One change of what daprd reads, in steps each of which may be the last (reference/dapr.md §6):
 *
 *   secrets file · journal · rename · 50 ms · the same file renamed in again · ask the sidecars · journal · old secrets
 *
 * The second rename: daprd takes what changed in one event in any order, and what refers to a store and was looked at
 * before the store had its new secrets is looked at again with the next event only. A kill before it is in the journal.
 *
 * What a sidecar does not take goes back to the version before and is not tried again until it is another one.
 */

/** Changes what daprd reads, and knows what may not be tried again. */
export class Publisher {
  readonly #options: ConcludeOptions
  readonly #concluder: Concluder
  #isClean = false

  constructor(options: ConcludeOptions) {
    this.#options = options
    this.#concluder = new Concluder(options)
  }

  /** What is not tried again, of the objects that the plan changes. */
  async pins(plan: Plan): Promise<Readonly<Record<string, Pin>>> {
    const memory = this.#options.journal.load()
    const keys = new Set(plan.changes.map(({ key }) => key))
    const kept = Object.entries(memory.pins).filter(([key]) => keys.has(key))
    const pins = Object.fromEntries(kept)
    await this.#options.journal.save({ ...memory, pins })
    return pins
  }

  /** Makes the file what was chosen. Results of changes that were not applied, by key. */
  async publish(
    write: WriteInput,
    { plan, seen, chosen }: { plan: Plan; seen: SeenFile; chosen: Chosen },
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, ChangeResult>> {
    const made = plan.changes.filter(({ key }) => !chosen.held.has(key))
    if (made.length === 0) {
      await this.resume(write, seen, signal)
      return chosen.held
    }
    const { journal, hooks } = this.#options
    const { pending } = journal.load()
    const valid = pending?.sha256 === seen.sha256 ? pending : undefined
    const changed = new Set([...(valid?.changed ?? []), ...made.map(({ key }) => key)])
    const staged = await stage(write, chosen.next, { generation: seen.generation + 1, changed })
    const before = await this.#there(write, seen, signal)
    const unreadable = await this.#prove(write, { seen, staged, before }, signal)
    if (unreadable !== undefined)
      return new Map(
        plan.changes.map(({ key }) => [key, { key, outcome: 'held', problem: unreadable }]),
      )
    const previous = valid === undefined ? seen.text : valid.previous
    const now = { sha256: staged.sha256, previous, changed: [...changed], renamed: false }
    await hooks.prepare({ current: seen.generation, next: staged.generation, names: RELOAD })
    await journal.save({ ...journal.load(), pending: now })
    await renameIn(write, staged.text)
    const content = { staged, objects: chosen.next }
    const bad = await this.#concluder.conclude(write, { content, pending: now, before }, signal)
    const digests = new Map(
      made.map((change) => [change.key, 'object' in change ? change.object.digest : '']),
    )
    return new Map([...chosen.held, ...(await this.#pin(bad, digests, content))])
  }

  /** Ends what was begun before a crash, or could not be asked about then. */
  async resume(write: WriteInput, seen: SeenFile, signal: AbortSignal): Promise<void> {
    const { journal } = this.#options
    const { pending, ...memory } = journal.load()
    this.#clean(write, pending === undefined ? [seen.secretsFile] : undefined)
    if (pending === undefined) return
    // The rename never came to be, or somebody changed the file since: the plan says what is to be done.
    if (seen.text === null || pending.sha256 !== seen.sha256) return journal.save(memory)
    const { text, sha256, generation, secretsFile } = seen
    const hash = secretsFile && hashIn(secretsFile, write.place.directory)
    const content = {
      staged: { text, sha256, generation, secretsFile, hash },
      objects: seen.objects,
    }
    const before = await this.#there(write, seen, signal)
    const bad = await this.#concluder.conclude(write, { content, pending, before }, signal)
    const digests = new Map([...seen.objects].map(([key, one]) => [key, one.seen.digest]))
    await this.#pin(bad, digests, content)
  }

  /** What is wrong with the sidecars now. */
  async verify(write: WriteInput, seen: SeenFile, signal: AbortSignal): Promise<Problem[]> {
    const looks = await lookAtAll(this.#options.readers, expectedOf(write, seen), signal)
    return [...this.#concluder.failures(), ...problemsOf(looks)]
  }

  /** What a killed process left. */
  #clean(write: WriteInput, secrets: (string | undefined)[] | undefined): void {
    if (this.#isClean) return
    sweepResources(write)
    const keep = secrets?.filter((path) => path !== undefined)
    if (keep !== undefined) sweepSecrets(write.place, new Set(keep))
    this.#isClean = true
  }

  async #there(write: WriteInput, seen: SeenFile, signal: AbortSignal): Promise<Set<string>> {
    const looks = await lookAtAll(this.#options.readers, expectedOf(write, seen), signal)
    return new Set(looks.flatMap(({ name, look }) => (look.state === 'there' ? [name] : [])))
  }

  /** Before secrets are in a place for the first time: whether daprd can read them there. */
  async #prove(
    write: WriteInput,
    scene: { seen: SeenFile; staged: Staged; before: ReadonlySet<string> },
    signal: AbortSignal,
  ): Promise<Problem | undefined> {
    const { journal } = this.#options
    const memory = journal.load()
    const readable = `${write.place.directory} ${write.place.gid ?? 'own'}`
    if (memory.readable === readable || scene.staged.secretsFile === undefined) return undefined
    const { proved, unreadable } = await mayRead({ ...this.#options, write, ...scene, signal })
    if (proved) await journal.save({ ...memory, readable })
    return unreadable
  }

  async #pin(
    bad: Bad,
    digests: ReadonlyMap<string, string>,
    { objects }: Content,
  ): Promise<Map<string, ChangeResult>> {
    if (bad.size === 0) return new Map()
    const { journal } = this.#options
    const memory = journal.load()
    const pins: Record<string, Pin> = { ...memory.pins }
    const results = new Map<string, ChangeResult>()
    for (const [key, why] of bad) {
      const digest = digests.get(key) ?? ''
      const pin = memory.pins[key]
      const before = pin?.digest === digest ? pin.tries : 0
      if (digest !== '') pins[key] = { digest, why, tries: before + 1 }
      const document = objects.get(key)?.file.document
      const title = document === undefined ? key : titleOf(document)
      results.set(key, { key, outcome: 'reverted', problem: rejected(title, why) })
    }
    await journal.save({ ...memory, pins })
    return results
  }
}

function expectedOf(write: WriteInput, { objects, secretsFile }: SeenFile): Expected {
  const hash = secretsFile && hashIn(secretsFile, write.place.directory)
  return expectedIn(write, { hash }, objects)
}
