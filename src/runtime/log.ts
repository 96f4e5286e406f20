/** Fields are plain data; a Secret prints as `[secret]`, an Error as its message. */
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

/** Opens a log. One call is one line. */
export function openLog(options: LogOptions): Log {
  void options
  throw new Error('not yet')
}
