import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { envFile } from '../../src/targets/env-file.ts'

/** What systemd reads: double quotes, in which a backslash escapes `"`, `\`, backtick and `$` and joins lines. */
function systemd(text: string): Record<string, string> {
  const found: [string, string][] = []
  let at = 0
  while (at < text.length) {
    const equals = text.indexOf('=', at)
    const name = text.slice(at, equals)
    if (text[equals + 1] !== '"') throw new Error(`no quote after ${name}`)
    let value = ''
    at = equals + 2
    while (text[at] !== '"') {
      if (at >= text.length) throw new Error(`no end of ${name}`)
      const next = text[at + 1] ?? ''
      if (text[at] !== '\\') value += text.charAt(at++)
      else {
        value += '"\\`$'.includes(next) ? next : next === '\n' ? '' : `\\${next}`
        at += 2
      }
    }
    if (text[at + 1] !== '\n') throw new Error(`${name} does not end its line`)
    found.push([name, value])
    at += 2
  }
  return Object.fromEntries(found)
}

const entry = (key: string, value: string) => ({ key, value, format: 'text' as const })

test('variables carry the name of the binding and of the key', () => {
  expect(envFile('ucl-crm-orders-1a2b3c4d', [entry('client-id', 'x')])).toEqual({
    text: 'UCL_CRM_ORDERS_1A2B3C4D_CLIENT_ID="x"\n',
  })
})

test('a value is quoted so that systemd reads it back', () => {
  const made = envFile('b', [entry('password', 'a"b\\c`d$e\nf \t\r\'g # ; é🦊')])
  expect(made).toEqual({ text: 'B_PASSWORD="a\\"b\\\\c\\`d\\$e\nf \t\r\'g # ; é🦊"\n' })
})

test('any value without NUL comes back as it was', () => {
  const value = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0'))
  fc.assert(
    fc.property(value, value, (a, b) => {
      const made = envFile('b', [entry('one', a), entry('two', b)])
      expect(systemd('text' in made ? made.text : '')).toEqual({ B_ONE: a, B_TWO: b })
    }),
  )
})

test('what no environment can hold is refused by the name of its key', () => {
  const entries = [
    entry('username', 'u'),
    entry('password', 'a\0b'),
    entry('apis', 'x'.repeat(2 ** 17)),
  ]
  expect(envFile('b', entries)).toEqual({ refused: ['password', 'apis'] })
  const longest = 2 ** 17 - 1 - 'B_APIS='.length
  expect(envFile('b', [entry('apis', 'x'.repeat(longest))])).toHaveProperty('text')
  expect(envFile('b', [entry('apis', 'x'.repeat(longest + 1))])).toHaveProperty('refused')
})
