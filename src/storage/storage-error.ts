import { AgentError } from '../model/problem.ts'

/** What databases say in codes, for people. */
const REASONS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the name does not resolve',
  ETIMEDOUT: 'it does not answer',
  '28P01': 'the password is wrong',
  '28000': 'the user may not log in',
  '3D000': 'there is no such database',
  '42501': 'the user lacks a right',
  '53100': 'its disk is full',
  '53300': 'it has too many connections',
  '57P01': 'it is shutting down',
  '57P03': 'it is starting or shutting down',
}

/** SQLite's numbers, without their extension. */
const SQLITE: Record<number, string> = {
  5: 'another process holds it',
  6: 'another process holds it',
  8: 'it cannot be written',
  10: 'the disk fails',
  11: 'it is damaged',
  13: 'the disk is full',
  14: 'it cannot be opened',
  26: 'it is no database',
}

/**
 * What a database throws, without what it says of rows: details of an error may hold values. Everything of ours goes
 * through as it is.
 */
export function storageError(what: string, thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown
  const full = isFull(thrown)
  return new AgentError(full ? 'disk_full' : 'storage_failed', `Cannot ${what}: ${why(thrown)}`)
}

function isFull(thrown: unknown): boolean {
  return codeOf(thrown) === '53100' || sqliteCode(thrown) === 13
}

function why(thrown: unknown): string {
  const code = codeOf(thrown)
  const number = sqliteCode(thrown)
  if (number !== undefined) return SQLITE[number] ?? `SQLite says error ${number}`
  if (code !== undefined && code in REASONS) return `${REASONS[code] ?? ''} (${code})`
  // An error of our own queries is a defect, whose text is the way to it; it names columns and no values.
  const text = thrown instanceof Error ? (thrown.message.split('\n', 1)[0] ?? '') : ''
  const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text
  return code === undefined ? shown || 'no reason is given' : `${shown} (${code})`
}

function sqliteCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('errcode' in thrown)) return undefined
  return typeof thrown.errcode === 'number' ? thrown.errcode & 0xff : undefined
}

function codeOf(thrown: unknown): string | undefined {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  return typeof code === 'string' ? code : undefined
}
