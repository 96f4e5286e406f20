import { describe, expect, test } from 'bun:test'
import { isLoopback, parseAddress } from '../../src/config/address.ts'

describe('address', () => {
  test.each([
    ['127.0.0.1:8090', '127.0.0.1', 8090],
    ['[::1]:0', '::1', 0],
    ['localhost:65535', 'localhost', 65535],
    ['0.0.0.0:80', '0.0.0.0', 80],
    ['agent-1.internal.example:8090', 'agent-1.internal.example', 8090],
  ])('%s', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port })
  })

  test.each([
    '',
    ':8090',
    '8090',
    '127.0.0.1',
    '127.0.0.1:65536',
    '::1:80',
    'a b:80',
    'http://x:80',
    'x:-1',
  ])('"%s" is no address', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })

  test('only names and addresses of this machine are loopback', () => {
    const loopback = ['localhost', '127.0.0.1', '127.1.2.3', '::1', '[::1]']
    const others = [
      '0.0.0.0',
      '::',
      '10.0.0.1',
      '127.0.0.1.example',
      'localhost.example',
      '128.0.0.1',
    ]
    expect(loopback.filter(isLoopback)).toEqual(loopback)
    expect(others.filter(isLoopback)).toEqual([])
  })
})
