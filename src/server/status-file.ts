import type { Reporter } from '../agent/ports.ts'
import type { Status } from '../model/status.ts'
import { HOUR, SECOND } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import { readText, writeAtomic } from '../runtime/files.ts'
import type { Log } from '../runtime/log.ts'
import { join } from '../runtime/path.ts'

/** Members of a status that only tell the time, or come and go with it. */
const TIMES = new Set([
  'at',
  'nextAt',
  'lastAttempt',
  'lastSuccess',
  'renewAt',
  'clockSkew',
  'state',
  'why',
  'running',
  'fetchedAt',
  'listening',
])

/** What has been going on for longer may never end: then the file must not stay as it was before. */
const LONG = 15 * SECOND

/**
 * Keeps `<state>/status.json` for `agent status` when no agent runs: written when anything but a time changes, hourly,
 * and at the end.
 */
export function statusFile(directory: string, log: Log): Reporter {
  const path = statusFilePath(directory)
  let written: { content: string; at: Instant } | undefined
  return {
    async report(status, final) {
      const busy = status.running.some(({ since }) => status.at - since < LONG)
      if (busy && !final) return
      const content = contentOf(status)
      const due =
        written === undefined || written.content !== content || status.at - written.at >= HOUR
      if (!due && !final) return
      try {
        await writeAtomic(path, `${JSON.stringify(status, null, 2)}\n`)
        written = { content, at: status.at }
      } catch (thrown) {
        log.debug('cannot write the status file', { thrown })
      }
    },
  }
}

/** All but the times. Without a replacer, which would be called for every member of 200 applications in each tick. */
function contentOf({ identity, sources, targets, configuration, ...rest }: Status): string {
  const { reported, ...documents } = configuration ?? {}
  const parts = {
    identity: timeless(identity ?? {}),
    sources: sources.map(timeless),
    targets: targets.map(timeless),
    configuration: { ...timeless(documents), reported: timeless(reported ?? {}) },
  }
  return JSON.stringify({ ...timeless(rest), ...parts })
}

function timeless(part: object): object {
  return Object.fromEntries(Object.entries(part).filter(([name]) => !TIMES.has(name)))
}

export function statusFilePath(directory: string): string {
  return join(directory, 'status.json')
}

/** What the last agent has left there; undefined: none has ever run. */
export async function lastStatus(directory: string): Promise<Status | undefined> {
  const text = await readText(statusFilePath(directory))
  return text === undefined ? undefined : reviveStatus(text)
}

/** A status as it was written: JSON has no infinity, so "never" came as null. */
export function reviveStatus(text: string): Status {
  return JSON.parse(text, (key, value: unknown) =>
    value === null && (key === 'nextAt' || key === 'renewAt') ? Infinity : value,
  ) as Status
}
