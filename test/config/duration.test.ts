import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseDuration, writeDuration } from '../../src/config/duration.ts'

describe('duration', () => {
  test.each([
    ['3m', 180_000],
    ['24h', 86_400_000],
    ['1s500ms', 1500],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['500ms', 500],
    ['5m500ms', 300_500],
    ['0s', 0],
  ])('%s is %d ms', (text, expected) => {
    expect(parseDuration(text)).toBe(expected)
  })

  test.each([
    '',
    '3',
    'm',
    '3 m',
    '1.5h',
    '-3m',
    '3M',
    '1m2h',
    '1s1s',
    '3min',
    '1e3s',
    '99999999999s',
  ])('"%s" is no length of time', (text) => {
    expect(parseDuration(text)).toBeUndefined()
  })

  test('what is written is parsed back', () => {
    fc.assert(
      fc.property(fc.nat({ max: 10 ** 12 }), (ms) => {
        expect(parseDuration(writeDuration(ms))).toBe(ms)
      }),
    )
  })
})
