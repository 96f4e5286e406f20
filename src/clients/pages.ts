import { AgentError } from '../model/problem.ts'
import type { Json } from './decode.ts'

/** One page of a list of the Director. */
export type Page<Row> = {
  rows: Row[]
  endCursor: string
  hasNextPage: boolean
  totalCount: number
}

/** Decodes a page; `row` decodes one entry of its data. */
export function decodePage<Row>(page: Json, row: (entry: Json) => Row): Page<Row> {
  const info = page.object('pageInfo')
  return {
    rows: page.list('data').map(row),
    endCursor: info.text('endCursor'),
    hasNextPage: info.flag('hasNextPage'),
    totalCount: page.count('totalCount'),
  }
}

/**
 * The list changed while it was read, or a part of it came twice or not at all: what was read is no state of the
 * Director's. Never leaves this folder: it becomes answer_incomplete when reading again does not help.
 */
export class Moved extends Error {
  override readonly name = 'Moved'
}

/** More rows than any real tenant has: an answer without end. */
const MOST_ROWS = 100_000

/** Reads one page: at most `first` rows from the cursor `after`, which is undefined for the first page. */
export type ReadPage<Row> = (
  first: number,
  after: string | undefined,
) => Promise<{ page: Page<Row>; bytes: number }>

/**
 * All rows of a list, page by page from its start.
 *
 * Cursors are offsets without a snapshot, so rows shift between pages when something is added or removed; that shows
 * only in `totalCount`, which must be equal on all pages and equal to the number of distinct ids. Else throws
 * {@link Moved}. A page that takes too long or is too large is asked for again with fewer rows, from the same offset.
 */
export async function readAll<Row extends { id: string }>(
  read: ReadPage<Row>,
  size: PageSize,
): Promise<Row[]> {
  const rows = new Map<string, Row>()
  let after: string | undefined
  let total: number | undefined
  for (;;) {
    const page = await readPage(read, size, after)
    total ??= page.totalCount
    if (page.totalCount !== total) {
      throw new Moved(`its size went from ${total} to ${page.totalCount} while it was read`)
    }
    if (total > MOST_ROWS) throw new Moved(`it claims to have ${total} entries`)
    for (const row of page.rows) {
      if (rows.has(row.id)) throw new Moved('an entry came twice')
      rows.set(row.id, row)
    }
    if (!page.hasNextPage) break
    if (page.rows.length === 0 || page.endCursor === '' || rows.size >= total) {
      throw new Moved('a page names a next one that cannot be')
    }
    after = page.endCursor
  }
  if (rows.size !== total) throw new Moved(`${rows.size} of ${total} entries came`)
  return [...rows.values()]
}

async function readPage<Row>(
  read: ReadPage<Row>,
  size: PageSize,
  after: string | undefined,
): Promise<Page<Row>> {
  for (;;) {
    const first = size.next()
    try {
      const { page, bytes } = await read(first, after)
      size.learn(bytes, page.rows.length)
      return page
    } catch (thrown) {
      if (!shrink(size, first, thrown)) throw thrown
    }
  }
}

/** Whether a smaller page may help; then `size` gives one. A server that nobody could connect to is not too slow. */
function shrink(size: PageSize, first: number, thrown: unknown): boolean {
  if (!(thrown instanceof AgentError)) return false
  if (thrown.code === 'answer_too_large') return size.tooLarge(first)
  const slow = 'limit' in thrown.detail || 'status' in thrown.detail
  return thrown.code === 'timed_out' && slow && size.tooSlow(first)
}

/** True when one page is the whole list: nothing after it, nothing twice, nothing missing. Sorts the rows by id. */
export function isWhole(page: Page<{ id: string }>): boolean {
  sortById(page.rows)
  const twice = page.rows.some((row, index) => row.id === page.rows[index + 1]?.id)
  return !page.hasNextPage && !twice && page.rows.length === page.totalCount
}

/** Sorts in place, by UTF-16 code units: the same everywhere. */
export function sortById<Row extends { id: string }>(rows: Row[]): Row[] {
  return rows.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
}

const MOST_BYTES = 4_000_000
/**
 * A page of several rows is given up beyond this and asked for again with fewer: what a row weighs is not known before
 * the first page, and one of a large tenant would fill the memory.
 */
const CUT_BYTES = 2 * MOST_BYTES

/** How many bytes of a page of so many rows are read, of those that may be read at all. */
export function mostBytes(first: number, allowed = Infinity): number {
  return first > 1 ? Math.min(CUT_BYTES, allowed) : allowed
}

const LARGEST = 200
/** A page of so few rows that is too slow is not slow for its size. */
const SMALLEST = 25
/** Fetches without trouble after which a halved page grows again: about an hour of them. */
const CALM = 20

/**
 * How many rows a page of one list has: at most 200, so many as 4 MB hold by what the previous fetch weighed, and half
 * of that after each time-out. Kept from fetch to fetch.
 */
export class PageSize {
  #limit = LARGEST
  #calm = 0
  /** Bytes of a row: the heaviest page (on average) of the last fetch, and of this one. */
  #last = 0
  #now = 0

  next(): number {
    const bytes = Math.max(this.#last, this.#now)
    const fit = bytes === 0 ? LARGEST : Math.floor(MOST_BYTES / bytes)
    return Math.max(1, Math.min(this.#limit, fit))
  }

  learn(bytes: number, rows: number): void {
    if (rows > 0) this.#now = Math.max(this.#now, bytes / rows)
  }

  /** After a page of `first` rows timed out; false when a smaller one is not worth trying. */
  tooSlow(first: number): boolean {
    if (first <= SMALLEST) return false
    this.#limit = Math.max(SMALLEST, Math.floor(first / 2))
    this.#calm = 0
    return true
  }

  /** After a page of `first` rows was more than may be read; false when it was a single row. */
  tooLarge(first: number): boolean {
    this.learn(2 * CUT_BYTES, first)
    return first > 1
  }

  /** A fetch ended well: what it weighed counts for the next one. */
  settle(): void {
    this.#last = this.#now
    this.#now = 0
    this.#calm++
    if (this.#calm < CALM) return
    this.#calm = 0
    this.#limit = Math.min(LARGEST, this.#limit * 2)
  }
}
