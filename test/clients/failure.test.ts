import { describe, expect, test } from 'bun:test'
import { graphqlFailure } from '../../src/clients/failure.ts'
import type { Door } from '../../src/clients/failure.ts'
import type { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'

const failed = (door: Door) => ({ door, cannot: 'Cannot ask at x', secrets: [new Secret('s-1')] })
const entry = (message: string, code?: number, name = 'Name') => ({
  message,
  path: ['result'],
  ...(code === undefined ? {} : { extensions: { error: name, error_code: code } }),
})
const of = (
  errors: readonly unknown[],
  {
    door = 'director',
    status = 200,
    partial = false,
  }: { door?: Door; status?: number; partial?: boolean } = {},
): AgentError =>
  graphqlFailure(failed(door), { status, retryAfter: undefined }, { errors, partial })

describe('codes of the Director', () => {
  test.each([
    [10, 'director_failed', 'retry'],
    [11, 'director_failed', 'retry'],
    [20, 'director_refused', 'operator'],
    [21, 'director_refused', 'operator'],
    [22, 'director_refused', 'operator'],
    [24, 'tenant_wrong', 'operator'],
    [25, 'tenant_wrong', 'operator'],
    [26, 'director_refused', 'operator'],
    [27, 'director_refused', 'operator'],
    [28, 'timed_out', 'retry'],
    [29, 'director_refused', 'operator'],
    [30, 'director_refused', 'operator'],
    [31, 'director_refused', 'operator'],
    [32, 'director_failed', 'retry'],
    [33, 'director_refused', 'operator'],
    [34, 'director_refused', 'operator'],
    [35, 'director_failed', 'retry'],
    [36, 'director_refused', 'operator'],
    [37, 'director_refused', 'operator'],
    [38, 'director_failed', 'retry'],
    [400, 'director_refused', 'operator'],
    [409, 'director_failed', 'retry'],
    [999, 'director_failed', 'retry'],
  ])('%d is %s (%s), and stands in message and detail', (errorCode, code, failureClass) => {
    const error = of([entry('because', errorCode)])
    expect(error).toMatchObject({ code, class: failureClass, detail: { errorCode, status: 200 } })
    expect(error.message).toBe(`Cannot ask at x: because (error ${errorCode} Name)`)
  })

  test('23 with scopes names the one that is missing', () => {
    const error = of([
      entry('insufficient scopes provided [actual=a:read;b:read; required=c:write]', 23),
    ])
    expect(error).toMatchObject({ code: 'scope_missing', detail: { scope: 'c:write' } })
  })

  test.each([
    'insufficient scopes provided [actual=; required=c:write]',
    'insufficient scopes provided [actual= ; required=c:write]',
    'insufficient scopes',
    '',
  ])('23 without scopes is an identity that is not seen now: %p', (message) => {
    const error = of([entry(message, 23)])
    expect(error).toMatchObject({ code: 'identity_refused', class: 'retry' })
    expect(error.message).toBe(
      'Cannot ask at x: it does not recognise this runtime now (error 23, no scopes)',
    )
  })

  test('a code that is no number is none', () => {
    const error = of([{ message: 'm', extensions: { error_code: '22' } }])
    expect(error).toMatchObject({ code: 'director_failed', detail: { status: 200 } })
  })

  test('a document that does not fit its schema is refused, though its code is 10', () => {
    expect(of([entry('Cannot query field', 10)], { status: 422 }).code).toBe('director_refused')
  })

  test('a status without a code decides', () => {
    expect(of([entry('m')], { status: 401 }).code).toBe('identity_refused')
    expect(of([entry('m')], { status: 500 }).code).toBe('server_failed')
  })

  test('of several errors the one that needs a person is told, and how many there are', () => {
    const error = of([entry('slow', 28), entry('no tenant', 25), entry('again', 10)], {
      partial: true,
    })
    expect(error.code).toBe('tenant_wrong')
    expect(error.message).toBe('Cannot ask at x: no tenant (error 25 Name) (and 2 more)')
  })

  test('a part with errors that nobody knows is incomplete', () => {
    expect(of([entry('m')], { partial: true }).code).toBe('answer_incomplete')
  })
})

describe('texts of the Connector', () => {
  test.each<[string, string, string, string]>([
    [
      'Failed to authenticate request. Token authentication error: x',
      'token_refused',
      'identity_refused',
      'spent',
    ],
    ['Failed to authenticate with certificate', 'token_refused', 'identity_refused', 'spent'],
    [
      'Failed to get one-time token during fetching configuration process',
      'server_failed',
      'server_failed',
      'spent',
    ],
    ['No token generation for consumer type', 'not_a_runtime', 'not_a_runtime', 'spent'],
    ['Error while decoding Certificate Signing Request', 'csr_refused', 'csr_refused', 'spent'],
    [
      'Error while signing Certificate Signing Request: CSR signature invalid',
      'csr_refused',
      'csr_refused',
      'spent',
    ],
    ['CSR: No organization provided.', 'csr_refused', 'csr_refused', 'spent'],
    ['Error while creating certificate: x', 'csr_refused', 'csr_refused', 'spent'],
    ['something else', 'server_failed', 'server_failed', 'spent'],
  ])('%p is %s with a token, %s over mTLS', (message, withToken, overMtls, token) => {
    const error = of([entry(message)], { door: 'token' })
    expect(error.code).toBe(withToken as typeof error.code)
    expect(error.detail['token']).toBe(token)
    const other = of([entry(message)], { door: 'connector' })
    expect(other.code).toBe(overMtls as typeof error.code)
    expect(other.detail).not.toHaveProperty('token')
  })
})

describe('messages', () => {
  test('do not change from try to try: errorID goes to the detail', () => {
    const first = of([entry('Internal Server Error [errorID=aa-1, reason: x]', 10)])
    const second = of([entry('Internal Server Error [errorID=bb-2, reason: x]', 10)])
    expect(first.message).toBe(second.message)
    expect(first.detail['errorId']).toBe('aa-1')
  })

  test('hold no secret that was sent, and at most 200 characters of the server', () => {
    const error = of([entry(`s-1 was refused ${'because '.repeat(100)}`, 22)])
    expect(error.message).toStartWith('Cannot ask at x: [masked] was refused because')
    expect(error.message.length).toBeLessThan(240)
  })
})
