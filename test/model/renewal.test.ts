import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  isExpired,
  nextRenewal,
  remainingLife,
  renewAt,
  renewalOffset,
} from '../../src/model/renewal.ts'
import type { RenewalClock, RenewalSettings, Validity } from '../../src/model/renewal.ts'
import { DAY, HOUR, MINUTE } from '../../src/model/time.ts'
import type { Window } from '../../src/model/window.ts'

const start = Date.UTC(2026, 10, 21)
const settings: RenewalSettings = { threshold: 0.3, offset: 0, windows: [] }
const year = 365 * DAY

const lives = fc.integer({ min: MINUTE, max: 10 * year })
const jumps = fc.integer({ min: -10 * year, max: 10 * year })
const offsets = fc.double({ min: -0.1, max: 0.1, noNaN: true })

const emergencyAt = ({ notBefore, notAfter }: Validity) => notAfter - (notAfter - notBefore) * 0.05

const isRenewalDue = (validity: Validity, how: RenewalSettings, clock: RenewalClock) =>
  nextRenewal(validity, how, clock) <= clock.now

const saturday: Window = { text: 'Sat 02:00-04:00 UTC', days: [6], from: 120, to: 240 }

test('a certificate of 90 days is renewed when 27 are left', () => {
  const validity = { notBefore: start, notAfter: start + 90 * DAY }
  expect(renewAt(validity, settings)).toBe(start + 63 * DAY)
})

test('agents are spread over ten percent of the time left, each always alike', () => {
  const offset = renewalOffset('agent-1')
  expect(renewalOffset('agent-1')).toBe(offset)
  const many = Array.from({ length: 2000 }, (_, n) => renewalOffset(String(n)))
  expect(Math.min(...many)).toBeGreaterThanOrEqual(-0.1)
  expect(Math.max(...many)).toBeLessThanOrEqual(0.1)
  for (const tenth of Array.from({ length: 10 }, (_, n) => -0.1 + n * 0.02)) {
    expect(many.filter((o) => o >= tenth && o < tenth + 0.02).length).toBeGreaterThan(130)
  }
})

test('it is always renewed between 34 and 5 percent of the life left, with windows or not', () => {
  fc.assert(
    fc.property(lives, offsets, fc.boolean(), (life, offset, windowed) => {
      const validity = { notBefore: start, notAfter: start + life }
      const windows = windowed ? [saturday] : []
      const at = renewAt(validity, { threshold: 0.3, offset, windows })
      expect(at).toBeGreaterThanOrEqual(validity.notAfter - life * 0.34)
      expect(at).toBeLessThanOrEqual(emergencyAt(validity))
    }),
  )
})

test('a window is waited for, but not below five percent of the life', () => {
  const long = { notBefore: start, notAfter: start + 90 * DAY }
  const at = new Date(renewAt(long, { ...settings, windows: [saturday] }))
  expect([at.getUTCDay(), at.getUTCHours()]).toEqual([6, 2])
  const short = { notBefore: start + DAY, notAfter: start + 2 * DAY }
  const soon = renewAt(short, { ...settings, windows: [saturday] })
  expect(soon).toBe(emergencyAt(short))
})

test('a threshold below five percent is an emergency at five', () => {
  const validity = { notBefore: start, notAfter: start + 100 * DAY }
  expect(renewAt(validity, { ...settings, threshold: 0.01 })).toBe(start + 95 * DAY)
})

describe('with two clocks', () => {
  const validity = { notBefore: start, notAfter: start + 100 * DAY }

  test('renewal is due when either of them says so', () => {
    const due = (now: number, skew: number) => isRenewalDue(validity, settings, { now, skew })
    expect(due(start + 71 * DAY, -70 * DAY)).toBe(true)
    expect(due(start + DAY, 70 * DAY)).toBe(true)
    expect(due(start + DAY, 68 * DAY)).toBe(false)
  })

  test('an identity is expired only when both of them say so', () => {
    fc.assert(
      fc.property(lives, jumps, jumps, (life, passed, skew) => {
        const cert = { notBefore: start, notAfter: start + life }
        const now = start + passed
        const both = now >= cert.notAfter && now + skew >= cert.notAfter
        expect(isExpired(cert, now, skew)).toBe(both)
      }),
    )
  })

  test('what is left is counted by the clock that leaves less', () => {
    expect(remainingLife(validity, { now: start, skew: HOUR })).toBe(100 * DAY - HOUR)
    expect(remainingLife(validity, { now: start, skew: -HOUR })).toBe(100 * DAY)
    expect(remainingLife(validity, { now: start + 200 * DAY })).toBe(0)
  })
})

test('the next renewal is the first instant at which it is due', () => {
  fc.assert(
    fc.property(lives, jumps, jumps, (life, passed, skew) => {
      const validity = { notBefore: start, notAfter: start + life }
      const clock = { now: start + passed, skew, obtainedAt: Math.min(start, start + passed) }
      const at = nextRenewal(validity, settings, clock)
      expect(isRenewalDue(validity, settings, { ...clock, now: Math.ceil(at) })).toBe(true)
      const before = Math.floor(at) - 1
      if (before > clock.obtainedAt)
        expect(isRenewalDue(validity, settings, { ...clock, now: before })).toBe(false)
    }),
  )
})

test('no clock, however wrong, renews more often than ten times in a life', () => {
  const clocks = fc.array(fc.record({ passes: fc.nat(1000), jump: jumps }), { maxLength: 60 })
  fc.assert(
    fc.property(lives, clocks, (life, steps) => {
      // A wall clock that is wrong by a constant after one jump; the server's clock is the true one.
      let truth = start
      const error = steps[0]?.jump ?? 0
      let obtainedAt = start + error
      let validity = { notBefore: start, notAfter: start + life }
      const renewals: number[] = []
      for (const { passes } of steps) {
        truth += Math.round((life * passes) / 20_000)
        const now = truth + error
        if (!isRenewalDue(validity, settings, { now, skew: -error, obtainedAt })) continue
        renewals.push(truth)
        validity = { notBefore: truth, notAfter: truth + life }
        obtainedAt = now
      }
      for (const [index, at] of renewals.entries()) {
        const last = index === 0 ? start : renewals[index - 1]!
        expect(at - last).toBeGreaterThanOrEqual(Math.floor(life * 0.1))
      }
    }),
  )
})

test('a clock that was set back after a renewal does not delay the next one', () => {
  const validity = { notBefore: start, notAfter: start + 100 * DAY }
  const clock = { now: start + 71 * DAY, obtainedAt: start + 10 * year }
  expect(isRenewalDue(validity, settings, clock)).toBe(true)
})
