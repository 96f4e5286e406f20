/** A point in time: milliseconds since 1970-01-01T00:00:00Z. */
export type Instant = number

/** A length of time in milliseconds. */
export type Duration = number

/** Later than everything: "not due until something changes". */
export const NEVER: Instant = Number.POSITIVE_INFINITY

export const SECOND: Duration = 1000
export const MINUTE: Duration = 60 * SECOND
export const HOUR: Duration = 60 * MINUTE
export const DAY: Duration = 24 * HOUR

/** RFC 3339 in UTC with whole seconds, as a person wants to read it; `never` for {@link NEVER}. */
export function formatInstant(at: Instant): string {
  return Number.isFinite(at) ? new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z') : 'never'
}

/** The two largest units of a length of time: `89d 23h`, `4m 10s`, `850ms`. */
export function formatDuration(length: Duration): string {
  if (!Number.isFinite(length)) return 'for ever'
  const sign = length < 0 ? '-' : ''
  const ms = Math.abs(Math.round(length))
  if (ms < SECOND) return `${sign}${ms}ms`
  const units: [string, number][] = [
    ['d', Math.floor(ms / DAY)],
    ['h', Math.floor(ms / HOUR) % 24],
    ['m', Math.floor(ms / MINUTE) % 60],
    ['s', Math.floor(ms / SECOND) % 60],
  ]
  const first = units.findIndex(([, count]) => count > 0)
  const shown = units.slice(first, first + 2).filter(([, count]) => count > 0)
  return sign + shown.map(([unit, count]) => `${count}${unit}`).join(' ')
}
