import type { Window } from '../model/window.ts'

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const DAY_MINUTES = 24 * 60

/** `[days] HH:MM-HH:MM UTC`; the days are single ones, ranges, or both: `Sat`, `Mon-Fri`, `Mon,Wed,Sat-Sun`. */
export const WINDOW =
  /^(?:((?:Sun|Mon|Tue|Wed|Thu|Fri|Sat)(?:[-,](?:Sun|Mon|Tue|Wed|Thu|Fri|Sat))*) )?([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d) UTC$/

/** What to tell a person who wrote something else. */
export const WANT_WINDOW = 'a window such as "Sat 02:00-04:00 UTC"'

/** The window of a text like `Sat 02:00-04:00 UTC`, without days for every day; undefined when it is none. */
export function parseWindow(text: string): Window | undefined {
  const match = WINDOW.exec(text)
  if (match === null) return undefined
  const [, named, ...clock] = match
  const [h1 = 0, m1 = 0, h2 = 0, m2 = 0] = clock.map(Number)
  const from = h1 * 60 + m1
  const end = h2 * 60 + m2
  if (end > DAY_MINUTES || end === from) return undefined
  const days = named === undefined ? [0, 1, 2, 3, 4, 5, 6] : parseDays(named)
  // An end before the beginning is on the next day.
  return days && { text, days, from, to: end > from ? end : end + DAY_MINUTES }
}

/** `Fri-Mon` goes over the weekend; `Mon-Tue-Wed` means nothing. */
function parseDays(text: string): number[] | undefined {
  const days = new Set<number>()
  for (const part of text.split(',')) {
    const [first = -1, last = first, ...more] = part.split('-').map((day) => DAYS.indexOf(day))
    if (more.length > 0) return undefined
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day)
      if (day === last) break
    }
  }
  return [...days].sort((a, b) => a - b)
}
