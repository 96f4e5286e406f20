import { describe, expect, test } from 'bun:test'
import { AgentError, problem } from '../../src/model/problem.ts'
import type { Code } from '../../src/model/problem.ts'
import { carryOut } from '../../src/targets/cluster-apply.ts'
import type { Step } from '../../src/targets/cluster-apply.ts'
import { numbers } from '../model/samples.ts'

const { signal } = new AbortController()
type Kind = Step['change']['kind']

const applied = () => Promise.resolve(undefined)
const fails = (code: Code, reason?: string) => () =>
  Promise.reject(
    new AgentError(
      code,
      `Cannot do it: ${code}`,
      reason === undefined ? {} : { detail: { reason } },
    ),
  )

function step(key: string, run: Step['run'], kind: Kind = 'update'): Step {
  return { change: { key, kind, name: `name-of-${key}` }, subject: `App of ${key}`, run }
}

const codeOf = (thrown: unknown) => (thrown instanceof AgentError ? thrown.code : thrown)

const outcomes = async (jobs: Step[][]) =>
  (await carryOut(jobs, signal)).map(({ key, outcome, problem: reason }) =>
    [key, outcome, reason?.code].filter(Boolean).join(' '),
  )

describe('changes in a cluster', () => {
  test('each have one result, in the order of the steps', async () => {
    expect(
      await outcomes([[step('a', applied), step('b', applied)], [step('c', applied, 'delete')]]),
    ).toEqual(['a applied', 'b applied', 'c applied'])
  })

  test.each([
    'kubernetes_refused',
    'kubernetes_forbidden',
    'kubernetes_failed',
    'internal',
  ] as const)('that are answered %s fail alone, for their application', async (code) => {
    const [first, second] = await carryOut([[step('a', fails(code))], [step('b', applied)]], signal)
    expect(first).toMatchObject({ outcome: 'failed', problem: { code, subject: 'App of a' } })
    expect(second?.outcome).toBe('applied')
  })

  test('of an object that something else changed are made in the next pass', async () => {
    expect(
      await outcomes([
        [step('a', fails('kubernetes_conflict', 'Conflict'))],
        [step('b', fails('kubernetes_missing'))],
        [step('c', fails('kubernetes_missing'), 'delete')],
        [step('d', fails('kubernetes_conflict', 'FieldManagerConflict'))],
      ]),
    ).toEqual([
      'a held kubernetes_conflict',
      'b held kubernetes_missing',
      'c held kubernetes_missing',
      'd failed kubernetes_conflict',
    ])
  })

  test('meet a foreign object of the same name', async () => {
    const jobs = [[step('a', fails('kubernetes_conflict', 'AlreadyExists'), 'create')]]
    const [result] = await carryOut(jobs, signal)
    expect(result?.problem).toMatchObject({
      code: 'object_foreign',
      message: 'Cannot create name-of-a: there is one that is not of this agent',
      subject: 'App of a',
    })
  })

  test('that follow one which was not made wait for it', async () => {
    const reason = problem('kubernetes_conflict', 'Cannot do it: not now')
    expect(
      await outcomes([
        [step('a', fails('kubernetes_refused')), step('b', applied), step('c', applied)],
        [step('d', () => Promise.resolve(reason)), step('e', applied)],
      ]),
    ).toEqual([
      'a failed kubernetes_refused',
      'b held kubernetes_refused',
      'c held kubernetes_refused',
      'd held kubernetes_conflict',
      'e held kubernetes_conflict',
    ])
  })

  test.each([
    ['unreachable', 'update'],
    ['too_many_requests', 'delete'],
    ['kubernetes_missing', 'create'],
  ] as const)('that are answered %s at a %s are all off', async (code, kind) => {
    let begun = 0
    const count = () => {
      begun += 1
      return fails(code)()
    }
    const jobs = numbers(100).map((n) => [step(`k${n}`, count, kind)])
    expect(await carryOut(jobs, signal).catch(codeOf)).toBe(code)
    expect(begun).toBeLessThan(20)
  })

  test('that are off after some were made have results', async () => {
    const jobs = [
      [step('a', applied)],
      ...numbers(40).map((n) => [step(`k${n}`, fails('unreachable'))]),
    ]
    const all = await outcomes(jobs)
    expect(all).toHaveLength(41)
    expect(all[0]).toBe('a applied')
    expect(new Set(all.slice(1).map((text) => text.slice(text.indexOf(' '))))).toEqual(
      new Set([' failed unreachable']),
    )
  })

  test('that are off after some were made earlier in the pass have results, too', async () => {
    const earlier = [{ key: 'x', outcome: 'applied' }] as const
    const all = await carryOut([[step('a', fails('unreachable'))]], signal, earlier)
    expect(all.map(({ outcome }) => outcome)).toEqual(['failed'])
  })

  test('that all get the same answer are all off after some', async () => {
    let begun = 0
    const jobs = numbers(100).map((n) => [
      step(`k${n}`, () => {
        begun += 1
        return fails('kubernetes_forbidden')()
      }),
    ])
    expect(await carryOut(jobs, signal).catch(codeOf)).toBe('kubernetes_forbidden')
    expect(begun).toBeLessThan(40)
  })

  test('end with the signal', async () => {
    const controller = new AbortController()
    const aborting = () => {
      controller.abort(new RangeError('lost'))
      return fails('unreachable')()
    }
    const all = carryOut([[step('a', aborting)]], controller.signal)
    expect(await all.catch((thrown: unknown) => String(thrown))).toBe('RangeError: lost')
  })
})
