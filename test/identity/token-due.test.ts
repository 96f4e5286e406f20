import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { tokenDue } from '../../src/identity/token-due.ts'
import type { TokenIntent } from '../../src/model/identity.ts'
import { HOUR, MINUTE, SECOND } from '../../src/model/time.ts'

const T = Date.UTC(2026, 10, 21, 12)
const intent = (more: Partial<TokenIntent> = {}): TokenIntent => ({
  digest: 'd',
  firstSeen: T,
  until: T + HOUR,
  attempts: [],
  ...more,
})

/** Sends the token whenever it may be sent, asking at these steps, until it may not. */
function sendAll(start: TokenIntent, step: number): number[] {
  const sent = [...start.attempts]
  for (let now = T; now < T + 5 * HOUR; now += step) {
    const due = tokenDue({ ...start, attempts: sent }, now)
    if (due === 'over' || due === 'spent') break
    if (due.at <= now) sent.push(now)
  }
  return sent
}

describe('a token', () => {
  test('that was never sent is due at once, even past its own end', () => {
    expect(tokenDue(intent(), T)).toEqual({ at: T })
    expect(tokenDue(intent({ until: T - HOUR }), T)).toEqual({ at: T })
  })

  test('is due again after 5 s, then after ever longer pauses, six times in its hour', () => {
    const sent = sendAll(intent(), SECOND).map((at) => (at - T) / SECOND)
    expect(sent).toEqual([0, 5, 30, 150, 750, 1950])
  })

  test('is over when its time has passed after a try, or will have before the next one', () => {
    const tried = intent({ attempts: [T] })
    expect(tokenDue(tried, T + HOUR)).toBe('over')
    expect(tokenDue(intent({ attempts: [T], until: T + 4 * SECOND }), T + SECOND)).toBe('over')
    expect(tokenDue(tried, T + HOUR - 1)).toEqual({ at: T + HOUR - 1 })
  })

  test('that an answer proved spent is never due', () => {
    expect(tokenDue(intent({ spent: true }), T)).toBe('spent')
  })

  test('with a life of a day is sent at most six times in any hour of it', () => {
    const sent = sendAll(intent({ until: T + 24 * HOUR }), 30 * SECOND)
    expect(sent.length).toBeGreaterThan(12)
    for (const at of sent) {
      expect(sent.filter((other) => other > at - HOUR && other <= at).length).toBeLessThanOrEqual(6)
    }
  })

  test('is not blocked for longer than an hour by a clock that was set back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -10 * 365, max: 10 * 365 }), { maxLength: 12 }),
        (days) => {
          const attempts = days.map((day) => T + day * 24 * HOUR)
          const due = tokenDue(intent({ attempts, until: T + 20 * 365 * 24 * HOUR }), T)
          if (typeof due === 'string') throw new Error(due)
          expect(due.at).toBeGreaterThanOrEqual(T)
          expect(due.at).toBeLessThanOrEqual(T + HOUR)
        },
      ),
    )
  })

  test('is asked about without changing the intent', () => {
    const given = intent({ attempts: [T + MINUTE, T] })
    tokenDue(given, T)
    expect(given.attempts).toEqual([T + MINUTE, T])
  })
})
