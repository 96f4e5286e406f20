import { describe, expect, test } from 'bun:test'
import { parseGoBool, parseGoDuration, parseNamespacedName } from '../../src/kyma/go-values.ts'

describe('values as Go reads them', () => {
  test.each([
    ['180s', 180_000],
    ['3m', 180_000],
    ['1h15m30.5s', 4_530_500],
    ['.5s', 500],
    ['1.h', 3_600_000],
    ['300ms', 300],
    ['2500us', 2.5],
    ['2500µs', 2.5],
    ['0', 0],
    ['+0', 0],
    ['-1m', -60_000],
    // Units may come in any order and twice.
    ['5s1m5s', 70_000],
  ])('%s is a length of time', (text, expected) => {
    expect(parseGoDuration(text)).toBe(expected)
  })

  test.each(['', '3', 's', '1d', '3 m', '1m ', '1,5s', '.s', '--1s', 'abc'])(
    '%j is no length of time',
    (text) => {
      expect(parseGoDuration(text)).toBeUndefined()
    },
  )

  test('truth values are those of strconv.ParseBool and no others', () => {
    expect(['1', 't', 'TRUE', 'True', 'true'].map(parseGoBool)).toEqual(Array(5).fill(true))
    expect(['0', 'f', 'F', 'FALSE', 'False'].map(parseGoBool)).toEqual(Array(5).fill(false))
    expect(['yes', 'on', 'tRUE', ''].map(parseGoBool)).toEqual(Array(4).fill(undefined))
  })

  test.each([
    ['kyma-system/x', 'kyma-system', 'x'],
    ['x', 'default', 'x'],
    ['x/', 'default', 'x'],
    ['/x', 'default', 'x'],
    [' /x', 'default', 'x'],
    ['a/b/c', 'a', 'b'],
  ])('%j is in namespace %s', (text, namespace, name) => {
    expect(parseNamespacedName(text)).toEqual({ namespace, name })
  })
})
