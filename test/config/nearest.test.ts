import { describe, expect, test } from 'bun:test'
import { nearest } from '../../src/config/nearest.ts'

const known = ['connector', 'director', 'directory', 'url', 'token', 'ca', 'onChange']

describe('nearest', () => {
  test.each([
    ['conector', 'connector'],
    ['directroy', 'directory'],
    ['Directory', 'directory'],
    ['onchange', 'onChange'],
    ['ulr', 'url'],
    ['tokens', 'token'],
  ])('%s means %s', (word, meant) => {
    expect(nearest(word, known)).toBe(meant)
  })

  test.each(['', 'zzz', 'uri-of-it', 'completely'])('"%s" means none', (word) => {
    expect(nearest(word, known)).toBeUndefined()
  })
})
