import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { BACKOFF, delay, renewalCap } from '../../src/model/backoff.ts'
import { HOUR, MINUTE, SECOND } from '../../src/model/time.ts'

const longest = () => 1 - Number.EPSILON

test('the longest wait doubles with each failure until the cap', () => {
  const waits = [1, 2, 3, 4, 8, 9, 10, 2000].map((failures) => delay(failures, BACKOFF, longest))
  expect(waits).toEqual([1, 2, 4, 8, 128, 256, 300, 300].map((seconds) => seconds * SECOND))
})

test('a wait is anywhere between nothing and the longest', () => {
  fc.assert(
    fc.property(
      fc.nat(100),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (n, unit) => {
        const wait = delay(n, BACKOFF, () => unit)
        expect(wait).toBeGreaterThanOrEqual(0)
        expect(wait).toBeLessThanOrEqual(BACKOFF.cap)
      },
    ),
  )
})

test('Retry-After is obeyed up to an hour, spread by a tenth', () => {
  const asked = (retryAfter: number, random: () => number) =>
    delay(1, { ...BACKOFF, retryAfter }, random)
  expect(asked(10 * MINUTE, () => 0)).toBe(10 * MINUTE)
  expect(asked(10 * MINUTE, longest)).toBe(11 * MINUTE)
  expect(asked(10 * 365 * 24 * HOUR, () => 0)).toBe(HOUR)
  expect(asked(-5, () => 0)).toBe(0)
})

test('renewal waits at most a twentieth of the life left', () => {
  expect(renewalCap(20 * MINUTE)).toBe(MINUTE)
  expect(renewalCap(90 * 24 * HOUR)).toBe(5 * MINUTE)
  expect(renewalCap(5 * SECOND)).toBe(SECOND)
  expect(renewalCap(0)).toBe(5 * MINUTE)
})
