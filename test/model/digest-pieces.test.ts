import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { canonicalJson, canonicalPieces, digestOf, sha256 } from '../../src/model/digest.ts'

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
