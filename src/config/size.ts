import * as v from 'valibot'

const UNITS = { B: 1, KiB: 1024, MiB: 1024 * 1024 } as const
const SIZE = /^(\d{1,9})(B|KiB|MiB)$/

function parseSize(text: string): number | undefined {
  const [, count, unit] = SIZE.exec(text) ?? []
  return count === undefined ? undefined : Number(count) * UNITS[unit as keyof typeof UNITS]
}

function writeSize(bytes: number): string {
  if (bytes % UNITS.MiB === 0) return `${bytes / UNITS.MiB}MiB`
  return bytes % UNITS.KiB === 0 ? `${bytes / UNITS.KiB}KiB` : `${bytes}B`
}

/** A number of bytes such as 512KiB; becomes a number. */
export function size(about: string, [min, max]: [number, number]) {
  const range = `from ${writeSize(min)} to ${writeSize(max)}`
  const want = `a size such as 512KiB or 1MiB, ${range}`
  return v.pipe(
    v.string(want),
    v.title('size'),
    v.description(`${about} ${range[0]?.toUpperCase()}${range.slice(1)}.`),
    v.regex(SIZE, want),
    v.transform((text) => parseSize(text) ?? 0),
    v.minValue(min, want),
    v.maxValue(max, want),
  )
}
