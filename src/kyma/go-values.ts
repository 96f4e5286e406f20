import type { ObjectName } from '../config/config.ts'
import type { Duration } from '../model/time.ts'
import { HOUR, MINUTE, SECOND } from '../model/time.ts'

/*
 * How the Go agent reads its variables. Each gives undefined for what Go refuses too.
 */

const UNITS: Record<string, Duration> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5
  μs: 1e-3, // U+03BC
  ms: 1,
  s: SECOND,
  m: MINUTE,
  h: HOUR,
}

/** time.ParseDuration: `180s`, `1h15m30.5s`, `-1m`, `0`; milliseconds. */
export function parseGoDuration(text: string): Duration | undefined {
  const [, sign = '', rest = ''] = /^([+-]?)(.*)$/.exec(text) ?? []
  if (rest === '0') return 0
  const parts = [...rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gy)]
  const read = parts.reduce((length, [part]) => length + part.length, 0)
  if (parts.length === 0 || read !== rest.length) return undefined
  const sum = parts.reduce((all, [, n, unit = '']) => all + Number(n) * (UNITS[unit] ?? 0), 0)
  return sign === '-' ? -sum : sum
}

/** strconv.ParseBool. */
export function parseGoBool(text: string): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true
  return ['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text) ? false : undefined
}

const DEFAULT_NAMESPACE = 'default'

/** parseNamespacedName of the Go agent: `name`, `name/` and `/name` are in namespace `default`; a third part is dropped. */
export function parseNamespacedName(text: string): ObjectName {
  const [first = '', second = ''] = text.split('/')
  if (second === '') return { namespace: DEFAULT_NAMESPACE, name: first }
  return { namespace: first.trim() === '' ? DEFAULT_NAMESPACE : first, name: second }
}
