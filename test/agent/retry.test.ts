import { describe, expect, test } from 'bun:test'
import type { Deps } from '../../src/agent/deps.ts'
import { notDue, succeeded } from '../../src/agent/next.ts'
import type { Due } from '../../src/agent/next.ts'
import { noteFailure, promiseState, retryLater, saveState } from '../../src/agent/retry.ts'
import { initialState } from '../../src/agent/state.ts'
import type { AgentState } from '../../src/agent/state.ts'
import { AgentError } from '../../src/model/problem.ts'
import { HOUR, MINUTE, SECOND } from '../../src/model/time.ts'
import { memory, NOW } from './samples.ts'

type Line = { level: string; message: string; fields: Record<string, unknown> }

/** What these functions need of the world, and what they did to it. */
function world(random = 0.999): { deps: Deps; lines: Line[]; saved: AgentState[]; full: boolean } {
  const lines: Line[] = []
  const saved: AgentState[] = []
  const log =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}) =>
      void lines.push({ level, message, fields })
  const seen = { lines, saved, full: false }
  const save = (state: AgentState): Promise<void> => {
    if (seen.full) return Promise.reject(new AgentError('disk_full', 'Cannot write: full'))
    saved.push(state)
    return Promise.resolve()
  }
  const deps = {
    clock: { now: () => NOW },
    random: () => random,
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    states: { save },
  } as unknown as Deps
  return Object.assign(seen, { deps })
}

const retry = new AgentError('unreachable', 'Cannot reach it: no route')
const person = new AgentError('tls_untrusted', 'Cannot reach it: unknown authority')
const asked = new AgentError('too_many_requests', 'Cannot ask: slow down', {
  retryAfter: 2 * MINUTE,
})

describe('the wait after a failure', () => {
  /** Longest waits in seconds after so many failures in a row. */
  const rows: [string, AgentError, number, number][] = [
    ['the first that may pass by itself', retry, 0, 1],
    ['the second', retry, 1, 2],
    ['the fifth', retry, 4, 16],
    ['the hundredth', retry, 99, 300],
    ['the first that a person must mend', person, 0, 60],
    ['the second of that kind', person, 1, 120],
    ['the fourth of that kind', person, 3, 300],
  ]
  test.each(rows)('%s', (_, error, failures, longest) => {
    const due: Due = { nextAt: NOW, failures }
    const after = retryLater(world().deps, due, error)
    expect(after).toMatchObject({ failures: failures + 1, failure: { code: error.code } })
    expect((after.nextAt - NOW) / SECOND).toBeCloseTo(longest, -0.5)
    expect(after.nextAt - NOW).toBeLessThanOrEqual(longest * SECOND)
    expect(retryLater(world(0).deps, due, error).nextAt).toBe(NOW)
  })

  test('is never shorter than what the server asked for, nor more than a tenth longer', () => {
    for (const random of [0, 0.5, 0.999]) {
      const wait = retryLater(world(random).deps, notDue, asked).nextAt - NOW
      expect(wait).toBeWithin(2 * MINUTE, 2.2 * MINUTE)
    }
  })

  test('obeys a shorter cap, for a person’s failures too', () => {
    for (const error of [retry, person]) {
      const wait = retryLater(world().deps, { nextAt: NOW, failures: 20 }, error, 7 * SECOND)
      expect(wait.nextAt - NOW).toBeLessThanOrEqual(7 * SECOND)
    }
  })

  test('does not change what was known before', () => {
    const before = succeeded(NOW)
    retryLater(world().deps, before, retry)
    expect(before).toEqual({ nextAt: NOW, failures: 0 })
  })
})

describe('a failure', () => {
  test('is logged each time, and told in the history when it is news', () => {
    const { deps, lines } = world()
    const known = memory()
    let before: Due = succeeded(NOW)
    for (const error of [retry, retry, person, retry]) {
      const after = retryLater(deps, before, error)
      noteFailure(deps, known, 'director', { before, after, error })
      before = after
    }
    expect(lines.map(({ fields }) => [fields['code'], fields['failures']])).toEqual([
      ['unreachable', 1],
      ['unreachable', 2],
      ['tls_untrusted', 3],
      ['unreachable', 4],
    ])
    expect(known.history.map(({ code, level }) => [code, level])).toEqual([
      ['unreachable', 'warn'],
      ['tls_untrusted', 'error'],
      ['unreachable', 'warn'],
    ])
  })

  test('is told with what to do, whose turn it is and when it is tried again', () => {
    const { deps, lines } = world(0.5)
    const error = new AgentError('unreachable', 'Cannot reach it: no route', {
      detail: { status: 503, errorCode: 10 },
    })
    const after = retryLater(deps, { nextAt: NOW, failures: 3 }, error)
    noteFailure(deps, memory(), 'director', { before: notDue, after, error })
    expect(lines[0]).toMatchObject({
      level: 'warn',
      message: 'Cannot reach it: no route',
      fields: {
        part: 'director',
        code: 'unreachable',
        turn: 'agent',
        again: 'in 4s',
        status: 503,
        errorCode: 10,
      },
    })
    expect(lines[0]!.fields['hint']).toContain('firewall')
  })

  test('fills the history with no more than fifty entries, latest first', () => {
    const { deps } = world()
    const known = memory()
    for (let count = 0; count < 60; count += 1) {
      const error = count % 2 === 0 ? retry : person
      const before = { ...succeeded(NOW), failure: (count % 2 === 0 ? person : retry).toProblem() }
      noteFailure(deps, known, 'director', { before, after: before, error })
    }
    expect(known.history).toHaveLength(50)
    expect(known.history[0]?.code).toBe('tls_untrusted')
  })
})

async function codeOf(work: Promise<void>): Promise<string> {
  return work.then(
    () => 'done',
    (thrown: unknown) => (thrown instanceof AgentError ? thrown.code : String(thrown)),
  )
}

describe('the state', () => {
  const guards = { files: { waiting: [] } }

  test('is stored when it differs, and not when it does not', async () => {
    const { deps, saved } = world()
    const known = memory()
    await saveState(deps, known, {})
    await saveState(deps, known, { guards })
    await saveState(deps, known, { guards: { files: { waiting: [] } } })
    expect(saved).toEqual([{ ...initialState, guards }])
  })

  test('that a full disk refused counts all the same, and is stored the next time', async () => {
    const seen = world()
    const known = memory()
    seen.full = true
    expect(await codeOf(saveState(seen.deps, known, { guards }))).toBe('disk_full')
    expect(known.state.guards).toEqual(guards)
    seen.full = false
    await saveState(seen.deps, known, {})
    expect(seen.saved).toEqual([{ ...initialState, guards }])
  })

  test('that two targets change at once has the changes of both', async () => {
    const { deps, saved } = world()
    const known = memory()
    const one = saveState(deps, known, { guards: { ...known.state.guards, a: { waiting: [] } } })
    const two = saveState(deps, known, { guards: { ...known.state.guards, b: { waiting: [] } } })
    await Promise.all([one, two])
    expect(Object.keys(saved.at(-1)!.guards)).toEqual(['a', 'b'])
  })

  test('that is promised to a person counts only once it is stored', async () => {
    const seen = world()
    const known = memory()
    seen.full = true
    const approvals = [{ hash: 'h', at: NOW - HOUR }]
    expect(await codeOf(promiseState(seen.deps, known, () => ({ approvals })))).toBe('disk_full')
    expect(known.state.approvals).toEqual([])
    seen.full = false
    await promiseState(seen.deps, known, () => ({ approvals }))
    await saveState(seen.deps, known, {})
    expect(seen.saved).toEqual([{ ...initialState, approvals }])
  })
})
