import { MINUTE, SECOND } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Keeper } from './keeper.ts'

/** What is known of who asked, and when: kept in memory, written now and then, so that a poll writes nothing. */
export interface Seen {
  /** A runtime was answered. */
  served(runtime: string, cn: string): void
  /** A certificate that nobody has admitted has asked. */
  refused(cn: string, runtime: string): void
  lastOf(runtime: string): { cn: string; at: Instant } | undefined
  /** Writes what is not written yet. Throws storage_failed, and keeps it. */
  flush(): Promise<void>
  /** Writes every few seconds, and once more at the end. */
  run(signal: AbortSignal): Promise<void>
}

/** Somebody may be waiting to admit it. */
const REFUSED_EVERY: Duration = 5 * SECOND
/** So often of that: when it was answered last is for people and for metrics. */
const SERVED_EVERY = 12
/** A certificate that asks on and on is written as rarely as this. */
const AGAIN: Duration = 5 * MINUTE
/** Rows of one statement, and then others get their turn. */
const ROWS = 50
/** A statement takes some milliseconds, with the processor and the disk to itself. */
const PAUSE: Duration = 20
const never = new AbortController().signal
/** More that wait to be admitted are not remembered: whoever makes certificates must not fill the store. */
const MOST_PENDING = 1000

export function openSeen(keeper: Keeper, clock: Clock): Seen {
  const { storage } = keeper
  const served = new Map<string, { cn: string; at: Instant }>()
  const unwritten = new Set<string>()
  const refused = new Map<string, { runtime: string; at: Instant }>()
  const told = new Map<string, { runtime: string; at: Instant }>()

  const flushServed = async (signal = never): Promise<void> => {
    const due = [...unwritten]
    for (let at = 0; at < due.length; at += ROWS) {
      const part = due.slice(at, at + ROWS)
      const rows = part.flatMap((runtime) => {
        const last = served.get(runtime)
        return last === undefined ? [] : [{ runtime, ...last }]
      })
      await storage.write((db) =>
        db
          .insertInto('seen')
          .values(rows)
          .onConflict((conflict) =>
            conflict
              .column('runtime')
              .doUpdateSet(({ ref }) => ({ cn: ref('excluded.cn'), at: ref('excluded.at') })),
          )
          .execute(),
      )
      for (const runtime of part) unwritten.delete(runtime)
      await clock.sleep(PAUSE, signal)
    }
  }
  const flushRefused = async (): Promise<void> => {
    const due = [...refused]
    if (due.length === 0) return
    await storage.write(async (db) => {
      const known = await db.selectFrom('pending').select('cn').execute()
      const names = new Set(known.map(({ cn }) => cn))
      const room = Math.max(0, MOST_PENDING - names.size)
      const isNew = ([cn]: (typeof due)[number]): boolean => !names.has(cn)
      const kept = [...due.filter((one) => !isNew(one)), ...due.filter(isNew).slice(0, room)]
      for (const [cn, { runtime, at }] of kept)
        await db
          .insertInto('pending')
          .values({ cn, runtime, first_seen: at, last_seen: at })
          .onConflict((conflict) => conflict.column('cn').doUpdateSet({ runtime, last_seen: at }))
          .execute()
    })
    if (told.size > MOST_PENDING) told.clear()
    for (const [cn, asked] of due) {
      told.set(cn, asked)
      if (refused.get(cn) === asked) refused.delete(cn)
    }
  }
  return {
    served(runtime, cn) {
      served.set(runtime, { cn, at: clock.now() })
      unwritten.add(runtime)
    },
    refused(cn, runtime) {
      const at = clock.now()
      const last = told.get(cn)
      if (last?.runtime === runtime && Math.abs(at - last.at) < AGAIN) return
      if (refused.size < MOST_PENDING || refused.has(cn)) refused.set(cn, { runtime, at })
    },
    lastOf: (runtime) => served.get(runtime),
    async flush() {
      await flushRefused()
      await flushServed()
    },
    async run(signal) {
      const isOver = (): boolean => signal.aborted
      for (let tick = 1; !isOver(); tick += 1) {
        await clock.sleep(REFUSED_EVERY, signal)
        // What cannot be written now is written with the next group; the store says itself that it is in trouble.
        await flushRefused().catch(() => undefined)
        if (tick % SERVED_EVERY === 0 || isOver()) await flushServed(signal).catch(() => undefined)
      }
    },
  }
}
