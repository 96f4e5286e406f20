import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { canonicalJson, canonicalPieces, digestOf, sha256 } from '../../src/model/digest.ts'
import { Secret } from '../../src/model/secret.ts'

test('pieces of an object are its canonical JSON, and its digest is of that', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.oneof(fc.jsonValue(), fc.constant(undefined))),
      (value) => {
        expect([...canonicalPieces(value)].join('')).toBe(canonicalJson(value))
        expect(digestOf(value)).toBe(sha256(canonicalJson(value)))
      },
    ),
  )
})

test('canonical JSON is that of members in order, whatever order they are in', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.boolean(), (value, backwards) => {
      const members = (object: object): [string, unknown][] => {
        const sorted = Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1))
        return backwards ? sorted.reverse() : sorted
      }
      const shuffled = (one: unknown): unknown => {
        if (typeof one !== 'object' || one === null) return one
        if (Array.isArray(one)) return one.map(shuffled)
        return Object.fromEntries(members(one).map(([key, member]) => [key, shuffled(member)]))
      }
      expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value))
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)))
    }),
  )
})

test('canonical JSON reveals secrets and leaves out what is undefined, also deep in what is in order', () => {
  const value = { a: [{ a: 1, b: undefined, c: { d: [new Secret('s"1')] } }], b: [undefined, null] }
  expect(canonicalJson(value)).toBe('{"a":[{"a":1,"c":{"d":["s\\"1"]}}],"b":[null,null]}')
})
