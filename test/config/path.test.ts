import { describe, expect, test } from 'bun:test'
import { absolute, directoryOf, isWithin } from '../../src/config/path.ts'

describe('path', () => {
  test.each([
    ['out', '/etc/agent', '/etc/agent/out'],
    ['./out/', '/etc/agent', '/etc/agent/out'],
    ['../out', '/etc/agent', '/etc/out'],
    ['/a//b/./c/../d/', '/x', '/a/b/d'],
    ['../../../..', '/etc/agent', '/'],
  ])('%s seen from %s is %s', (path, directory, expected) => {
    expect(absolute(path, directory)).toBe(expected)
  })

  test('a file stands in its directory', () => {
    expect(directoryOf('/etc/agent/agent.yaml')).toBe('/etc/agent')
    expect(directoryOf('/agent.yaml')).toBe('/')
  })

  test('a name that only begins alike is not within', () => {
    expect(isWithin('/var/out/x', '/var/out')).toBe(true)
    expect(isWithin('/var/out', '/var/out')).toBe(true)
    expect(isWithin('/var/output', '/var/out')).toBe(false)
    expect(isWithin('/var', '/')).toBe(true)
  })
})
