import type { Duration } from '../model/time.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../model/time.ts'

/** Whole numbers with units, the larger first, each unit once: `3m`, `24h`, `1h30m`, `1s500ms`. */
export const DURATION =
  /^(?=\d)(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m(?!s))?(?:(\d{1,9})s)?(?:(\d{1,12})ms)?$/

/** What to tell a person who wrote something else. */
export const WANT_DURATION = 'a length of time such as 30s, 3m or 24h'

/** Milliseconds of a text like `1h30m`; undefined when it is no length of time. */
export function parseDuration(text: string): Duration | undefined {
  const match = DURATION.exec(text)
  if (match === null) return undefined
  const units = [DAY, HOUR, MINUTE, SECOND, 1]
  return units.reduce((sum, unit, index) => sum + unit * Number(match[index + 1] ?? 0), 0)
}

/** The text that parses to the given whole number of milliseconds, as a person would write it. */
export function writeDuration(length: Duration): string {
  const units: [string, number][] = [
    ['d', DAY],
    ['h', HOUR],
    ['m', MINUTE],
    ['s', SECOND],
    ['ms', 1],
  ]
  let rest = length
  let text = ''
  for (const [name, unit] of units) {
    const count = Math.floor(rest / unit)
    if (count > 0) text += `${count}${name}`
    rest -= count * unit
  }
  return text === '' ? '0s' : text
}
