import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { bindingName, matchesGlob, normalizeName, slugWithId } from '../../src/model/names.ts'

test.each([
  ['DisplayName', 'displayname'],
  ['display_!@#$%^&*()name', 'display-name'],
  ['-----displayname', 'displayname'],
  [
    'VeryVeryVeryVeryVeryVeryVEryVeryVeryVeryVeryVeryVeryVeryLongDescription',
    'veryveryveryveryveryveryveryveryveryveryveryveryveryveryl',
  ],
  ['', ''],
  ['Größe Ü', 'gr-e'],
  [`${'a'.repeat(56)} bcd`, `${'a'.repeat(56)}-`],
  [` ${'a'.repeat(60)}`, 'a'.repeat(56)],
  ['---', ''],
])('normalizeName(%j) is what the Go agent makes of it', (name, normalized) => {
  expect(normalizeName(name)).toBe(normalized)
})

test('a binding name says application and bundle and ends in eight characters of the id', () => {
  expect(bindingName('mp-crm', { id: 'b-1', name: 'Orders & More' })).toBe(
    'ucl-mp-crm-orders-more-3e499e75',
  )
})

test('a slug that is cut within a separator does not end in it', () => {
  expect(slugWithId(`${'a'.repeat(23)} bcd`, 'x')).toMatch(/^a{23}-[0-9a-f]{8}$/)
})

test('names without a single usable character still give a valid name', () => {
  expect(bindingName('🦊', { id: 'x', name: '../' })).toMatch(/^ucl-[0-9a-f]{8}$/)
  expect(slugWithId('\0', 'x')).toMatch(/^[0-9a-f]{8}$/)
})

test('any binding name is a DNS label of at most 63 characters', () => {
  const text = fc.string({ unit: 'binary', maxLength: 120 })
  fc.assert(
    fc.property(text, text, text, (application, name, id) => {
      const made = bindingName(application, { id, name })
      expect(made).toMatch(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)
      expect(made.length).toBeLessThanOrEqual(63)
    }),
  )
})

test.each([
  ['ucl-crm-*', 'ucl-crm-orders-1', true],
  ['ucl-crm-*', 'ucl-erp', false],
  ['*', '', true],
  ['*-orders-*', 'ucl-crm-orders-1', true],
  ['a*b*c', 'a-b-b-c', true],
  ['a*b*c', 'a-c-b', false],
  ['a*a', 'a', false],
  ['exact', 'exact', true],
  ['exact', 'exactly', false],
  ['a.c', 'abc', false],
])('the pattern %j against %j: %j', (pattern, text, matches) => {
  expect(matchesGlob(pattern, text)).toBe(matches)
})
