import { expect, test } from 'bun:test'
import { serverText } from '../../src/clients/server-text.ts'
import { Secret } from '../../src/model/secret.ts'

const UUID = '0d6b3f0c-1111-4222-8333-444455556666'
const PEM = '-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nAAAA\n-----END RSA PRIVATE KEY-----'

test.each([
  ['plain words, with 1 number', 'plain words, with 1 number'],
  [`an id ${UUID} stays`, `an id ${UUID} stays`],
  [
    '[actual=runtime:read;runtime:write; required=application:read]',
    '[actual=runtime:read;runtime:write; required=application:read]',
  ],
  [`a key ${PEM} in it`, 'a key [masked] in it'],
  ['a cut -----BEGIN CERTIFICATE-----\nMIIEow', 'a cut [masked]'],
  [`a token ${'Ab1_'.repeat(22)}== in it`, 'a token [masked] in it'],
  [`wrapped ${'A'.repeat(64)}\n${'B'.repeat(10)} end`, 'wrapped [masked] end'],
  ['a token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abc in it', 'a token [masked] in it'],
  ['it says hunter2 twice: hunter2', 'it says [masked] twice: [masked]'],
  ['line 1\nline 2\r\n\u001b[31mred\u0000 \u202egnal', 'line 1 line 2 [31mred gnal'],
  ['  around  ', 'around'],
])('%p is shown as %p', (text, shown) => {
  expect(serverText(text, [new Secret('hunter2'), new Secret('')])).toBe(shown)
})

test('is cut to 200 characters, none of them halved', () => {
  const text = serverText('🦀 '.repeat(300))
  expect(Array.from(text)).toHaveLength(200)
  expect(text).toEndWith('…')
  expect(text.isWellFormed()).toBe(true)
})

test('a megabyte is no work', () => {
  expect(serverText('-----BEGIN '.repeat(100_000))).toBe('[masked]')
})
