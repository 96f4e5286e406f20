import { toAgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { ChangeResult, Plan } from '../model/target.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { mayRead } from './dapr-canary.ts'
import type { Chosen, NextObject } from './dapr-choose.ts'
import { rejected } from './dapr-choose.ts'
import { titleOf } from './dapr-document.ts'
import { encodeFile } from './dapr-file.ts'
import type { DaprJournal, PendingWrite, Pin } from './dapr-journal.ts'
import { hashIn, sweepSecrets } from './dapr-secrets.ts'
import type { SeenFile } from './dapr-seen.ts'
import { isAnyStale, lookAtAll, settle } from './dapr-sidecars.ts'
import type { DaprReader, Expected } from './dapr-sidecars.ts'
import { judge, problemsOf } from './dapr-verdict.ts'
import type { Verdict } from './dapr-verdict.ts'
import { previousObjects, renameIn, stage, sweepResources } from './dapr-write.ts'
import type { Staged, WriteInput } from './dapr-write.ts'
import type { Hooks } from './hooks.ts'

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

const BETWEEN_RENAMES: Duration = 50
/** What commands are told that changed: a sidecar starts anew as a whole. */
const RELOAD = ['dapr']

export type PublisherOptions = {
  journal: DaprJournal
  readers: readonly DaprReader[]
  clock: Clock
  hooks: Hooks
}

/** What shall be in the file, or is. */
type Content = { staged: Staged; objects: ReadonlyMap<string, NextObject> }

export class Publisher {
  readonly #options: PublisherOptions
  /** Of the commands, in this pass. */
  #failed: Problem[] = []
  #isClean = false

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** What is not tried again, of the objects that the plan changes. */
  async pins(plan: Plan): Promise<Readonly<Record<string, Pin>>> {
    const memory = await this.#options.journal.load()
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
    const { pending } = await journal.load()
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
    await journal.save({ ...(await journal.load()), pending: now })
    await renameIn(write, staged.text)
    const content = { staged, objects: chosen.next }
    const bad = await this.#conclude(write, { content, pending: now, before }, signal)
    const digests = new Map(
      made.map((change) => [change.key, 'object' in change ? change.object.digest : '']),
    )
    return new Map([...chosen.held, ...(await this.#pin(bad, digests, content))])
  }

  /** Ends what was begun before a crash, or could not be asked about then. */
  async resume(write: WriteInput, seen: SeenFile, signal: AbortSignal): Promise<void> {
    this.#clean(write)
    const { journal } = this.#options
    const { pending, ...memory } = await journal.load()
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
    const bad = await this.#conclude(write, { content, pending, before }, signal)
    const digests = new Map([...seen.objects].map(([key, one]) => [key, one.seen.digest]))
    await this.#pin(bad, digests, content)
  }

  /** What is wrong with the sidecars now. */
  async verify(write: WriteInput, seen: SeenFile, signal: AbortSignal): Promise<Problem[]> {
    const failed = this.#failed
    this.#failed = []
    const looks = await lookAtAll(this.#options.readers, expectedOf(write, seen), signal)
    return [...failed, ...problemsOf(looks)]
  }

  /** What a killed process left. */
  #clean(write: WriteInput): void {
    if (!this.#isClean) sweepResources(write)
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
    const memory = await journal.load()
    const readable = `${write.place.directory} ${write.place.gid ?? 'own'}`
    if (memory.readable === readable || scene.staged.secretsFile === undefined) return undefined
    const { proved, unreadable } = await mayRead({ ...this.#options, write, ...scene, signal })
    if (proved) await journal.save({ ...memory, readable })
    return unreadable
  }

  /** From the first rename on. Gives what was taken back, with why. */
  async #conclude(
    write: WriteInput,
    { content, pending, before }: { content: Content; pending: PendingWrite; before: Set<string> },
    signal: AbortSignal,
  ): Promise<Bad> {
    const { readers, clock, hooks, journal } = this.#options
    const { staged, objects } = content
    const expected = expectedIn(write, staged, objects)
    this.#failed.push(...(await hooks.run(staged.generation, signal)))
    let late = false
    if (!pending.renamed) {
      await clock.sleep(BETWEEN_RENAMES, signal)
      signal.throwIfAborted()
      late = isAnyStale(await lookAtAll(readers, expected, signal))
      await renameIn(write, staged.text)
      await journal.save({ ...(await journal.load()), pending: { ...pending, renamed: true } })
    }
    const again = (): Promise<void> => renameIn(write, staged.text)
    const looks = await settle({ readers, expected, before, late, again, clock, signal })
    const verdict = judge(looks, new Set(pending.changed), before)
    return this.#act(write, { content, pending, verdict }, signal)
  }

  async #act(
    write: WriteInput,
    { content, pending, verdict }: { content: Content; pending: PendingWrite; verdict: Verdict },
    signal: AbortSignal,
  ): Promise<Bad> {
    const { journal } = this.#options
    if (verdict.kind === 'taken' || verdict.kind === 'open') {
      const { pending: _, ...rest } = await journal.load()
      if (verdict.kind === 'taken') await journal.save(rest)
      this.#sweep(write, content.staged, pending, verdict.kind === 'taken')
      return new Map()
    }
    if (verdict.kind === 'partly') {
      await this.#takeBack(write, { content, pending, bad: verdict.bad }, signal)
      return verdict.bad
    }
    const memory = await journal.load()
    const { generation } = content.staged
    // As it was, byte for byte: the secrets that it refers to are still there.
    const text =
      pending.previous ?? encodeFile({ ...write.mark, generation, objects: [] }, write.rules)
    await journal.save(without(memory))
    await renameIn(write, text)
    await this.#options.clock.sleep(BETWEEN_RENAMES, signal)
    await renameIn(write, text)
    this.#failed.push(...(await this.#restart(generation, signal)))
    return new Map(pending.changed.map((key) => [key, verdict.why]))
  }

  /** For sidecars that take nothing by themselves: what was taken back is a change as well. */
  async #restart(generation: number, signal: AbortSignal): Promise<Problem[]> {
    const { hooks } = this.#options
    await hooks.prepare({ current: generation, next: generation, names: RELOAD })
    return hooks.run(generation, signal)
  }

  /** The objects that were not taken as they were before; everything else stays as it is now. */
  async #takeBack(
    write: WriteInput,
    {
      content,
      pending,
      bad,
    }: { content: Content; pending: PendingWrite; bad: ReadonlyMap<string, string> },
    signal: AbortSignal,
  ): Promise<void> {
    const { journal, clock } = this.#options
    const before = previousObjects(write, pending.previous)
    const next = new Map(content.objects)
    for (const key of bad.keys()) {
      const old = before.get(key)
      if (old === undefined) next.delete(key)
      else next.set(key, old)
    }
    const generation = content.staged.generation + 1
    const staged = await stage(write, next, { generation, changed: new Set(pending.changed) })
    const { text, sha256 } = staged
    const now = { sha256, previous: text, changed: [], renamed: false }
    await journal.save({ ...(await journal.load()), pending: now })
    await renameIn(write, text)
    await clock.sleep(BETWEEN_RENAMES, signal)
    await renameIn(write, text)
    this.#failed.push(...(await this.#restart(generation, signal)))
    await journal.save(without(await journal.load()))
    this.#sweep(write, staged, pending, true)
  }

  /** Until a sidecar has proved that it has the new ones, the old ones stay. */
  #sweep(write: WriteInput, staged: Staged, { previous }: PendingWrite, proved: boolean): void {
    const keep = [staged.secretsFile]
    if (!proved || this.#options.readers.length === 0)
      keep.push(previousObjects(write, previous).secretsFile)
    try {
      sweepSecrets(write.place, new Set(keep.filter((path) => path !== undefined)))
    } catch (thrown) {
      // Nothing that daprd sees is wrong.
      this.#failed.push(toAgentError(thrown).toProblem())
    }
  }

  async #pin(
    bad: Bad,
    digests: ReadonlyMap<string, string>,
    { objects }: Content,
  ): Promise<Map<string, ChangeResult>> {
    if (bad.size === 0) return new Map()
    const { journal } = this.#options
    const memory = await journal.load()
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

/** What was taken back, and why. */
type Bad = Map<string, string>

function without<T extends { pending?: unknown }>({ pending: _, ...rest }: T): Omit<T, 'pending'> {
  return rest
}

function expectedOf(write: WriteInput, { objects, secretsFile }: SeenFile): Expected {
  const hash = secretsFile && hashIn(secretsFile, write.place.directory)
  return expectedIn(write, { hash }, objects)
}

function expectedIn(
  { rules }: WriteInput,
  { hash }: Pick<Staged, 'hash'>,
  objects: ReadonlyMap<string, NextObject>,
): Expected {
  const all = [...objects.values()].map(({ file }) => file)
  return { objects: all, store: hash === undefined ? undefined : { name: rules.store, hash } }
}
