import { describe, expect, test } from 'bun:test'
import { parseWindow } from '../../src/config/window.ts'

const week = [0, 1, 2, 3, 4, 5, 6]

describe('window', () => {
  test.each([
    ['Sat 02:00-04:00 UTC', [6], 120, 240],
    ['02:00-04:30 UTC', week, 120, 270],
    ['Mon-Fri 22:00-05:00 UTC', [1, 2, 3, 4, 5], 1320, 1740],
    ['Fri-Mon 00:00-24:00 UTC', [0, 1, 5, 6], 0, 1440],
    ['Mon,Wed,Sat-Sun 00:00-01:00 UTC', [0, 1, 3, 6], 0, 60],
    ['Sun,Sun 23:59-00:00 UTC', [0], 1439, 1440],
  ])('%s', (text, days, from, to) => {
    expect(parseWindow(text)).toEqual({ text, days, from, to })
  })

  test.each([
    '',
    'Sat 02:00-04:00',
    'Sat 02:00-04:00 CET',
    'sat 02:00-04:00 UTC',
    'Sat 2:00-4:00 UTC',
    'Sat 02:00-02:00 UTC',
    'Sat 24:00-02:00 UTC',
    'Sat 02:00-24:30 UTC',
    'Sat 02:60-03:00 UTC',
    'Mon-Tue-Wed 02:00-04:00 UTC',
    'Sat  02:00-04:00 UTC',
  ])('"%s" is no window', (text) => {
    expect(parseWindow(text)).toBeUndefined()
  })
})
