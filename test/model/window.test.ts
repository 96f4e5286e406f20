import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Window } from '../../src/model/window.ts'
import { nextWindow } from '../../src/model/window.ts'
import { DAY } from '../../src/model/time.ts'

const inWindow = (windows: Window[], at: number): boolean => nextWindow(windows, at) === at

const saturday: Window = { text: 'Sat 02:00-04:00 UTC', days: [6], from: 120, to: 240 }
const nights: Window = {
  text: '22:00-02:00 UTC',
  days: [0, 1, 2, 3, 4, 5, 6],
  from: 1320,
  to: 1560,
}
const at = (text: string) => Date.parse(text)

const window = fc
  .record({
    days: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 }),
    from: fc.integer({ min: 0, max: 1439 }),
    length: fc.integer({ min: 1, max: 1440 }),
  })
  .map(({ days, from, length }): Window => ({ text: 'any', days, from, to: from + length }))
const instant = fc.integer({ min: at('1969-01-01T00:00Z'), max: at('2100-01-01T00:00Z') })

describe('window', () => {
  test('includes its first moment and not its last', () => {
    expect(inWindow([saturday], at('2026-11-21T02:00:00Z'))).toBe(true)
    expect(inWindow([saturday], at('2026-11-21T03:59:59.999Z'))).toBe(true)
    expect(inWindow([saturday], at('2026-11-21T04:00:00Z'))).toBe(false)
    expect(inWindow([saturday], at('2026-11-20T03:00:00Z'))).toBe(false)
  })

  test('crosses midnight into the day after', () => {
    expect(inWindow([nights], at('2026-11-21T01:59:00Z'))).toBe(true)
    expect(inWindow([nights], at('2026-11-21T02:00:00Z'))).toBe(false)
    const friday = { ...nights, days: [5] }
    expect(inWindow([friday], at('2026-11-21T01:00:00Z'))).toBe(true)
    expect(inWindow([friday], at('2026-11-21T23:00:00Z'))).toBe(false)
  })

  test('comes again next week once it is over', () => {
    expect(nextWindow([saturday], at('2026-11-21T04:00:00Z'))).toBe(at('2026-11-28T02:00:00Z'))
    expect(nextWindow([saturday], at('2026-11-19T12:00:00Z'))).toBe(at('2026-11-21T02:00:00Z'))
  })

  test('no windows means at any time', () => {
    expect(inWindow([], 12345)).toBe(true)
    expect(nextWindow([], 12345)).toBe(12345)
  })

  test('the earliest of several counts', () => {
    const now = at('2026-11-21T12:00:00Z')
    expect(nextWindow([saturday, nights], now)).toBe(at('2026-11-21T22:00:00Z'))
  })

  test('the next window is never before now, within a week, and open', () => {
    fc.assert(
      fc.property(fc.array(window, { minLength: 1, maxLength: 4 }), instant, (windows, now) => {
        const next = nextWindow(windows, now)
        expect(next).toBeGreaterThanOrEqual(now)
        expect(next).toBeLessThanOrEqual(now + 7 * DAY)
        expect(inWindow(windows, next)).toBe(true)
        expect(inWindow(windows, now)).toBe(next === now)
      }),
    )
  })
})
