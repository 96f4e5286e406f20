import { formatInstant } from '../model/time.ts'
import { isTerminal, stderr } from './process.ts'

/** Fields are plain data; a Secret prints as `[secret]`, an Error as its message, bytes as their number. */
export type LogFields = Record<string, unknown>

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type LogOptions = {
  level: LogLevel
  /** `auto`: text when stderr is a terminal, JSON lines otherwise. */
  format: 'auto' | 'json' | 'text'
  /** Receives whole lines with their newline; stderr when missing. */
  write?: (line: string) => void
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** Opens a log. One call is one line, whatever the message and the fields hold. */
export function openLog({ level, format, write = stderr }: LogOptions): Log {
  const text = format === 'text' || (format === 'auto' && isTerminal('stderr'))
  const render = text ? textLine : jsonLine
  const lowest = LEVELS.indexOf(level)
  const at =
    (own: LogLevel): Log['info'] =>
    (message, fields = {}) => {
      if (LEVELS.indexOf(own) >= lowest) write(render(own, message, fields))
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Each member on its own, so that one that cannot be printed does not take the others with it. */
function jsonLine(level: LogLevel, message: string, fields: LogFields): string {
  const line: LogFields = { time: new Date().toISOString(), level, message }
  for (const [key, value] of Object.entries(fields)) line[key in line ? `${key}_` : key] = value
  const members = Object.entries(line)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${JSON.stringify(key)}:${toJson(value)}`)
  return `${harmless(`{${members.join(',')}}`)}\n`
}

function textLine(level: LogLevel, message: string, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${plainWord(toJson(value))}`)
  const head = `${formatInstant(Date.now())} ${level.toUpperCase().padEnd(5)}`
  return `${head} ${harmless(message)}${harmless(pairs.join(''))}\n`
}

/** Quotes only where a reader needs them. */
function plainWord(json: string): string {
  return json.replace(/^"([\w.:/@+-]+)"$/, '$1')
}

function toJson(value: unknown): string {
  try {
    return JSON.stringify(value, printable)
  } catch {
    return '"[unprintable]"'
  }
}

/** Secret has a toJSON of its own, so it never arrives here as an object. */
function printable(key: string, value: unknown): unknown {
  // A function has no JSON at all.
  if (typeof value === 'function' || (key === '' && value === undefined)) return '[unprintable]'
  if (value instanceof Error) return value.message
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  return typeof value === 'bigint' ? String(value) : value
}

/** Names come from outside: no line break, terminal sequence or change of direction gets into a line. */
function harmless(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
