import { describe, expect, test } from 'bun:test'
import { CONCURRENT, mapConcurrently } from '../../src/targets/concurrent.ts'
import { numbers } from '../model/samples.ts'

const { signal } = new AbortController()

describe('work on many items', () => {
  test('gives the results in the order of the items, whichever ends first', async () => {
    const waits = [3, 1, 2].map(() => Promise.withResolvers<undefined>())
    const all = mapConcurrently(
      [0, 1, 2],
      async (index) => {
        await waits[index]!.promise
        return `result ${index}`
      },
      signal,
    )
    for (const index of [2, 0, 1]) waits[index]!.resolve(undefined)
    expect(await all).toEqual(['result 0', 'result 1', 'result 2'])
  })

  test('has 16 under way, never more', async () => {
    let [now, most] = [0, 0]
    await mapConcurrently(
      numbers(100),
      async () => {
        most = Math.max(most, ++now)
        await Promise.resolve()
        now -= 1
      },
      signal,
    )
    expect(most).toBe(CONCURRENT)
  })

  test('begins nothing after a failure, and throws it when the others have ended', async () => {
    const begun: number[] = []
    let ended = 0
    const all = mapConcurrently(
      numbers(100),
      async (index) => {
        begun.push(index)
        await Promise.resolve()
        if (index === 3) throw new RangeError('third')
        await Promise.resolve()
        ended += 1
      },
      signal,
    )
    expect(await all.catch((thrown: unknown) => String(thrown))).toBe('RangeError: third')
    expect(ended).toBe(begun.length - 1)
    expect(begun.length).toBeLessThan(40)
  })

  test('begins nothing after the signal', async () => {
    const controller = new AbortController()
    const begun: number[] = []
    const all = mapConcurrently(
      numbers(100),
      (index) => {
        begun.push(index)
        if (index === 20) controller.abort(new RangeError('enough'))
        return Promise.resolve()
      },
      controller.signal,
    )
    expect(await all.catch((thrown: unknown) => String(thrown))).toBe('RangeError: enough')
    expect(begun.length).toBeLessThan(60)
  })

  test('of nothing is nothing', async () => {
    expect(await mapConcurrently([], () => Promise.reject(new Error('none')), signal)).toEqual([])
  })
})
