import { toAgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { NextObject } from './dapr-choose.ts'
import { encodeFile } from './dapr-file.ts'
import type { DaprJournal, PendingWrite } from './dapr-journal.ts'
import { sweepSecrets } from './dapr-secrets.ts'
import { isAnyStale, lookAtAll, settle } from './dapr-sidecars.ts'
import type { DaprReader, Expected } from './dapr-sidecars.ts'
import { judge } from './dapr-verdict.ts'
import type { Verdict } from './dapr-verdict.ts'
import { previousObjects, renameIn, stage } from './dapr-write.ts'
import type { Staged, WriteInput } from './dapr-write.ts'
import type { Hooks } from './hooks.ts'

const BETWEEN_RENAMES: Duration = 50
/** What commands are told that changed: a sidecar starts anew as a whole. */
export const RELOAD = ['dapr']

export type ConcludeOptions = {
  journal: DaprJournal
  readers: readonly DaprReader[]
  clock: Clock
  hooks: Hooks
}

/** What shall be in the file, or is. */
export type Content = { staged: Staged; objects: ReadonlyMap<string, NextObject> }

/** What was taken back, and why. */
export type Bad = ReadonlyMap<string, string>

/** From the first rename on: the second one, the sidecars, and what they do not take. */
export class Concluder {
  readonly #options: ConcludeOptions
  /** What went wrong that is nobody's fault among the objects; told once. */
  #failed: Problem[] = []

  constructor(options: ConcludeOptions) {
    this.#options = options
  }

  /** What went wrong since this was asked last. */
  failures(): Problem[] {
    const failed = this.#failed
    this.#failed = []
    return failed
  }

  /** From the first rename on. Gives what was taken back, with why. */
  async conclude(
    write: WriteInput,
    {
      content,
      pending,
      before,
    }: { content: Content; pending: PendingWrite; before: ReadonlySet<string> },
    signal: AbortSignal,
  ): Promise<Bad> {
    const { clock, hooks, journal } = this.#options
    const { staged, objects } = content
    const expected = expectedIn(write, staged, objects)
    const unreloaded = await hooks.run(staged.generation, signal)
    this.#failed.push(...unreloaded)
    // One that nobody could start anew cannot have taken anything: its command runs again in the next pass.
    const isStuck = unreloaded.length > 0
    const readers = this.#options.readers.filter(({ reload }) => reload === 'hot' || !isStuck)
    let late = false
    if (!pending.renamed) {
      await clock.sleep(BETWEEN_RENAMES, signal)
      signal.throwIfAborted()
      late = isAnyStale(await lookAtAll(readers, expected, signal))
      await renameIn(write, staged.text)
      await journal.save({ ...journal.load(), pending: { ...pending, renamed: true } })
    }
    const again = (): Promise<void> => renameIn(write, staged.text)
    const looks = await settle({ readers, expected, before, late, again, clock, signal })
    const judged = judge(looks, new Set(pending.changed), before)
    const verdict = judged.kind === 'taken' && isStuck ? { kind: 'open' as const } : judged
    return this.#act(write, { content, pending, verdict }, signal)
  }

  async #act(
    write: WriteInput,
    { content, pending, verdict }: { content: Content; pending: PendingWrite; verdict: Verdict },
    signal: AbortSignal,
  ): Promise<Bad> {
    const { journal } = this.#options
    if (verdict.kind === 'taken' || verdict.kind === 'open') {
      if (verdict.kind === 'taken') await journal.save(without(journal.load()))
      this.#sweep(write, content.staged, pending, verdict.kind === 'taken')
      return new Map()
    }
    if (verdict.kind === 'partly') {
      await this.#takeBack(write, { content, pending, bad: verdict.bad }, signal)
      return verdict.bad
    }
    const { generation } = content.staged
    // As it was, byte for byte: the secrets that it refers to are still there.
    const text =
      pending.previous ?? encodeFile({ ...write.mark, generation, objects: [] }, write.rules)
    await renameIn(write, text)
    await journal.save(without(journal.load()))
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
    await renameIn(write, text)
    await journal.save({ ...journal.load(), pending: now })
    await clock.sleep(BETWEEN_RENAMES, signal)
    await renameIn(write, text)
    this.#failed.push(...(await this.#restart(generation, signal)))
    await journal.save(without(journal.load()))
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
}

function without<T extends { pending?: unknown }>({ pending: _, ...rest }: T): Omit<T, 'pending'> {
  return rest
}

/** What a sidecar has once it took these objects. */
export function expectedIn(
  { rules }: WriteInput,
  { hash }: Pick<Staged, 'hash'>,
  objects: ReadonlyMap<string, NextObject>,
): Expected {
  const all = [...objects.values()].map(({ file }) => file)
  return { objects: all, store: hash === undefined ? undefined : { name: rules.store, hash } }
}
