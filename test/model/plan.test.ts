import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { planChanges } from '../../src/model/plan.ts'
import { problem } from '../../src/model/problem.ts'
import type { Observed, Owner, Rendered, SourceProblem } from '../../src/model/target.ts'
import { application, bundle, desired, observedOf, RUNTIME } from './samples.ts'

function rendered(observed: Observed, problems: SourceProblem[] = []): Rendered<null> {
  const objects = [...observed.objects.values()].map((object) => ({ ...object, content: null }))
  return { objects: new Map(objects.map((object) => [object.key, object])), problems }
}

const a = application('a', { bundles: [bundle('a1'), bundle('a2')] })
const b = application('b', { bundles: [bundle('b1')] })
const summary = (changes: ReturnType<typeof planChanges>) =>
  changes.map((change) => `${change.kind} ${change.key}`)

test('what looks as it should makes no change', () => {
  expect(planChanges(rendered(observedOf([a, b])), observedOf([a, b]), desired([a, b]))).toEqual([])
})

test('creates come first, then updates, deletes last, each by key', () => {
  const there = observedOf([a, application('c')], 'old')
  const changes = planChanges(rendered(observedOf([b, a], 'new')), there, desired([a, b]))
  expect(summary(changes)).toEqual([
    'create application/b',
    'create binding/b1',
    'update application/a',
    'update binding/a1',
    'update binding/a2',
    'delete application/c',
    'delete binding/c-1',
  ])
})

test('each deletion says why', () => {
  const less = application('a', { bundles: [bundle('a1'), bundle('a2')] })
  const there = observedOf([
    application('a', { bundles: [bundle('a1'), bundle('a2'), bundle('a3')] }),
    b,
  ])
  const shown = rendered(observedOf([application('a', { bundles: [bundle('a1')] })]))
  const why = planChanges(shown, there, desired([less])).map((change) =>
    change.kind === 'delete' ? [change.key, change.why] : [],
  )
  expect(why).toEqual([
    ['application/b', 'the application is gone'],
    ['binding/a2', 'no longer rendered'],
    ['binding/a3', 'the bundle is gone'],
    ['binding/b1', 'the application is gone'],
  ])
})

describe('nothing is deleted', () => {
  const there = observedOf([a, b])
  const nothing = rendered(observedOf([]))

  test('when the slice is unknown', () => {
    expect(planChanges(nothing, there, { runtimeId: RUNTIME })).toEqual([])
  })

  test('of a withheld application, nor of its bundles', () => {
    const withheld = problemOf({ slice: 'applications', application: 'a' })
    const changes = planChanges(rendered(observedOf([b]), [withheld]), there, desired([a, b]))
    expect(changes).toEqual([])
  })

  test('of a withheld bundle, while its neighbours may go', () => {
    const withheld = problemOf({ slice: 'applications', application: 'a', bundle: 'a1' })
    const changes = planChanges(rendered(observedOf([b]), [withheld]), there, desired([a, b]))
    expect(summary(changes)).toEqual(['delete application/a', 'delete binding/a2'])
  })
})

test('a configuration document is deleted only when configuration was fetched', () => {
  const owner: Owner = { slice: 'configuration', document: 'v1/ConfigMap/apps/x' }
  const there: Observed = {
    objects: new Map([['x', { key: 'x', owner, name: 'x', digest: '' }]]),
  }
  expect(planChanges(rendered(observedOf([])), there, desired([]))).toEqual([])
})

test('the plan does not depend on the order in which things are seen', () => {
  const shuffled = fc.shuffledSubarray([a, b, application('c'), application('d')], { minLength: 4 })
  const plan = (order: (typeof a)[]) =>
    planChanges(rendered(observedOf(order, 'new')), observedOf([b, a], 'old'), desired(order))
  const first = plan([a, b, application('c'), application('d')])
  fc.assert(fc.property(shuffled, (order) => expect(summary(plan(order))).toEqual(summary(first))))
})

function problemOf(owner: Owner): SourceProblem {
  return { owner, problem: problem('application_invalid', 'Cannot render it'), withheld: true }
}
