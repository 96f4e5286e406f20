import { describe, expect, test } from 'bun:test'
import { lookAtToken, tokenStatus } from '../../src/agent/token-watch.ts'
import type { TokenSeen } from '../../src/agent/token-watch.ts'
import type { TokenIntent } from '../../src/model/identity.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import type { TokenStatus } from '../../src/model/status.ts'
import { HOUR, MINUTE } from '../../src/model/time.ts'
import { failure, intent, NOW, parsed, pending } from './samples.ts'

const PLAIN = 'x'.repeat(88)
const source = (text: string | undefined) => ({
  read: () => Promise.resolve(text === undefined ? undefined : new Secret(text)),
})

describe('a look at the token', () => {
  test.each([undefined, '', ' \n'])('sees that there is none (%j)', async (text) => {
    expect(await lookAtToken(source(text))).toEqual({})
  })

  test('sees the same token whatever form it has', async () => {
    const raw = JSON.stringify({ token: PLAIN, connectorURL: 'https://compass.example/' })
    const seen = await Promise.all([PLAIN, raw, btoa(raw)].map((text) => lookAtToken(source(text))))
    expect(new Set(seen.map(({ digest }) => digest)).size).toBe(1)
    expect(seen.map(({ parsed: found }) => found?.form)).toEqual(['plain', 'raw', 'rawEncoded'])
  })

  test('tells one text that is no token from another, and never quotes it', async () => {
    const seen = await Promise.all(
      ['no token', 'nor this'].map((text) => lookAtToken(source(text))),
    )
    expect(seen.map(({ problem }) => problem?.code)).toEqual(['token_invalid', 'token_invalid'])
    expect(seen[0]!.digest).not.toBe(seen[1]!.digest)
    expect(JSON.stringify(seen)).not.toContain('nor this')
  })

  test('shows that it cannot be read', async () => {
    const thrown = new AgentError('token_unreadable', 'Cannot read the token: EACCES')
    const seen = await lookAtToken({ read: () => Promise.reject(thrown) })
    expect(seen).toEqual({ problem: thrown.toProblem() })
  })

  test('lets a defect be one', async () => {
    const thrown = new TypeError('no function')
    const look = lookAtToken({ read: () => Promise.reject(thrown) })
    expect(await look.catch((caught: unknown) => caught)).toBe(thrown)
  })
})

describe('what became of the token', () => {
  const a: TokenSeen = { digest: 'a', parsed: parsed('a') }
  const at = (token: TokenIntent) => ({ pending: pending('intent', token) })
  const rows: [string, TokenSeen, Parameters<typeof tokenStatus>[1], TokenStatus][] = [
    ['there is none', {}, {}, 'none'],
    ['it cannot be read', { problem: failure('token_unreadable') }, {}, 'unreadable'],
    ['it was never sent', a, {}, 'unspent'],
    ['it was never sent, another one was', a, at(intent('b', [NOW])), 'unspent'],
    ['it brought the identity', a, { enrolledWith: 'a' }, 'spent'],
    ['it is new beside an identity', a, { enrolledWith: 'b' }, 'unspent'],
    ['it was sent and may be again', a, at(intent('a', [NOW - MINUTE])), 'in-use'],
    ['it is proved to be spent', a, at(intent('a', [NOW], { spent: true })), 'spent'],
    ['its time is over', a, at(intent('a', [NOW - HOUR], { until: NOW })), 'refused'],
    [
      'it was sent six times',
      a,
      at(
        intent(
          'a',
          [6, 5, 4, 3, 2, 1].map((n) => NOW - n * 1000),
          { until: NOW + 50 * MINUTE },
        ),
      ),
      'refused',
    ],
  ]
  test.each(rows)('%s', (_, seen, known, status) => {
    expect(tokenStatus(seen, known, NOW)).toBe(status)
  })
})
