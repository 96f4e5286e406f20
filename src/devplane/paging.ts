import { internalError, invalidData } from './director-error.ts'

/** One page as the Director's schema has it. */
export type Page<Row> = { data: readonly Row[]; pageInfo: PageInfo; totalCount: number }

export type PageInfo = { startCursor: string; endCursor: string; hasNextPage: boolean }

export type PageArguments = { first?: number | null; after?: string | null }

const MARK = 'DpKtJ4j9jDq'
/** Page size when `first` is missing, and the largest one of nested lists. */
const DEFAULT_PAGE_SIZE = 200

/** The cursor that stands before the row with this offset; opaque to clients, and no more than an offset. @testing for cursors beyond the end */
export function encodeCursor(offset: number): string {
  return btoa(MARK + String(offset))
}

/**
 * A page of rows by OFFSET and LIMIT, no snapshot behind it: rows that come or go between two requests shift the rest.
 *
 * `startCursor` is the cursor asked with, `endCursor` is empty on the last page; beyond the end there is an empty page
 * with the right count.
 *
 * @param options.what named in the message of a bad cursor
 * @param options.nested nested lists are capped at 200, the list of applications is not
 */
export function pageOf<Row>(
  rows: readonly Row[],
  args: PageArguments,
  options: { what: string; nested: boolean },
): Page<Row> {
  const size = pageSize(args.first, options.nested)
  const start = args.after ?? ''
  const offset = decodeCursor(start, options.what)
  const end = offset + size
  const hasNextPage = end < rows.length
  return {
    data: offset === 0 && !hasNextPage ? rows : rows.slice(offset, end),
    pageInfo: {
      startCursor: start,
      endCursor: hasNextPage ? encodeCursor(end) : '',
      hasNextPage,
    },
    totalCount: rows.length,
  }
}

function pageSize(first: number | null | undefined, nested: boolean): number {
  if (first === null) throw invalidData(`missing required parameter 'first'`)
  const size = first ?? DEFAULT_PAGE_SIZE
  if (nested && (size < 1 || size > DEFAULT_PAGE_SIZE)) {
    throw invalidData(`page size must be between 1 and ${DEFAULT_PAGE_SIZE}`)
  }
  if (size < 1) throw invalidData('page size cannot be smaller than 1')
  return size
}

/** The offset in a cursor; the mark is not demanded. */
export function decodeCursor(cursor: string, what: string): number {
  if (cursor === '') return 0
  const text = decodeBase64(cursor, what).replace(new RegExp(`^${MARK}`), '')
  if (!/^[+-]?\d+$/.test(text)) {
    const why = `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`
    throw badCursor(what, `cursor is not correct: ${why}`)
  }
  const offset = Number(text)
  if (offset < 0) throw invalidData('cursor is not correct')
  return offset
}

function decodeBase64(cursor: string, what: string): string {
  const at = /[^A-Za-z0-9+/=]/.exec(cursor)?.index ?? cursor.length
  try {
    if (cursor.length % 4 !== 0) throw new Error('length')
    return atob(cursor)
  } catch {
    throw badCursor(what, `cursor is not correct: illegal base64 data at input byte ${at}`)
  }
}

function badCursor(what: string, why: string): Error {
  return internalError(`${what}: while decoding page cursor: ${why}`)
}
