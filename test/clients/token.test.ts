import { describe, expect, test } from 'bun:test'
import { parseToken } from '../../src/clients/token.ts'
import { sha256 } from '../../src/model/digest.ts'
import { AgentError } from '../../src/model/problem.ts'
import { everythingOf } from './server.ts'

const TOKEN =
  'canary-QxWk3v_0-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_abcdefgh=='
const raw = {
  token: TOKEN,
  connectorURL: 'https://connector.example/connector/graphql',
  used: false,
  expiresAt: '2026-11-21T06:44:31Z',
  createdAt: '2026-11-21T05:44:31Z',
  usedAt: '0001-01-01T00:00:00Z',
  type: 'Runtime',
  scenario_groups: null,
}
const text = (more: object = {}): string => JSON.stringify({ ...raw, ...more })
const encoded = (more: object = {}): string => btoa(text(more))

describe('the three forms', () => {
  test('plain', () => {
    const parsed = parseToken(TOKEN)
    expect(parsed).toEqual({ token: parsed.token, digest: sha256(TOKEN), form: 'plain' })
    expect(parsed.token.reveal()).toBe(TOKEN)
  })

  test.each([
    ['raw', text()],
    ['rawEncoded', encoded()],
  ])('%s, with the address of the Connector and its end', (form, given) => {
    const parsed = parseToken(given)
    expect(parsed).toMatchObject({
      digest: sha256(TOKEN),
      connectorUrl: 'https://connector.example/connector/graphql',
      expiresAt: Date.parse('2026-11-21T06:44:31Z'),
      form,
    })
    expect(parsed.token.reveal()).toBe(TOKEN)
  })

  test.each([
    ['a line end', `${TOKEN}\n`],
    ['Windows line ends', `\r\n${TOKEN}\r\n`],
    ['a byte order mark', `\uFEFF${TOKEN}`],
    ['base64 in lines of 76', encoded().replace(/.{76}/g, '$&\n')],
    ['URL-safe base64', encoded().replaceAll('+', '-').replaceAll('/', '_')],
    ['base64 without its end', encoded().replace(/=+$/, '')],
    ['JSON in lines', JSON.stringify(raw, null, 2)],
  ])('are understood with %s', (_what, given) => {
    expect(parseToken(given).digest).toBe(sha256(TOKEN))
  })

  test('a random token that happens to decode to a brace is plain', () => {
    expect(parseToken('ewAA').form).toBe('plain')
    expect(parseToken('eyJx').form).toBe('plain')
  })

  test('members that are missing or null are simply not known', () => {
    expect(parseToken(text({ connectorURL: null, expiresAt: null }))).not.toHaveProperty(
      'expiresAt',
    )
    expect(parseToken(text({ connectorURL: '' }))).not.toHaveProperty('connectorUrl')
    expect(parseToken(text({ expiresAt: '0001-01-01T00:00:00Z' }))).not.toHaveProperty('expiresAt')
    expect(parseToken(text({ expiresAt: 'canary' }))).not.toHaveProperty('expiresAt')
  })

  test('what is parsed cannot be printed', () => {
    expect(JSON.stringify(parseToken(encoded())) + Bun.inspect(parseToken(TOKEN))).not.toContain(
      'canary',
    )
  })
})

describe('what is no token', () => {
  test.each([
    ['nothing', ' \n', 'token_invalid', 'there is no text'],
    ['two words', 'canary canary', 'token_invalid', 'the text is not one word of visible ASCII'],
    ['two lines', 'canary\ncanary!', 'token_invalid', 'the text is not one word of visible ASCII'],
    [
      'letters of other scripts',
      'canary-ä',
      'token_invalid',
      'the text is not one word of visible ASCII',
    ],
    [
      'a very long text',
      'canary!'.repeat(1000),
      'token_invalid',
      'the text is not one word of visible ASCII',
    ],
    [
      'an address',
      'https://x.example/?token=canary',
      'token_invalid',
      'the text is an address, not a token',
    ],
    [
      'cut JSON',
      text().slice(0, -5),
      'token_invalid',
      'the text begins as JSON and is none: is it cut?',
    ],
    [
      'cut base64',
      encoded().slice(0, 160),
      'token_invalid',
      'the text is base64 of JSON that is cut',
    ],
    ['JSON without a token', text({ token: undefined }), 'token_invalid', 'its JSON has no token'],
    [
      'a token that would break the header',
      text({ token: 'canary\r\nx: y' }),
      'token_invalid',
      'its JSON has no token',
    ],
    [
      'an address without TLS',
      text({ connectorURL: 'http://canary' }),
      'token_invalid',
      'its connectorURL is not an https address',
    ],
    [
      'an address that is none',
      text({ connectorURL: 'canary' }),
      'token_invalid',
      'its connectorURL is not an https address',
    ],
    [
      'one that was used',
      encoded({ used: true }),
      'token_spent',
      'it says itself that it was used',
    ],
    [
      'one of an application',
      encoded({ type: 'Application' }),
      'not_a_runtime',
      'it was made for an application',
    ],
  ])('%s', (_what, given, code, why) => {
    let error: unknown
    try {
      parseToken(given)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(AgentError)
    expect(error).toMatchObject({ code, message: `Cannot use the token: ${why}` })
    expect(everythingOf(error as AgentError)).not.toContain('canary')
  })
})
