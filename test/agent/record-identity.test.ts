import { describe, expect, test } from 'bun:test'
import type { Deps } from '../../src/agent/deps.ts'
import { recordClock } from '../../src/agent/record-identity.ts'
import { recordSetBack } from '../../src/agent/set-back.ts'
import { obey } from '../../src/agent/trigger.ts'
import { DAY, HOUR } from '../../src/model/time.ts'
import { memory, NOW } from './samples.ts'

const deps = {
  clock: { now: () => NOW },
  settings: { name: 'test', renewal: { threshold: 0.3, windows: [] } },
  compass: { lastAnswer: () => ({ at: NOW, skew: 0 }) },
} as unknown as Deps

describe('a renewal that was asked for', () => {
  test('is not forgotten when the first answer tells the time, nor when the clock is set back', async () => {
    const known = memory({})
    expect(known.identity!.notAfter).toBeGreaterThan(NOW + 10 * DAY)
    recordClock(deps, known)
    expect(known.renew.nextAt).toBeGreaterThan(NOW)
    delete known.clockSkew
    await obey(deps, known, { kind: 'renew' })
    recordClock(deps, known)
    expect(known.renew.nextAt).toBe(NOW)
    recordSetBack(deps, known, HOUR)
    expect(known.renew.nextAt).toBe(NOW)
  })
})
