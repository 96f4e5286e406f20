import { describe, expect, test } from 'bun:test'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { openLog } from '../../src/runtime/log.ts'
import type { LogFields, LogLevel } from '../../src/runtime/log.ts'

function record(format: 'json' | 'text', work: (log: ReturnType<typeof openLog>) => void): string {
  const lines: string[] = []
  work(openLog({ level: 'debug', format, write: (line) => lines.push(line) }))
  return lines.join('')
}

function jsonOf(message: string, fields?: LogFields): Record<string, unknown> {
  const line: Record<string, unknown> = JSON.parse(
    record('json', (log) => log.info(message, fields)),
  )
  return line
}

describe('a log line', () => {
  test('as JSON has time, level, message and the fields beside them', () => {
    const { time, ...rest } = jsonOf('it began', { count: 3, nested: { a: [1] } })
    expect(rest).toEqual({ level: 'info', message: 'it began', count: 3, nested: { a: [1] } })
    expect(Math.abs(Date.parse(String(time)) - Date.now())).toBeLessThan(5000)
  })

  test('as text has the fields behind the message, quoted only where needed', () => {
    const line = record('text', (log) =>
      log.warn('it ended', { name: 'ucl-crm', why: 'no reason', count: 3, none: undefined }),
    )
    expect(line.replace(/^\S+/, 'TIME')).toBe(
      'TIME WARN  it ended name=ucl-crm why="no reason" count=3\n',
    )
  })

  test('does not lose its own members to fields of the same name', () => {
    expect(jsonOf('said', { message: 'other', level: 'x' })).toMatchObject({
      level: 'info',
      message: 'said',
      message_: 'other',
      level_: 'x',
    })
  })

  test.each(['json', 'text'] as const)('in %s is one line whatever it holds', (format) => {
    const hostile = 'a\nb\r\u001b[31mc\u0085d\u2028e\u202ef\u0000g'
    const line = record(format, (log) => log.info(hostile, { name: hostile, [hostile]: 1 }))
    expect(line.split('\n').length).toBe(2)
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/)
    if (format === 'json') expect(JSON.parse(line)).toMatchObject({ message: hostile })
  })

  test.each(['json', 'text'] as const)('in %s never shows a secret, however deep', (format) => {
    const secret = new Secret('canary')
    const cause = new Error(`failed with ${String(secret)}`)
    const fields = {
      secret,
      list: [secret, { secret }],
      error: new AgentError('internal', 'Cannot go on', { cause: { secret } }),
      cause,
      map: new Map([['a', secret]]),
      bytes: new TextEncoder().encode('canary'),
    }
    const text = record(format, (log) => log.error(`token ${String(secret)}`, fields))
    expect(text).not.toContain('canary')
    expect(text).not.toContain('99,97,110')
    expect(text).toContain('[secret]')
    expect(text).toContain('[6 bytes]')
    expect(text).toContain('Cannot go on')
  })

  test('is written even when a field cannot be', () => {
    const circle: Record<string, unknown> = {}
    circle['self'] = circle
    const odd = {
      circle,
      big: 3n,
      call: () => 1,
      gone: undefined,
      empty: { toJSON: () => undefined },
    }
    expect(jsonOf('said', odd)).toMatchObject({ message: 'said', big: '3', call: '[unprintable]' })
    expect(record('text', (log) => log.info('said', { circle, big: 3n }))).toContain(
      'said circle="[unprintable]" big=3',
    )
  })
})

test.each([
  ['debug', ['debug', 'info', 'warn', 'error']],
  ['info', ['info', 'warn', 'error']],
  ['warn', ['warn', 'error']],
  ['error', ['error']],
] as [LogLevel, LogLevel[]][])(
  'level %s lets pass what is as grave or graver',
  (level, passing) => {
    const lines: string[] = []
    const log = openLog({ level, format: 'json', write: (line) => lines.push(line) })
    log.debug('x')
    log.info('x')
    log.warn('x')
    log.error('x')
    const levels = lines.map((line) => String(JSON.parse(line).level))
    expect(levels).toEqual(passing)
  },
)
