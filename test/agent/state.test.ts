import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { decodeState, encodeState, initialState } from '../../src/agent/state.ts'
import type { AgentState } from '../../src/agent/state.ts'

const waiting = fc.record({
  group: fc.constantFrom('applications', 'bundles', 'documents'),
  hash: fc.string(),
  since: fc.integer(),
  fetches: fc.nat(),
  firstFetch: fc.integer(),
  lastFetch: fc.integer(),
})
const guard = fc.record({ waiting: fc.array(waiting, { maxLength: 3 }) })
const anyState: fc.Arbitrary<AgentState> = fc
  .record({
    paused: fc.boolean(),
    enrolledWith: fc.option(fc.string(), { nil: undefined }),
    guards: fc.dictionary(fc.string(), guard, { maxKeys: 3 }),
    approvals: fc.array(fc.record({ hash: fc.string(), at: fc.integer() }), { maxLength: 3 }),
  })
  .map(({ enrolledWith, ...rest }) =>
    enrolledWith === undefined ? rest : { ...rest, enrolledWith },
  )

describe('the state of an agent', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(anyState, (state) => {
        expect(decodeState(encodeState(state))).toEqual(structuredClone(state))
      }),
    )
  })

  test('is a file that a person can read: JSON in lines, with a version', () => {
    expect(encodeState(initialState)).toBe(
      '{\n  "version": 1,\n  "paused": false,\n  "guards": {},\n  "approvals": []\n}\n',
    )
  })

  test('that is cut anywhere is one that nothing is known of', () => {
    const text = encodeState({
      paused: true,
      enrolledWith: 'digest',
      guards: { files: { waiting: [] } },
      approvals: [{ hash: 'h', at: 1 }],
    })
    for (let length = 0; length < text.length - 2; length += 1)
      expect(decodeState(text.slice(0, length))).toEqual(initialState)
  })

  test.each([
    '',
    'null',
    '[]',
    '{}',
    '{"paused":"yes","guards":{},"approvals":[]}',
    '{"paused":true,"guards":[],"approvals":[]}',
    '{"paused":true,"guards":{},"approvals":[{"hash":1,"at":2}]}',
    '{"paused":true,"guards":{},"approvals":[{"hash":"h","at":null}]}',
    '{"paused":true,"guards":{},"approvals":{},"enrolledWith":7}',
  ])('that is damaged is one that nothing is known of: %s', (text) => {
    expect(decodeState(text)).toEqual(initialState)
  })

  test('of which the guard of one target is damaged keeps the rest: that target only waits longer', () => {
    const text =
      '{"paused":true,"guards":{"a":{"waiting":[{"group":"x"}]},"b":{"waiting":[]}},"approvals":[]}'
    expect(decodeState(text)).toEqual({
      paused: true,
      guards: { a: { waiting: [] }, b: { waiting: [] } },
      approvals: [],
    })
  })
})
