import { describe, expect, test } from 'bun:test'
import { Json, UnfitAnswer } from '../../src/clients/decode.ts'
import { canonicalJson } from '../../src/model/digest.ts'

const data = new Json({
  list: { data: [{ name: 'a' }, { name: null, nested: [7] }] },
  text: 'canary',
  empty: '',
  number: 1.5,
  negative: -1,
  yes: true,
  null: null,
  labels: { a: [1] },
  headers: { 'X-A': ['canary'], 'X-B': [], 'X-C': null },
  bad: { 'X-A': ['a', 7], 'x y\nz': 'canary' },
})

const place = (path: (data: Json) => unknown): string => {
  try {
    path(data)
  } catch (thrown) {
    if (thrown instanceof UnfitAnswer) return thrown.message
    throw thrown
  }
  return 'it fits'
}

test('labels nested so deep that comparing or printing them would overflow the stack are named', () => {
  const nested = (levels: number): unknown =>
    JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`)
  const read = (labels: unknown): string => place(() => new Json({ labels }).record('labels'))
  expect(read(nested(200))).toBe('it fits')
  const named = 'labels: found an object, want one nested at most 200 deep'
  expect(read(nested(201))).toBe(named)
  expect(read(nested(100_000))).toBe(named)
})

describe('what does not fit is named with its place', () => {
  test.each<[string, (data: Json) => unknown]>([
    [
      'list.data[1].name: found null, want a string',
      (d) => d.object('list').list('data')[1]!.text('name'),
    ],
    [
      'list.data[1].nested[0]: found a number, want an object',
      (d) => d.object('list').list('data')[1]!.list('nested'),
    ],
    ['missing: found nothing, want a string', (d) => d.text('missing')],
    ['text: found a string, want an object', (d) => d.object('text')],
    ['text: found a string, want a list', (d) => d.list('text')],
    ['list: found an object, want a list', (d) => d.listOrNone('list')],
    ['null: found null, want an object', (d) => d.object('null')],
    ['number: found a number, want a whole number of at least 0', (d) => d.count('number')],
    ['negative: found a number, want a whole number of at least 0', (d) => d.count('negative')],
    ['text: found a string, want true or false', (d) => d.flag('text')],
    ['yes: found true or false, want a string', (d) => d.textOrNone('yes')],
    ['empty: found an empty string, want an address', (d) => d.unfit('empty', 'an address')],
    ['text: found a string, want an object', (d) => d.record('text')],
    ['missing: found nothing, want a value', (d) => d.any('missing')],
    ['bad.X-A[1]: found a number, want a string', (d) => d.multimapOrNone('bad')],
  ])('%s', (message, read) => {
    const got = place((d) => {
      const value = read(d)
      if (value instanceof UnfitAnswer) throw value
    })
    expect(got).toBe(message)
  })

  test('an answer that is no object at all', () => {
    expect(() => new Json(undefined).text('a')).toThrow('data: found nothing, want an object')
    expect(() => new Json(null).text('a')).toThrow('data: found null, want an object')
  })

  test('a name of the other side that is no plain word is not repeated', () => {
    const bad = new Json({ headers: { 'x y\ncanary': 'a' } })
    expect(() => bad.multimapOrNone('headers')).toThrow(
      'headers.(another name): found a string, want a list of strings',
    )
  })
})

test('what may be missing is undefined, or empty, whether null or not there', () => {
  for (const key of ['null', 'missing']) {
    expect(data.objectOrNone(key)).toBeUndefined()
    expect(data.textOrNone(key)).toBeUndefined()
    expect(data.flagOrNone(key)).toBeUndefined()
    expect(data.multimapOrNone(key)).toBeUndefined()
    expect(data.listOrNone(key)).toEqual([])
    expect(data.record(key)).toEqual({})
  }
})

test('headers keep their order and hide their values', () => {
  const headers = data.multimapOrNone('headers')
  expect(Object.keys(headers!)).toEqual(['X-A', 'X-B', 'X-C'])
  expect(canonicalJson(headers)).toBe('{"X-A":["canary"],"X-B":[],"X-C":[]}')
  expect(JSON.stringify(headers)).not.toContain('canary')
})

test('a header called __proto__ is a header', () => {
  const hostile = new Json(JSON.parse('{"headers": {"__proto__": ["x"]}}'))
  expect(Object.entries(hostile.multimapOrNone('headers')!)).toHaveLength(1)
})
