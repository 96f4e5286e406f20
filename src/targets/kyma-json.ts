import type { Multimap } from '../model/application.ts'

/**
 * A multimap as the bytes that Go's encoding/json makes of a map[string][]string: keys in the order of their bytes, no
 * spaces, and what HTML or JavaScript could trip over escaped (reference/go-agent.md §8). Reveals secrets.
 */
export function goJson(map: Multimap): string {
  const members = Object.entries(map)
    .map(([key, values]): [string, string[]] => [
      key.toWellFormed(),
      values.map((value) => value.reveal()),
    ])
    .sort(([a], [b]) => byCodePoint(a, b))
    .map(([key, values]) => `${quote(key)}:[${values.map(quote).join(',')}]`)
  return `{${members.join(',')}}`
}

/** JSON.stringify escapes control characters as Go ≥ 1.22 does; a lone surrogate is U+FFFD in Go. */
function quote(text: string): string {
  return JSON.stringify(text.toWellFormed()).replace(
    /[<>&\u2028\u2029]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The order of the UTF-8 bytes. UTF-16 differs from it: surrogates sort before U+E000–U+FFFF there. */
function byCodePoint(a: string, b: string): number {
  const [left, right] = [Array.from(a), Array.from(b)]
  const at = left.findIndex((one, index) => one !== right[index])
  if (at < 0) return left.length - right.length
  return (left[at]?.codePointAt(0) ?? 0) - (right[at]?.codePointAt(0) ?? -1)
}
