/** A place in a text, both counted from 1; columns in UTF-16 units, as editors count them. */
export type Place = { line: number; column: number }

/** Turns offsets into places. YAML ends a line at LF, CRLF or CR. */
export function placesOf(text: string): (offset: number) => Place {
  const starts = [0]
  for (const match of text.matchAll(/\r\n|\n|\r/g)) starts.push(match.index + match[0].length)
  return (offset) => {
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((starts[middle] ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 }
  }
}
