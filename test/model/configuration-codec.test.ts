import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { ConfigObject, ConfigValue } from '../../src/model/config-value.ts'
import { concealed, revealed, secretPaths } from '../../src/model/config-value.ts'
import { decodeConfiguration, encodeConfiguration } from '../../src/model/configuration-codec.ts'
import { digestConfiguration, reuseConfiguration } from '../../src/model/configuration.ts'
import type { ConfigurationSnapshot } from '../../src/model/configuration.ts'
import { isSame } from '../../src/model/equal.ts'
import { problem } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { markComplete } from '../../src/model/snapshot.ts'
import type { ConfigDocument } from '../../src/model/target.ts'
import { RUNTIME } from './samples.ts'

function document(name: string, content: ConfigObject = {}): ConfigDocument {
  const kind = { apiVersion: 'v1', kind: 'ConfigMap' }
  return { id: `core/ConfigMap//${name}`, ...kind, name, document: { ...kind, ...content } }
}

function configuration(documents: ConfigDocument[]): ConfigurationSnapshot {
  const refused = [
    { problem: problem('configuration_refused', 'Cannot apply it: no', { subject: 'Role x' }) },
    {
      problem: problem('configuration_malformed', 'Cannot apply it: twice'),
      keeps: { document: 'x' },
    },
    {
      problem: problem('configuration_malformed', 'Cannot apply item 1'),
      keeps: 'everything' as const,
    },
  ]
  const content = { runtimeId: RUNTIME, documents: markComplete(documents), refused, rules: 'r' }
  return { ...content, digest: digestConfiguration(content), fetchedAt: 7, etag: '"e"' }
}

const anyValue: fc.Arbitrary<ConfigValue> = fc.letrec<{ value: ConfigValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.string(),
    fc.string().map((text) => new Secret(text)),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constant('__proto__')), tie('value'), { maxKeys: 3 }),
  ),
})).value

describe('a configuration in its file', () => {
  test('comes back as it was, secrets as secrets', () => {
    const secret = document('a', { data: { password: new Secret('hidden'), list: ['x', 7, null] } })
    const before = configuration([
      secret,
      { ...document('b'), namespace: 'n', restartSelector: 's' },
    ])
    const text = encodeConfiguration(before)
    const { configuration: after } = decodeConfiguration(text)
    expect(after).toBeDefined()
    expect(isSame(after, before)).toBe(true)
    expect(JSON.stringify(after)).not.toContain('hidden')
    expect(encodeConfiguration(after!)).toBe(text)
  })

  test('any value is revealed and concealed again', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const plain = JSON.parse(JSON.stringify(revealed(value))) as ConfigValue
        expect(isSame(concealed(plain, secretPaths(value)), value)).toBe(true)
      }),
    )
  })

  test.each(['', '{', '[]', '{"version":2}', '{"version":1}'])(
    'that is damaged (%s) is a problem, never an error',
    (text) => {
      expect(decodeConfiguration(text).problem?.code).toBe('snapshot_damaged')
    },
  )

  test('whose content was changed is not used', () => {
    const text = encodeConfiguration(configuration([document('a')])).replace('"r"', '"s"')
    expect(decodeConfiguration(text).problem?.code).toBe('snapshot_damaged')
  })
})

describe('of a new configuration', () => {
  test('what did not change is the very same object, and all of it where nothing did', () => {
    const before = configuration([document('a'), document('b')])
    const same = reuseConfiguration(before, configuration([document('a'), document('b')]))
    expect(same.documents).toBe(before.documents)
    const other = reuseConfiguration(
      before,
      configuration([document('a'), document('b', { data: {} })]),
    )
    expect(other.documents[0]).toBe(before.documents[0])
    expect(other.documents[1]).not.toBe(before.documents[1]!)
  })
})
