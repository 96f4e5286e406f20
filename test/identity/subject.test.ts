import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  attributeName,
  attributeOid,
  formatSubject,
  parseSubject,
  subjectFits,
  type DistinguishedName,
} from '../../src/identity/subject.ts'
import { AgentError } from '../../src/model/problem.ts'

/** What is proved, the Connector's text, and what it means: `TYPE=value` each, nothing escaped. */
const READ: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'the subject of a stock Connector',
    'O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=eeba0c32-4e7a-4eae-8d03-6a46957e32f7',
    [
      'O=Org',
      'OU=OrgUnit',
      'L=locality',
      'ST=province',
      'C=DE',
      'CN=eeba0c32-4e7a-4eae-8d03-6a46957e32f7',
    ],
  ],
  ['one attribute', 'CN=x', ['CN=x']],
  ['an order that is not the usual one', 'CN=x,C=DE,O=a', ['CN=x', 'C=DE', 'O=a']],
  ['an empty value', 'O=,CN=x', ['O=', 'CN=x']],
  ['only empty values', 'O=,OU=,L=,ST=,C=,CN=', ['O=', 'OU=', 'L=', 'ST=', 'C=', 'CN=']],
  ['an empty last value', 'O=a,CN=', ['O=a', 'CN=']],
  ['a repeated attribute', 'O=a,OU=b,OU=c,OU=b,CN=x', ['O=a', 'OU=b', 'OU=c', 'OU=b', 'CN=x']],
  ['a value with an equals sign', 'O=a=b,CN=x==', ['O=a=b', 'CN=x==']],
  ['a value that is an equals sign', 'O==,CN=x', ['O==', 'CN=x']],
  ['an unescaped comma', 'O=Acme, Inc.,CN=x', ['O=Acme, Inc.', 'CN=x']],
  ['several unescaped commas', 'O=a,b,,c,CN=x', ['O=a,b,,c', 'CN=x']],
  ['an unescaped comma at the end of a value', 'O=a,,CN=x', ['O=a,', 'CN=x']],
  ['a value that is a comma', 'O=,,CN=x', ['O=,', 'CN=x']],
  ['a comma and a word that is no attribute', 'O=a,key=value,CN=x', ['O=a,key=value', 'CN=x']],
  ['a comma and a longer word that ends like one', 'O=a,MYCN=b,CN=x', ['O=a,MYCN=b', 'CN=x']],
  ['an attribute name without an equals sign', 'O=a,CN,L=b,CN=x', ['O=a,CN', 'L=b', 'CN=x']],
  ['an attribute name inside a value', 'O=CN=y,CN=x', ['O=CN=y', 'CN=x']],
  ['spaces after the comma', 'O=a, OU=b,  CN=x', ['O=a', 'OU=b', 'CN=x']],
  ['spaces in and around values, kept', 'O= a b ,CN= x ', ['O= a b ', 'CN= x ']],
  ['spaces before the first name', '  O=a,CN=x', ['O=a', 'CN=x']],
  ['a plus sign, which starts nothing', 'O=a+b,OU=c+CN=d,CN=x', ['O=a+b', 'OU=c+CN=d', 'CN=x']],
  ['names in any case', 'o=a,ou=b,Cn=x', ['O=a', 'OU=b', 'CN=x']],
  ['long names', 'organizationName=a,commonName=x', ['O=a', 'CN=x']],
  ['known OIDs', '2.5.4.10=a,OID.2.5.4.3=x', ['O=a', 'CN=x']],
  [
    'further attributes',
    'DC=a,UID=b,serialNumber=1,E=m@x,CN=x',
    ['DC=a', 'UID=b', 'SERIALNUMBER=1', 'EMAIL=m@x', 'CN=x'],
  ],
  ['an escaped comma', 'O=Acme\\, Inc.,CN=x', ['O=Acme, Inc.', 'CN=x']],
  ['an escaped comma before a known name', 'O=a\\,CN=b,CN=x', ['O=a,CN=b', 'CN=x']],
  ['a comma escaped as hex before a known name', 'O=a\\2cCN=b,CN=x', ['O=a,CN=b', 'CN=x']],
  ['an escaped equals sign, plus and quote', 'O=a\\=\\+\\",CN=x', ['O=a=+"', 'CN=x']],
  ['an escaped backslash before a separator', 'O=a\\\\,CN=x', ['O=a\\', 'CN=x']],
  ['escaped spaces at both ends', 'O=\\ a\\ ,CN=x', ['O= a ', 'CN=x']],
  ['an escaped number sign', 'O=\\#a,CN=x', ['O=#a', 'CN=x']],
  ['escaped UTF-8', 'O=Gr\\C3\\B6\\C3\\9Fe,CN=x', ['O=Größe', 'CN=x']],
  ['hex pairs that are no UTF-8, kept', 'O=C:\\AB\\CD,CN=x', ['O=C:\\AB\\CD', 'CN=x']],
  ['a backslash that escapes nothing, kept', 'O=a\\xyz\\,CN=x', ['O=a\\xyz,CN=x']],
  ['a quoted value', 'O="Acme, CN=b",CN=x', ['O=Acme, CN=b', 'CN=x']],
  ['a quoted value with an escaped quote', 'O="a\\"b",CN=x', ['O=a"b', 'CN=x']],
  ['an empty quoted value', 'O="",CN=x', ['O=', 'CN=x']],
  ['quotes in the middle, kept', 'O=a "b" c,CN=x', ['O=a "b" c', 'CN=x']],
  ['a quote that never closes, kept', 'O="a,CN=x', ['O="a', 'CN=x']],
  ['quotes that close too early, kept', 'O="a" b,CN=x', ['O="a" b', 'CN=x']],
  ['letters beyond ASCII', 'O=日本 🦀,CN=x', ['O=日本 🦀', 'CN=x']],
  ['control characters', 'O=a\nb\u0000c,CN=x', ['O=a\nb\u0000c', 'CN=x']],
]

const REFUSED: readonly (readonly [string, string])[] = [
  ['an empty text', ''],
  ['white space', '   '],
  ['no attribute at all', 'hello'],
  ['an unknown first name', 'FOO=a,CN=x'],
  ['a first name that is a piece of one', 'CNX=a'],
  ['an unknown first OID', '1.2.3.4=a,CN=x'],
  ['an unknown OID later on', 'O=a,1.2.3.4=b,CN=x'],
  ['the slash form of OpenSSL', '/O=a/CN=x'],
  ['a separator first', ',CN=x'],
  ['half a surrogate pair', 'O=a\ud800,CN=x'],
  ['more than 4096 characters', `CN=${'x'.repeat(4100)}`],
]

const pairs = (name: DistinguishedName): string[] => name.map((a) => `${a.type}=${a.value}`)

describe('the subject of the Connector', () => {
  test.each(READ)('is read with %s', (_what, text, expected) => {
    expect(pairs(parseSubject(text))).toEqual([...expected])
  })

  test.each(REFUSED)('is refused with %s', (_what, text) => {
    expect(() => parseSubject(text)).toThrow(
      expect.objectContaining({ constructor: AgentError, code: 'subject_invalid' }),
    )
  })

  test('is read or refused, but never breaks, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          parseSubject(text)
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(AgentError)
        }
      }),
    )
  })

  test('is read in linear time, also when made to be slow', () => {
    const hostile = [
      `O=${'\\'.repeat(4000)}`,
      `O=${','.repeat(4000)}`,
      `O="${'\\"'.repeat(2000)}`,
      `O=${'"a,CN='.repeat(600)}`,
      `O=${', '.repeat(2000)}CN=`,
      `O=${',CN='.repeat(1000)}`,
    ]
    const start = performance.now()
    for (const text of hostile) parseSubject(text)
    expect(performance.now() - start).toBeLessThan(1000)
  })
})

const TYPES = ['O', 'OU', 'L', 'ST', 'C', 'CN', 'DC', 'UID', 'STREET', 'SERIALNUMBER', 'EMAIL']
const names = (value: fc.Arbitrary<string>): fc.Arbitrary<DistinguishedName> =>
  fc.array(fc.record({ type: fc.constantFrom(...TYPES), value }), { minLength: 1, maxLength: 12 })
const nasty = fc.string({
  unit: fc.oneof(
    fc.constantFrom(',', '=', '+', '"', '\\', '#', ' ', ';', '<', 'CN=', ',CN=', '\\2C', 'ö', '🦀'),
    fc.constantFrom('\n', '\u0000', 'a', 'B', '0'),
  ),
  maxLength: 20,
})

describe('the escaped form', () => {
  test('is read back to the same list, whatever the values hold', () => {
    fc.assert(
      fc.property(names(nasty), (name) => {
        expect(parseSubject(formatSubject(name))).toEqual([...name])
      }),
      { numRuns: 1000 },
    )
  })

  test('has no control characters', () => {
    expect(formatSubject([{ type: 'O', value: 'a\n\u0000\u007f' }])).toBe('O=a\\0a\\00\\7f')
  })
})

describe('the unescaped form of the stock Connector', () => {
  const plain = fc
    .string({
      unit: fc.constantFrom('a', 'B', '=', '+', ' ', '.', '-', '(', ')', 'é'),
      maxLength: 12,
    })
    .map((value) => `v${value}`)

  test('is read back when no value holds a comma or an escape', () => {
    fc.assert(
      fc.property(names(plain), (name) => {
        const text = name.map(({ type, value }) => `${type}=${value}`).join(',')
        expect(parseSubject(text)).toEqual([...name])
      }),
    )
  })

  test('is read back when commas are followed by what is no attribute', () => {
    const commas = fc.array(plain, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(', '))
    fc.assert(
      fc.property(names(commas), (name) => {
        const text = name.map(({ type, value }) => `${type}=${value}`).join(',')
        expect(parseSubject(text)).toEqual([...name])
      }),
    )
  })
})

describe('the subject of a certificate', () => {
  const asked = parseSubject('O=Org,OU=a,OU=b,L=,ST=s,C=DE,CN=me')

  test.each([
    ['in another order', 'C=DE,ST=s,O=Org,OU=b,OU=a,CN=me', true],
    ['with the empty one kept', 'O=Org,OU=a,OU=b,L=,ST=s,C=DE,CN=me', true],
    ['with one more attribute', 'O=Org,OU=a,OU=b,ST=s,C=DE,CN=me,UID=7', true],
    ['for another name', 'O=Org,OU=a,OU=b,ST=s,C=DE,CN=you', false],
    ['for two names', 'O=Org,OU=a,OU=b,ST=s,C=DE,CN=me,CN=you', false],
    ['of another organization', 'O=Other,OU=a,OU=b,ST=s,C=DE,CN=me', false],
    ['without one of two equal types', 'O=Org,OU=a,OU=a,ST=s,C=DE,CN=me', false],
    ['without an attribute', 'O=Org,OU=a,OU=b,C=DE,CN=me', false],
    ['with another case', 'O=ORG,OU=a,OU=b,ST=s,C=DE,CN=me', false],
  ])('%s: %s, fits: %p', (_what, got, fits) => {
    expect(subjectFits(asked, parseSubject(got))).toBe(fits)
  })
})

test('attribute names and OIDs are each other back', () => {
  for (const type of TYPES) expect(attributeName(attributeOid(type))).toBe(type)
  expect(attributeOid('1.2.3')).toBe('1.2.3')
  expect(attributeName('nothing')).toBeUndefined()
  expect(attributeName('constructor')).toBeUndefined()
})
