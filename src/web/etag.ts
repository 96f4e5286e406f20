/**
 * Whether an If-None-Match header names an ETag (given without quotes), as RFC 9110 13.1.2 compares: weakly, a list, or `*`.
 * What is no such header matches nothing, so that the whole answer is sent.
 */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined || header.length > LONGEST) return false
  if (header.trim() === '*') return true
  const rest = header.replaceAll(ONE, (_all, opaque: string) => (opaque === etag ? '\u0001' : ''))
  return rest.includes('\u0001')
}

const LONGEST = 8192
const ONE = /(?:W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/g
