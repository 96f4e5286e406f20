import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { dump } from 'js-yaml'
import { writeDuration } from '../../src/config/duration.ts'
import { agentSchemaAsJson } from '../../src/config/jsonSchema.ts'
import { configOf, filesOf, parse } from './agent.ts'

/** Words and signs that reach deeper than random characters do. */
const pieces = [
  ...Object.keys(agentSchemaAsJson().properties ?? {}),
  ...[
    'kind',
    'files',
    'directory',
    'onChange',
    'file',
    'value',
    'after',
    'custom',
    'kyma',
    'kubernetes',
    'secret',
    'namespaces',
    '__proto__',
  ],
  ...[
    ': ',
    '\n',
    '\n  ',
    '\n    ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    ', ',
    '"',
    "'",
    '&a ',
    '*a',
    '#',
    '|\n',
    '>-\n',
  ],
  ...[
    '!!str ',
    '? ',
    '---\n',
    '${A}',
    '${',
    '$${',
    '${NOPE}',
    '3m',
    '7',
    '-1',
    '.nan',
    'true',
    'null',
    '\t',
    '\r\n',
  ],
]
const garbage = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.array(fc.constantFrom(...pieces), { maxLength: 60 }).map((parts) => parts.join('')),
)

/** Any values below the known keys, so that the schema and not the syntax is what refuses. */
const wrongValues = fc.dictionary(
  fc.constantFrom(...pieces.slice(0, 23)),
  fc.jsonValue({ maxDepth: 4 }),
)

function placesAreValid(text: string): void {
  const { problems = [], config, warnings = [] } = parse(text, { A: 'x: [1' })
  expect(config === undefined).toBe(problems.length > 0)
  const lines = text.split(/\r\n|\n|\r/)
  for (const { line, column, message, path } of [...problems, ...warnings]) {
    expect(line).toBeGreaterThanOrEqual(1)
    expect(line).toBeLessThanOrEqual(lines.length)
    expect(column).toBeGreaterThanOrEqual(1)
    expect(column).toBeLessThanOrEqual((lines[line - 1] ?? '').length + 1)
    expect(message).not.toBe('')
    expect(message + path).not.toMatch(/\n/)
  }
}

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/)
const length = fc.integer({ min: 1000, max: 3_600_000 })
const word = fc.stringMatching(/^[\w*.-]{1,12}$/).filter((text) => text.trim() === text)
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

/** A valid configuration as it may be written, with what must become of the parts that change. */
const valid = fc.record({
  name,
  interval: length,
  grace: fc.integer({ min: 0, max: 10 ** 9 }),
  threshold: fc.double({ min: 0.05, max: 0.95, noNaN: true }),
  count: fc.nat(1000),
  after: maybe(fc.integer({ min: 60_000, max: 10 ** 9 })),
  token: fc.oneof(
    fc
      .string({ minLength: 1 })
      .filter((text) => /^[^\p{C}$]+$/u.test(text) && text.trim() === text)
      .map((value) => ({ value })),
    name.map((file) => ({ file })),
    fc.constant({ env: 'TOKEN' }),
    name.map((credential) => ({ credential })),
  ),
  labels: fc.dictionary(
    fc.stringMatching(/^x_\w{1,20}$/),
    fc.oneof(fc.boolean(), fc.integer(), name),
  ),
  targets: fc.uniqueArray(name, { maxLength: 4 }),
  hooks: fc.array(
    fc.record({ command: fc.array(word, { minLength: 1, maxLength: 3 }), timeout: length }),
    { maxLength: 3 },
  ),
  level: fc.constantFrom('debug', 'info', 'warn', 'error'),
})

describe('parseConfig', () => {
  test('never throws, and every problem of any text has a place in it', () => {
    fc.assert(fc.property(garbage, placesAreValid), { numRuns: 2000 })
  })

  test('never throws, and every problem of any wrong value has a place in it', () => {
    fc.assert(
      fc.property(wrongValues, (values) => {
        placesAreValid(JSON.stringify(values))
        placesAreValid(dump(values))
      }),
      { numRuns: 500 },
    )
  })

  test('says the same of YAML in block style and of the same as JSON', () => {
    fc.assert(
      fc.property(wrongValues, (values) => {
        const said = (text: string) =>
          // A number may be written in several ways, so only what is wanted is compared.
          (parse(text).problems ?? [])
            .map((p) => [p.path, p.message.replace(/^found .*, want/, '')].join())
            .sort()
        expect(said(dump(values, { forceQuotes: true }))).toEqual(said(JSON.stringify(values)))
      }),
      { numRuns: 300 },
    )
  })

  test('gives back what was written, whatever the style', () => {
    fc.assert(
      fc.property(valid, fc.constantFrom(-1, 1, 3), (given, flowLevel) => {
        const { after } = given
        const written = {
          version: 1,
          name: given.name,
          connector: { token: given.token },
          director: { interval: writeDuration(given.interval) },
          labels: { custom: given.labels },
          renewal: { threshold: given.threshold },
          guard: {
            ordinary: { count: given.count },
            massDeletion: after === undefined ? 'hold' : { after: writeDuration(after) },
            credentialsGrace: writeDuration(given.grace),
          },
          targets: given.targets.map((target) => ({
            kind: 'files',
            name: target,
            directory: `out/${target}/dir`,
            onChange: given.hooks.map(({ command, timeout }) => ({
              command,
              timeout: writeDuration(timeout),
            })),
          })),
          log: { level: given.level },
        }
        const config = configOf(dump(written, { flowLevel }))
        expect(config.name).toBe(given.name)
        expect(config.director.interval).toBe(given.interval)
        expect(config.guard).toEqual({
          ordinary: { count: given.count, percent: 20 },
          massDeletion: after === undefined ? 'hold' : { after },
          credentialsGrace: given.grace,
        })
        expect(config.renewal.threshold).toBe(given.threshold)
        expect({ ...config.labels.custom }).toEqual(given.labels)
        expect(config.log.level).toBe(given.level as never)
        expect(config.targets.map((target) => target.name)).toEqual(given.targets)
        const files = filesOf(config)
        expect(files.map((target) => target.directory)).toEqual(
          given.targets.map((target) => `/etc/agent/out/${target}/dir`),
        )
        const hooks = given.hooks.map((hook) => ({ bindings: ['*'], ...hook }))
        expect(files.every((target) => Bun.deepEquals(target.onChange, hooks))).toBe(true)
        const { token } = config.connector
        const [from] = Object.keys(given.token)
        expect(token.from).toBe(from as never)
        if (token.from === 'value')
          expect({ value: token.value.reveal() }).toEqual(given.token as never)
      }),
      { numRuns: 300 },
    )
  })
})
