import type { HookConfig } from '../config/config.ts'
import { arrayOf, asNumber, asObject, asString, Malformed, optional } from '../model/decode.ts'
import type { JsonObject } from '../model/decode.ts'
import { readText, removeFile, writeAtomic } from '../runtime/files.ts'
import { hookId, namesFor } from './hook-command.ts'

/** What a change will make due. */
export type Prepared = {
  /** Generation that readers see, and the one that they are about to see. */
  current: number
  next: number
  /** Names of the bindings that change. */
  names: readonly string[]
}

/** One command that must run, because the bindings named changed up to `generation`. */
export type Due = { hook: HookConfig; id: string; generation: number; names: string[] }

/** What somebody else was asked to run: command and generation of a {@link Due}, and how the request is called. */
export type Asked = { hook: string; generation: number; request: string }

/** Which commands have to run, over crashes. The one file that both kinds of hooks keep, in the state directory. */
export interface HookJournal {
  /** Stores what will have to run. What was prepared for a change that never came is void. */
  prepare(change: Prepared): Promise<void>
  /** What has to run for what readers see, in the order of agent.yaml. */
  due(current: number): Promise<Due[]>
  /** It ran well: forgets it. */
  done(due: Due): Promise<void>
  asked(): Promise<readonly Asked[]>
  /** Stores all that is asked for now. */
  ask(asked: readonly Asked[]): Promise<void>
}

type Pending = { hook: string; generation: number; names: string[] }
type Stored = { pending: readonly Pending[]; asked: readonly Asked[] }

const VERSION = 1

export function openHookJournal(path: string, hooks: readonly HookConfig[]): HookJournal {
  const known = hooks.map((hook) => ({ hook, id: hookId(hook) }))
  // Read once: nobody else writes it.
  let stored: Promise<Stored> | undefined
  const load = (): Promise<Stored> => (stored ??= read(path))
  const save = async (next: Stored): Promise<void> => {
    await write(path, next)
    stored = Promise.resolve(next)
  }
  return {
    async prepare({ current, next, names }) {
      const due = known.flatMap(({ hook, id }): Pending[] => {
        const matching = namesFor(hook, names)
        return matching.length === 0 ? [] : [{ hook: id, generation: next, names: matching }]
      })
      const { pending, asked } = await load()
      const valid = pending.filter(({ generation }) => generation <= current)
      if (due.length > 0 || valid.length < pending.length)
        await save({ pending: [...valid, ...due], asked })
    },
    async due(current) {
      const { pending } = await load()
      return known.flatMap(({ hook, id }): Due[] => {
        const mine = pending.filter((p) => p.hook === id && p.generation <= current)
        if (mine.length === 0) return []
        const names = [...new Set(mine.flatMap((one) => one.names))].sort()
        return [{ hook, id, names, generation: Math.max(...mine.map((one) => one.generation)) }]
      })
    },
    async done({ id, generation }) {
      const { pending, asked } = await load()
      await save({
        pending: pending.filter((one) => one.hook !== id || one.generation > generation),
        asked: asked.filter((one) => one.hook !== id),
      })
    },
    asked: async () => (await load()).asked,
    ask: async (asked) => save({ ...(await load()), asked }),
  }
}

async function read(path: string): Promise<Stored> {
  const text = await readText(path)
  if (text === undefined) return { pending: [], asked: [] }
  try {
    const json = asObject(JSON.parse(text) as unknown, 'journal')
    if (json['version'] !== VERSION) throw new Malformed('version')
    return {
      pending: arrayOf(json['pending'], 'pending', (value, at) => {
        const one = asObject(value, at)
        return { ...key(one, at), names: arrayOf(one['names'], at, asString) }
      }),
      asked:
        optional(json['asked'], 'asked', (value) =>
          arrayOf(value, 'asked', (item, at) => {
            const one = asObject(item, at)
            return { ...key(one, at), request: asString(one['request'], at) }
          }),
        ) ?? [],
    }
  } catch {
    // Written atomically, so this is a person's doing; what was pending is not known any more.
    return { pending: [], asked: [] }
  }
}

function key(json: JsonObject, at: string): { hook: string; generation: number } {
  return { hook: asString(json['hook'], at), generation: asNumber(json['generation'], at) }
}

async function write(path: string, { pending, asked }: Stored): Promise<void> {
  if (pending.length === 0) {
    await removeFile(path)
    return
  }
  const json = { version: VERSION, pending, ...(asked.length === 0 ? {} : { asked }) }
  await writeAtomic(path, `${JSON.stringify(json, null, 2)}\n`)
}
