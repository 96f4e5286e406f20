import { describe, expect, test } from 'bun:test'
import { Secret } from '../../../src/model/secret.ts'
import { goJson } from '../../../src/targets/kyma-json.ts'
import {
  applicationName,
  gatewayPath,
  isLabelValue,
  isObjectName,
  labelOf,
  secretName,
  serviceName,
} from '../../../src/targets/kyma-names.ts'

const mpName = (name: string): string => applicationName({ name }, false)
const B = 'c687e68a-9038-4f38-845b-9c61592e59e6'

describe('names of the Go agent', () => {
  test.each([
    ['DisplayName', 'displayname-87ea5'],
    ['display_!@#$%^&*()name', 'display-name-87ea5'],
    ['-----displayname', 'displayname-87ea5'],
    [
      'VeryVeryVeryVeryVeryVeryVEryVeryVeryVeryVeryVeryVeryVeryLongDescription',
      'veryveryveryveryveryveryveryveryveryveryveryveryveryveryl-87ea5',
    ],
    ['', '87ea5'],
    ['Größe Ü', 'gr-e-87ea5'],
    [`${'a'.repeat(56)} bcd`, `${'a'.repeat(56)}--87ea5`],
    [` ${'a'.repeat(60)}`, `${'a'.repeat(56)}-87ea5`],
    ['---', '87ea5'],
  ])('the service of the bundle %j', (name, expected) => {
    expect(serviceName(name, 'id')).toBe(expected)
  })

  test.each([
    ['short_application', `short_application-${B}`, `params-short_application-${B}`],
    [
      'max_application_aaaaaaaaaa',
      `max_application_aaaaaaaaaa-${B}`,
      `params-max_application_aaa-${B}`,
    ],
    [
      'toolong_application_aaaaaxxxx',
      `toolong_application_aaaaax-${B}`,
      `params-toolong_application-${B}`,
    ],
  ])('the Secrets of the application %s', (application, credentials, parameters) => {
    expect(secretName('credentials', application, B)).toBe(credentials)
    expect(secretName('parameters', application, B)).toBe(parameters)
  })

  test.each([
    ['My App', 'mp-my-app'],
    ['my-app', 'mp-my-app'],
    ['mp-already-normal', 'mp-already-normal'],
    ['mp-Not Normal', 'mp-mp-not-normal'],
    ['trailing---', 'mp-trailing'],
    ['mp-trailing-', 'mp-mp-trailing'],
    ['Größe Ü', 'mp-gr-e'],
    ['dots.and_underscores', 'mp-dots-and-underscores'],
    ['mp-crm-SYS1', 'mp-mp-crm-sys1'],
    ['', 'mp'],
    ['\u0130stanbul', 'mp-istanbul'],
    ['\u212A1', 'mp-k1'],
    ['a\u{1F98A}b', 'mp-a-b'],
  ])('%j is normalised to %s', (name, expected) => {
    expect(mpName(name)).toBe(expected)
    // Of an empty name nothing is left that the prefix could be told by.
    if (name !== '') expect(mpName(mpName(name))).toBe(expected)
  })

  test('only the name of an application that the Director left as it is is normalised', () => {
    expect(applicationName({ name: 'My App' }, true)).toBe('My App')
    expect(applicationName({ name: 'My App' }, false)).toBe('mp-my-app')
  })

  test('the path through the gateway', () => {
    expect(gatewayPath('mp-crm', 'Sales & More', '!?')).toBe('mp-crm/sales-more/')
  })
})

test.each([
  ['mp-crm', true],
  ['a.b-c.d', true],
  ['a'.repeat(253), true],
  ['a'.repeat(254), false],
  ['under_score', false],
  ['Upper', false],
  ['-a', false],
  ['a.-b', false],
  ['a..b', false],
  ['', false],
  ['größe', false],
  ['a\n', false],
])('%j as the name of an object: %p', (name, taken) => {
  expect(isObjectName(name)).toBe(taken)
})

test('a label holds 63 characters that end in no dash', () => {
  const long = `${'a'.repeat(62)}-${'b'.repeat(20)}`
  expect(isLabelValue(long)).toBe(false)
  expect(labelOf(long)).toBe('a'.repeat(62))
  expect(isLabelValue(labelOf(long))).toBe(true)
  expect(labelOf('mp-crm')).toBe('mp-crm')
})

describe('JSON of Go', () => {
  const map = (values: Record<string, string[]>) =>
    Object.fromEntries(
      Object.entries(values).map(([key, list]) => [key, list.map((one) => new Secret(one))]),
    )

  test('has its keys in the order of their bytes', () => {
    const keys = { '9': [], '10': [], 'x-a': [], 'X-A': [], '\uFFFD': [], '\u{1F98A}': [], a: [] }
    expect(goJson(map(keys))).toBe(
      '{"10":[],"9":[],"X-A":[],"a":[],"x-a":[],"\uFFFD":[],"\u{1F98A}":[]}',
    )
    expect(goJson(map({ ab: [], a: [], '': [] }))).toBe('{"":[],"a":[],"ab":[]}')
  })

  test('escapes what HTML and JavaScript could trip over, and nothing else', () => {
    expect(goJson(map({ '<&>': ['\u2028\u2029', 'ä"\\/\x7F', '\x01\b\f\n\r\t', '\uD800'] }))).toBe(
      '{"\\u003c\\u0026\\u003e":["\\u2028\\u2029","ä\\"\\\\/\x7F","\\u0001\\b\\f\\n\\r\\t","\uFFFD"]}',
    )
  })

  test('of nothing', () => {
    expect(goJson({})).toBe('{}')
  })
})
