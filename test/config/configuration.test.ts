import { describe, expect, test } from 'bun:test'
import { warningsOf } from '../../src/config/warnings.ts'
import { configOf, problemsOf } from './agent.ts'

const section = (rest: string): string =>
  `version: 1\nconfiguration: {url: "https://x.example"${rest}}`

describe('configuration', () => {
  test('needs no more than an address, and lets nothing in by itself', () => {
    const config = configOf(section(''))
    expect(config.configuration).toEqual({
      url: 'https://x.example',
      interval: 60_000,
      maxBytes: 1024 * 1024,
      secrets: ['*password', '*Secret', '*Key', '*Token', 'connectionString', 'authorization'],
      allow: [],
    })
    expect(warningsOf(config, () => undefined).map(({ path }) => path)).toContainEqual([
      'configuration',
      'allow',
    ])
  })

  test('a row lets in all names, and of namespaces only documents that name none', () => {
    const { configuration } = configOf(
      section(', allow: [{apiVersion: dapr.io/v1alpha1, kind: Component}]'),
    )
    expect(configuration?.allow).toEqual([
      { apiVersion: 'dapr.io/v1alpha1', kind: 'Component', namespaces: [], names: ['*'] },
    ])
  })

  test.each([
    [', maxBytes: 512KiB', 512 * 1024],
    [', maxBytes: 8MiB', 8 * 1024 * 1024],
    [', maxBytes: 4096B', 4096],
  ])('%s is a size', (rest, bytes) => {
    expect(configOf(section(rest)).configuration?.maxBytes).toBe(bytes)
  })

  test.each([
    [', maxBytes: 1', 'found 1, want a size such as 512KiB or 1MiB, from 1KiB to 8MiB'],
    [', maxBytes: 9MiB', 'found "9MiB", want a size such as 512KiB or 1MiB, from 1KiB to 8MiB'],
    [', maxBytes: 1MB', 'found "1MB", want a size'],
    [', interval: 10ms', 'interval: found "10ms", want'],
    [', allow: [{kind: Component}]', 'apiVersion'],
    [', allow: [{apiVersion: "*", kind: Component}]', 'want an API version such as'],
    [', allow: [{apiVersion: v1, kind: "*"}]', 'want a kind such as Component'],
    [', allow: [{apiVersion: v1, kind: ConfigMap, names: []}]', 'at least one name'],
    [', allow: [{apiVersion: v1, kind: ConfigMap, namespaces: ["../x"]}]', 'want a namespace'],
  ])('%s is refused', (rest, said) => {
    expect(problemsOf(section(rest)).join('\n')).toContain(said)
  })

  test('is read over https, or on this machine only', () => {
    expect(problemsOf('version: 1\nconfiguration: {url: "http://x.example"}').join()).toContain(
      'an https:// URL',
    )
    expect(
      configOf('version: 1\nconfiguration: {url: "http://127.0.0.1:1"}').configuration?.url,
    ).toBe('http://127.0.0.1:1')
    expect(problemsOf('version: 1\nconfiguration: {interval: 1m}').join()).toContain('url')
  })
})
