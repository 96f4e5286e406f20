import { describe, expect, test } from 'bun:test'
import { agentSchemaAsJson } from '../../src/config/jsonSchema.ts'
import { configOf, filesOf, warningsOf } from './agent.ts'

const example = await Bun.file(new URL('../../deploy/agent.example.yaml', import.meta.url)).text()

/** With every commented key switched on; prose has one space after its #. */
const everything = example.replaceAll(/^#(?=[a-z]| {2})/gm, '')

describe('deploy/agent.example.yaml', () => {
  test('is valid as it stands, without warnings', () => {
    expect(filesOf(configOf(example)).map(({ directory }) => directory)).toEqual([
      '/var/lib/runtime-agent/out',
    ])
    expect(warningsOf(example)).toEqual([])
  })

  test('is valid with every commented key switched on', () => {
    const config = configOf(everything)
    expect(config.renewal.windows).toHaveLength(1)
    expect(filesOf(config)[0]?.onChange).toHaveLength(1)
    expect(warningsOf(everything)).toEqual([])
  })

  test('mentions every top-level key', () => {
    const keys = Object.keys(agentSchemaAsJson().properties ?? {})
    expect(keys.filter((key) => !new RegExp(`^${key}:`, 'm').test(everything))).toEqual([])
  })

  test('shows the defaults as they are, where it says so', () => {
    const { director, identity, guard, status, log } = configOf('version: 1')
    expect(configOf(everything)).toMatchObject({ director, identity, guard, status, log })
  })
})
