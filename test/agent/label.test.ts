import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { label, labelDifferences, wantedLabels } from '../../src/agent/label.ts'
import type { Director } from '../../src/clients/director.ts'
import { RUNTIME } from '../model/samples.ts'

describe('the labels that are wanted', () => {
  test('are those of agent.yaml under the keys that Compass reads', () => {
    const config = {
      eventGatewayUrl: 'https://gateway.example',
      consoleUrl: 'https://console.example',
      custom: { team: 'orders' },
    }
    expect(wantedLabels(config)).toEqual({
      runtime_eventServiceUrl: 'https://gateway.example',
      runtime_consoleUrl: 'https://console.example',
      team: 'orders',
    })
  })

  test('are none when agent.yaml names none', () => {
    expect(wantedLabels({ custom: {} })).toEqual({})
  })
})

describe('a label differs', () => {
  const rows: [string, Record<string, unknown>, Record<string, unknown>, string[]][] = [
    ['when the Director has none', { a: '1' }, {}, ['a']],
    ['when the Director has another value', { a: '1' }, { a: '2' }, ['a']],
    ['when it has another type', { a: '1' }, { a: 1 }, ['a']],
    ['not when it is the same', { a: '1', b: [1] }, { b: [1], a: '1' }, []],
    [
      'not by the order of members',
      { a: { x: 1, y: { p: 1, q: 2 } } },
      { a: { y: { q: 2, p: 1 }, x: 1 } },
      [],
    ],
    ['by the order of a list', { a: [1, 2] }, { a: [2, 1] }, ['a']],
    ['alone: others do not', { a: '1', b: '2' }, { a: '1', b: '3' }, ['b']],
    ['not when nobody asked for it', {}, { isNormalized: 'true', scenarios: ['DEFAULT'] }, []],
    [
      'when its name is one that every object has',
      { constructor: 'x', toString: 'y' },
      {},
      ['constructor', 'toString'],
    ],
  ]
  test.each(rows)('%s', (_, wanted, current, keys) => {
    expect(labelDifferences(wanted, current).map(([key]) => key)).toEqual(keys)
  })

  test('no more once it was sent, whatever the value', () => {
    const labels = fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue(), { maxKeys: 5 })
    fc.assert(
      fc.property(labels, labels, (wanted, current) => {
        const sent = Object.fromEntries(labelDifferences(wanted, current))
        const stored: unknown = JSON.parse(JSON.stringify({ ...current, ...sent }))
        expect(labelDifferences(wanted, stored as Record<string, unknown>)).toEqual([])
      }),
    )
  })
})

describe('labelling', () => {
  const call = { requestId: 'r', signal: new AbortController().signal }

  function director(refuses = ''): { director: Director; sent: unknown[] } {
    const sent: unknown[] = []
    const setRuntimeLabel: Director['setRuntimeLabel'] = (runtimeId, key, value) => {
      if (key === refuses) return Promise.reject(new Error('refused'))
      sent.push([runtimeId, key, value])
      return Promise.resolve()
    }
    return { director: { setRuntimeLabel } as unknown as Director, sent }
  }

  test('sends what differs and gives back the labels as they are then', async () => {
    const fake = director()
    const current = { a: 1, other: true }
    const after = await label(
      fake.director,
      { runtimeId: RUNTIME, wanted: { a: 2, b: 3 }, current },
      call,
    )
    expect(fake.sent).toEqual([
      [RUNTIME, 'a', 2],
      [RUNTIME, 'b', 3],
    ])
    expect(after).toEqual({ a: 2, b: 3, other: true })
    expect(current).toEqual({ a: 1, other: true })
  })

  test('ends with the first that is refused', async () => {
    const fake = director('a')
    const labels = { runtimeId: RUNTIME, wanted: { a: 1, b: 2 }, current: {} }
    const thrown: unknown = await label(fake.director, labels, call).catch(String)
    expect(thrown).toBe('Error: refused')
    expect(fake.sent).toEqual([])
  })
})
