import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Application } from '../../src/model/application.ts'
import { decodeGuardState } from '../../src/model/guard-state.ts'
import { guard, heldHash, initialGuardState, ordinaryLimit } from '../../src/model/guard.ts'
import type { Deletion, GuardConfig, GuardInput, GuardState } from '../../src/model/guard.ts'
import { planChanges } from '../../src/model/plan.ts'
import type { Desired, Observed, Rendered } from '../../src/model/target.ts'
import { DAY, HOUR, MINUTE } from '../../src/model/time.ts'
import {
  application,
  bundle,
  desired,
  document,
  documents,
  numbers,
  observedOf,
  RUNTIME,
} from './samples.ts'

const now = Date.UTC(2026, 10, 21)
const config: GuardConfig = {
  ordinary: { count: 5, percent: 20 },
  massDeletion: 'hold',
  credentialsGrace: DAY,
}

/** One pass over a target that has `there`, after a fetch that gave `left`. */
function pass(there: Application[], left: Application[], some: Partial<GuardInput> = {}) {
  const observed = observedOf(there)
  const want = desired(left)
  return guard({ ...input(observed, want), ...some })
}

function input(observed: Observed, want: Desired): GuardInput {
  return {
    target: 'files',
    deletions: deletionsOf(observed, want),
    observed,
    desired: want,
    state: initialGuardState,
    fetchedAt: { applications: now },
    now,
    config,
    approvals: [],
  }
}

function deletionsOf(observed: Observed, want: Desired): Deletion[] {
  const shown = observedOf(want.applications ?? [])
  const rendered: Rendered = {
    objects: new Map([...shown.objects].map(([key, object]) => [key, { ...object, content: 0 }])),
    problems: [],
  }
  return planChanges(rendered, observed, want).filter((change) => change.kind === 'delete')
}

const apps = (count: number) => numbers(count).map((n) => application(`app-${n}`))

describe('ordinary deletions happen in the same pass', () => {
  test.each([
    [6, 5],
    [2, 1],
    [30, 6],
    [100, 20],
    [3, 2],
  ])('of %d applications %d may go at once', (owned, gone) => {
    const { released, held } = pass(apps(owned), apps(owned - gone))
    expect(new Set(released.map(({ owner }) => ownerOf(owner))).size).toBe(gone)
    expect(held).toEqual([])
  })

  test('removing one application releases exactly its objects', () => {
    const { released } = pass(apps(3), apps(2))
    expect(released.map(({ key }) => key)).toEqual(['application/app-2', 'binding/app-2-1'])
  })
})

describe('mass deletions wait for a person', () => {
  test.each([
    [30, 7],
    [100, 21],
    [6, 6],
    [200, 200],
  ])('of %d applications %d are held', (owned, gone) => {
    const { released, held } = pass(apps(owned), apps(owned - gone))
    expect(released).toEqual([])
    expect(held).toMatchObject([{ kind: 'mass', target: 'files', applications: gone }])
    expect(held[0]!.names.length).toBeLessThanOrEqual(20)
  })

  test('of a set that an approval names, exactly that set is released, and the approval is spent', () => {
    const { hash } = pass(apps(30), apps(10)).held[0]!
    const approvals = [{ hash, at: now - MINUTE }]
    const { released, spent } = pass(apps(30), apps(10), { approvals })
    expect(released).toHaveLength(40)
    expect(spent).toEqual([hash])
    const other = pass(apps(30), apps(9), { approvals })
    expect(other).toMatchObject({ released: [], spent: [], held: [{ applications: 21 }] })
  })

  test('an approval is void after an hour, and while it lies in the future', () => {
    const { hash } = pass(apps(30), apps(10)).held[0]!
    for (const at of [now - HOUR, now + 1]) {
      expect(pass(apps(30), apps(10), { approvals: [{ hash, at }] }).released).toEqual([])
    }
  })

  test('they go after the time that the operator chose, if the set stays the same so long', () => {
    const chosen: GuardConfig = { ...config, massDeletion: { after: DAY } }
    const first = pass(apps(30), apps(10), { config: chosen })
    const later = { config: chosen, state: first.state, now: now + DAY }
    expect(pass(apps(30), apps(10), { ...later, now: now + DAY - 1 }).released).toEqual([])
    expect(pass(apps(30), apps(10), later).released).toHaveLength(40)
    expect(pass(apps(30), apps(9), later).released).toEqual([])
  })

  test('they go at once when the guard is switched off', () => {
    expect(
      pass(apps(30), [], { config: { ...config, massDeletion: 'off' } }).released,
    ).toHaveLength(60)
  })
})

describe('the last ones', () => {
  /** Passes with a new fetch each, `step` apart, until released; how many it took. */
  function passesUntilReleased(step: number, most = 20): number | undefined {
    let state: GuardState = initialGuardState
    for (const n of numbers(most)) {
      const at = now + n * step
      const result = pass(apps(5), [], { state, now: at, fetchedAt: { applications: at } })
      if (result.released.length > 0) return n + 1
      // As after a restart.
      state = decodeGuardState(JSON.parse(JSON.stringify(result.state)))
    }
    return undefined
  }

  test('go when three fetches agree that are ten minutes apart', () => {
    expect(passesUntilReleased(10 * MINUTE)).toBe(3)
    expect(passesUntilReleased(5 * MINUTE)).toBe(3)
    expect(passesUntilReleased(3 * MINUTE)).toBe(5)
  })

  test('do not go on the strength of one fetch seen many times', () => {
    let state: GuardState = initialGuardState
    for (const n of numbers(100)) {
      const result = pass(apps(5), [], {
        state,
        now: now + n * HOUR,
        fetchedAt: { applications: now },
      })
      expect(result.released).toEqual([])
      state = result.state
    }
  })

  test('are counted anew when another set vanishes in between', () => {
    const one = pass(apps(5), [], { fetchedAt: { applications: now - HOUR } })
    const two = pass(apps(5), [], { state: one.state, fetchedAt: { applications: now - HOUR / 2 } })
    const other = pass(apps(4), [], { state: two.state })
    expect(other.held).toMatchObject([{ kind: 'last' }])
    expect(
      pass(apps(5), [], { state: other.state, fetchedAt: { applications: now + 1 } }).released,
    ).toEqual([])
  })

  test('are counted anew when they came back in between', () => {
    const one = pass(apps(5), [], { fetchedAt: { applications: now - HOUR } })
    const back = pass(apps(5), apps(5), { state: one.state })
    expect(back.state.waiting).toEqual([])
  })

  test('keep their count while the source is unknown', () => {
    const { state } = pass(apps(5), [])
    const unknown = guard({ ...input(observedOf(apps(5)), { runtimeId: RUNTIME }), state })
    expect(unknown).toMatchObject({ released: [], state })
  })

  test('are counted anew, but not for ever, when the clock is set back', () => {
    const ahead = pass(apps(5), [], {
      now: now + 3650 * DAY,
      fetchedAt: { applications: now + 3650 * DAY },
    })
    let { state } = ahead
    for (const n of [1, 2, 3]) {
      const at = now + n * 10 * MINUTE
      const result = pass(apps(5), [], { state, now: at, fetchedAt: { applications: at } })
      expect(result.released.length > 0).toBe(n === 3)
      state = result.state
    }
  })

  test('may be approved at once', () => {
    const { hash } = pass(apps(5), []).held[0]!
    expect(pass(apps(5), [], { approvals: [{ hash, at: now }] }).released).toHaveLength(10)
  })
})

describe('bundles of applications that stay', () => {
  const big = (bundles: number) =>
    application('big', { bundles: numbers(bundles).map((n) => bundle(`b${n}`)) })

  test('are counted on their own', () => {
    const there = [...apps(30), big(10)]
    const left = [...apps(26), big(6)]
    expect(pass(there, left).released).toHaveLength(12)
  })

  test('are held when many vanish at once, without holding the ordinary ones', () => {
    const { released, held } = pass([...apps(3), big(40)], [...apps(2), big(20)])
    expect(released.map(({ key }) => key)).toEqual(['application/app-2', 'binding/app-2-1'])
    expect(held).toMatchObject([{ kind: 'mass', bundles: 20, applications: 1 }])
  })

  test('are the last ones when no bundle is left', () => {
    const bundleless = apps(3).map((app) => ({ ...app, bundles: [] }))
    expect(pass(apps(3), bundleless).held).toMatchObject([{ kind: 'last', bundles: 3 }])
  })
})

test('a bundle that moves to another application is no deletion', () => {
  const there = [application('a', { bundles: [bundle('x')] }), application('b')]
  const left = [
    application('a', { bundles: [] }),
    application('b', { bundles: [bundle('x'), bundle('b-1')] }),
  ]
  expect(deletionsOf(observedOf(there), desired(left))).toEqual([])
})

test('the hash is of target, slice and the set, not of its order', () => {
  const hash = heldHash('files', 'applications', ['b', 'a'])
  expect(hash).toMatch(/^[0-9a-f]{12}$/)
  expect(heldHash('files', 'applications', ['a', 'b'])).toBe(hash)
  expect(heldHash('kyma', 'applications', ['a', 'b'])).not.toBe(hash)
  expect(heldHash('files', 'configuration', ['a', 'b'])).not.toBe(hash)
  expect(heldHash('files', 'applications', ['a\nb'])).not.toBe(hash)
})

test('a damaged state counts from the beginning', () => {
  const good = pass(apps(5), []).state
  expect(decodeGuardState(JSON.parse(JSON.stringify(good)))).toEqual(good)
  for (const bad of [undefined, null, 7, {}, { waiting: [{}] }, { waiting: [{ group: 'x' }] }]) {
    expect(decodeGuardState(bad)).toEqual(initialGuardState)
  }
})

describe('for any landscape', () => {
  const landscapes = fc
    .array(fc.record({ id: fc.nat(60), bundles: fc.uniqueArray(fc.nat(12)) }), { maxLength: 60 })
    .map((list) => {
      const distinct = new Map(list.map((entry) => [entry.id, entry]))
      return [...distinct.values()].map(({ id, bundles }) =>
        application(`a${id}`, { bundles: bundles.map((b) => bundle(`a${id}-b${b}`)) }),
      )
    })

  test('nothing is deleted on an unknown slice', () => {
    fc.assert(
      fc.property(landscapes, (there) => {
        const observed = observedOf(there)
        // Even when the plan were wrong.
        const deletions = deletionsOf(observed, desired([]))
        const unknown = { ...input(observed, { runtimeId: RUNTIME }), deletions }
        expect(guard(unknown)).toMatchObject({ released: [], held: [] })
      }),
    )
  })

  test('one pass without approval never deletes more than the limits, nor all', () => {
    fc.assert(
      fc.property(landscapes, landscapes, (there, left) => {
        const { released, held } = pass(there, left)
        const kept = new Set(left.map(({ id }) => id))
        const gone = new Set(
          released.map(({ owner }) => ownerOf(owner)).filter((id) => !kept.has(id)),
        )
        expect(gone.size).toBeLessThanOrEqual(ordinaryLimit(there.length, config.ordinary))
        if (there.length > 0) expect(gone.size).toBeLessThan(there.length)
        const deletions = deletionsOf(observedOf(there), desired(left))
        expect(released.length === deletions.length || held.length > 0).toBe(true)
      }),
    )
  })

  test('approving all hashes releases exactly what the plan deletes', () => {
    fc.assert(
      fc.property(landscapes, landscapes, (there, left) => {
        const approvals = pass(there, left).held.map(({ hash }) => ({ hash, at: now }))
        const { released, held, spent } = pass(there, left, { approvals })
        const keys = (list: readonly Deletion[]) => list.map(({ key }) => key).toSorted()
        expect(keys(released)).toEqual(keys(deletionsOf(observedOf(there), desired(left))))
        expect(held).toEqual([])
        expect(spent.toSorted()).toEqual(approvals.map(({ hash }) => hash).toSorted())
      }),
    )
  })
})

function ownerOf(owner: Deletion['owner']): string {
  return owner.slice === 'applications' ? owner.application : owner.document
}

describe('documents of a Runtime Director', () => {
  const owned = (count: number): Observed => ({
    objects: new Map(
      numbers(count).map((n) => {
        const { id } = document(`d-${n}`)
        const owner = { slice: 'configuration' as const, document: id }
        return [`config/${id}`, { key: `config/${id}`, owner, name: `d-${n}`, digest: 'x' }]
      }),
    ),
  })
  const without = (observed: Observed, left: number, some: Partial<GuardInput> = {}) => {
    const want = documents(numbers(left).map((n) => document(`d-${n}`)))
    const kept = new Map([...observed.objects].slice(0, left))
    const rendered = new Map([...kept].map(([key, object]) => [key, { ...object, content: 0 }]))
    const deletions = planChanges({ objects: rendered, problems: [] }, observed, want).filter(
      (change) => change.kind === 'delete',
    )
    const fetchedAt = { configuration: now }
    return guard({ ...input(observed, want), deletions, fetchedAt, ...some })
  }

  test('are counted as applications are', () => {
    expect(without(owned(6), 1).released).toHaveLength(5)
    const { released, held } = without(owned(30), 20)
    expect(released).toEqual([])
    expect(held).toMatchObject([{ kind: 'mass', slice: 'configuration', documents: 10 }])
    expect(held[0]!.reason).toContain('10 of 30 documents')
  })

  test('of which the last would go count the fetches of their own source', () => {
    let state = initialGuardState
    const at = (minutes: number, fetched: number) => {
      const times = { applications: now + minutes * MINUTE, configuration: now + fetched * MINUTE }
      const result = without(owned(2), 0, { state, now: now + minutes * MINUTE, fetchedAt: times })
      state = result.state
      return result.released.length
    }
    // The Director goes on, the Runtime Director is silent: nothing new agrees.
    expect([at(0, 0), at(10, 0), at(20, 0), at(30, 0)]).toEqual([0, 0, 0, 0])
    expect([at(31, 5), at(32, 12)]).toEqual([0, 2])
  })

  test('are not touched by a slice of applications that is known, nor the other way round', () => {
    const observed = { objects: new Map([...owned(3).objects, ...observedOf(apps(3)).objects]) }
    const deletions = deletionsOf(observed, desired([]))
    expect(deletions.every(({ owner }) => owner.slice === 'applications')).toBe(true)
    const { held, released } = guard({ ...input(observed, desired([])), deletions })
    expect([held.length, released]).toEqual([1, []])
    expect(held[0]).toMatchObject({ slice: 'applications', applications: 3 })
  })
})
