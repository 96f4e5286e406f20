import { afterAll, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { MINUTE } from '../../src/model/time.ts'
import { layersOf, nextStep, places } from '../../src/runtime-director/rollout.ts'
import type { Rollout } from '../../src/runtime-director/rollout.ts'
import { resumeRollout } from '../../src/runtime-director/steps.ts'
import { advance } from '../../src/runtime-director/steps.ts'
import { versionsOf } from '../../src/runtime-director/versions.ts'
import { layerFor, viewOf } from '../../src/runtime-director/view.ts'
import { FakeClock } from '../fakes.ts'
import { logging, sampleFiles, startDirector } from './director.ts'
import type { DirectorTestOptions, TestDirector } from './director.ts'

const directors: TestDirector[] = []
afterAll(async () => {
  for (const one of directors) await one.stop()
})

const IDS = Array.from({ length: 10 }, (_, i) => `r${i}`)
const ORDER = [...places(IDS)].sort((a, b) => a[1] - b[1]).map(([id]) => id)

const rollout = (number: number, more: Partial<Rollout> = {}): Rollout => ({
  ...{ number, steps: [10, 50, 100], stage: 0, stageAt: 0, wait: MINUTE, state: 'rolling' },
  ...more,
})

describe('the layers', () => {
  test('go down to the first version that reaches all', () => {
    const all = [rollout(5), rollout(4, { state: 'stopped' }), rollout(3, { stage: 2 }), rollout(2)]
    expect(layersOf(all).map(({ number }) => number)).toEqual([5, 4, 3])
  })

  test('never take a runtime back as the percentage grows, and reach at least one', () => {
    const state = (ids: string[]) => ({
      runtimes: ids.map((id) => ({ id, labels: {}, groups: [], identities: [] })),
      ...{ configurations: [], overlays: [], secrets: {} },
    })
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,8}$/), { minLength: 1, maxLength: 40 }),
        fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 5 }),
        (ids, given) => {
          const steps = [...given.sort((a, b) => a - b), 100]
          const [older, newer] = [viewOf(1, state(ids)), viewOf(2, state(ids))]
          let before: string[] = []
          for (const stage of steps.keys()) {
            const layers = [
              { rollout: rollout(2, { steps, stage }), view: newer },
              { rollout: rollout(1, { stage: 2 }), view: older },
            ]
            const reached = ids.filter((id) => layerFor(layers, id)?.view === newer)
            expect(reached.length).toBe(Math.ceil((steps[stage]! * ids.length) / 100 - 1e-9))
            expect(before.filter((id) => !reached.includes(id))).toEqual([])
            before = reached
          }
        },
      ),
    )
  })
})

describe('a step', () => {
  test.each([
    ['is not due yet', {}, MINUTE - 1, undefined],
    ['is due', {}, MINUTE, { stage: 1, state: 'rolling' }],
    ['is the last one', { stage: 1 }, MINUTE, { stage: 2, state: 'complete' }],
    ['is not taken once stopped', { state: 'stopped' as const }, MINUTE, undefined],
    ['is not taken when complete', { stage: 2, state: 'complete' as const }, MINUTE, undefined],
    ['is waited for anew when the clock was set back', { stageAt: 10 * MINUTE }, MINUTE, 'restart'],
  ] as const)('%s', (_what, more, now, wanted) => {
    expect(nextStep(rollout(1, more), now)).toEqual(wanted as never)
  })
})

async function director(
  options: DirectorTestOptions = {},
): Promise<TestDirector & { clock: FakeClock }> {
  const clock = new FakeClock(Date.now())
  const started = await startDirector({
    ...{ clock, files: sampleFiles(IDS), secrets: { 'logging-password': 'x' } },
    rules: { steps: [10, 50], wait: 10 * MINUTE, stopAfter: 1 },
    ...options,
  })
  directors.push(started)
  await started.publish()
  return { ...started, clock }
}

const change = (one: TestDirector, uri: string) => {
  one.write({ 'configurations/logging.yaml': logging(uri) })
  return one.publish()
}

/** The version that each runtime is on, first ones first. */
const versions = ({ server }: TestDirector): (number | undefined)[] =>
  ORDER.map((id) => layerFor(server.live.layers(), id)?.view.number)

const step = async (one: TestDirector & { clock: FakeClock }, length: number): Promise<void> => {
  one.clock.set(one.clock.now() + length)
  const newest = one.server.live.layers()[0]!.rollout
  await advance(one.keeper, newest)
  await one.server.live.refresh()
}

const report = async (one: TestDirector, id: string, state: string, etag?: string) => {
  const ask = await one.agent(`cn-${id}`)
  const own = etag ?? (await ask(`/runtimes/${id}`)).headers.get('etag')
  const problems = state === 'applied' ? [] : [{ code: 'x', message: 'it does not start' }]
  const body = JSON.stringify({ etag: own, state, problems })
  expect((await ask(`/runtimes/${id}/report`, { method: 'POST', body })).status).toBe(204)
  await one.server.live.refresh()
}

const N = (count: number, number: number, other: number) => [
  ...Array<number>(count).fill(number),
  ...Array<number>(10 - count).fill(other),
]

describe('a published version', () => {
  test('goes to all at once the first time, and later in steps', async () => {
    const one = await director()
    expect(versions(one)).toEqual(N(10, 1, 1))
    await change(one, 'https://two.example')
    expect(versions(one)).toEqual(N(1, 2, 1))
    await step(one, 9 * MINUTE)
    expect(versions(one)).toEqual(N(1, 2, 1))
    await step(one, MINUTE)
    expect(versions(one)).toEqual(N(5, 2, 1))
    await step(one, 10 * MINUTE)
    expect(versions(one)).toEqual(N(10, 2, 2))
    expect(one.server.live.layers()).toHaveLength(1)
  })

  test('stops when a runtime reports that it fails, and goes on when a person says so', async () => {
    const one = await director()
    await change(one, 'https://two.example')
    await report(one, ORDER[0]!, 'failed')
    expect(one.server.live.layers()[0]!.rollout).toMatchObject({
      state: 'stopped',
      why: `runtime ${ORDER[0]!} reports failed: it does not start`,
    })
    await step(one, 60 * MINUTE)
    expect(versions(one)).toEqual(N(1, 2, 1))
    await resumeRollout(one.keeper, 'test', { all: false })
    await one.server.live.refresh()
    await report(one, ORDER[0]!, 'failed')
    await step(one, 10 * MINUTE)
    expect(versions(one)).toEqual(N(5, 2, 1))
  })

  test('lies over one that was stopped half-way', async () => {
    const one = await director()
    await change(one, 'https://two.example')
    await step(one, 10 * MINUTE)
    await report(one, ORDER[1]!, 'failed')
    await change(one, 'https://three.example')
    expect(versions(one)).toEqual([3, 2, 2, 2, 2, 1, 1, 1, 1, 1])
    await step(one, 10 * MINUTE)
    await step(one, 10 * MINUTE)
    expect(versions(one)).toEqual(N(10, 3, 3))
  })

  test('is not stopped by a runtime that failed before, by one it changes nothing for, nor by an old ETag', async () => {
    const one = await director()
    const [first, second] = [ORDER[0]!, ORDER[1]!]
    await report(one, first, 'failed')
    const old = one.server.live.etag(first)!
    await change(one, 'https://two.example')
    await report(one, first, 'failed')
    await report(one, second, 'failed')
    await report(one, first, 'applied')
    await report(one, first, 'failed', old)
    expect(one.server.live.layers()[0]!.rollout.state).toBe('rolling')
    await report(one, first, 'applied')
    await report(one, first, 'failed')
    expect(one.server.live.layers()[0]!.rollout.state).toBe('stopped')
  })

  test('stops at the number of runtimes that is configured, however often one says it', async () => {
    const one = await director({ rules: { steps: [50], stopAfter: 2, wait: 10 * MINUTE } })
    await change(one, 'https://two.example')
    for (let i = 0; i < 3; i += 1) {
      await report(one, ORDER[0]!, 'applied')
      await report(one, ORDER[0]!, 'failed')
    }
    expect(one.server.live.layers()[0]!.rollout.state).toBe('rolling')
    await report(one, ORDER[1]!, 'partly')
    expect(one.server.live.layers()[0]!.rollout.state).toBe('stopped')
  })

  test('gives a new runtime the newest, and one that is gone nothing once it is reached', async () => {
    const one = await director()
    one.write({ 'runtimes/new.yaml': 'id: new\ngroups: [all]\nidentities: [cn-new]\n' })
    await change(one, 'https://two.example')
    expect(layerFor(one.server.live.layers(), 'new')?.view.number).toBe(2)
    const ask = await one.agent('cn-new')
    expect((await ask('/runtimes/new')).status).toBe(200)
  })

  test('is waited for anew, and goes nowhere, when the clock is set back by a year', async () => {
    const one = await director()
    await change(one, 'https://two.example')
    await step(one, 10 * MINUTE)
    await step(one, -365 * 24 * 60 * MINUTE)
    expect(versions(one)).toEqual(N(5, 2, 1))
    await step(one, 10 * MINUTE)
    expect(versions(one)).toEqual(N(10, 2, 2))
  })
})

describe('a rollback', () => {
  test('gives back what was, at once and to all, byte for byte', async () => {
    const one = await director()
    const before = one.server.live.etag('r0')
    await change(one, 'https://two.example')
    const outcome = await one.admin('/admin/v1/rollback', {
      method: 'POST',
      body: JSON.stringify({ version: 1 }),
    })
    expect(await outcome.json()).toMatchObject({ version: 3 })
    expect(versions(one)).toEqual(N(10, 3, 3))
    expect(one.server.live.etag('r0')).toBe(before)
  })

  test('takes no admission back and brings none back', async () => {
    const one = await director()
    one.write({ 'runtimes/r0.yaml': 'id: r0\ngroups: [all]\nidentities: [renewed]\n' })
    await change(one, 'https://two.example')
    await one.admin('/admin/v1/rollback', { method: 'POST', body: JSON.stringify({ version: 1 }) })
    const live = one.server.live
    expect([live.ownerOf('renewed'), live.ownerOf('cn-r0')]).toEqual(['r0', undefined])
  })
})

test('versions beyond those that are kept are forgotten, but none that somebody is on', async () => {
  const one = await director({ rules: { steps: [], keep: 2 } })
  for (let i = 2; i < 6; i += 1) await change(one, `https://v${i}.example`)
  const kept = await one.keeper.storage.read((db) => versionsOf(db))
  expect(kept.map(({ number }) => number)).toEqual([5, 4])
})
