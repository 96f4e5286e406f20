import { describe, expect, test } from 'bun:test'
import type { JsonSchema } from '@valibot/to-json-schema'
import { agentEditorSchema, agentSchemaAsJson } from '../../src/config/jsonSchema.ts'

type Field = { path: string; schema: JsonSchema }

/** Every key of agent.yaml with its schema. */
function fields(schema: JsonSchema | boolean | undefined, path = ''): Field[] {
  if (schema === undefined || typeof schema === 'boolean') return []
  const items = Array.isArray(schema.items) ? [] : fields(schema.items, `${path}[]`)
  const choices = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]
  const properties = Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => {
    const at = path === '' ? key : `${path}.${key}`
    return typeof inner === 'boolean' ? [] : [{ path: at, schema: inner }, ...fields(inner, at)]
  })
  return [...properties, ...items, ...choices.flatMap((choice) => fields(choice, path))]
}

describe('JSON Schema', () => {
  test('every key has a description', () => {
    const all = fields(agentSchemaAsJson())
    expect(all.map(({ path }) => path)).toContain('targets[].onChange[].command')
    expect(all.filter(({ schema }) => !schema.description).map(({ path }) => path)).toEqual([])
  })

  test('every section refuses unknown keys', () => {
    const sections = fields(agentSchemaAsJson()).filter(({ schema }) => schema.properties)
    const open = sections.filter(({ schema }) => schema.additionalProperties !== false)
    expect(open).toEqual([])
  })

  test('states the defaults as they are written', () => {
    const defaults = new Map(
      fields(agentSchemaAsJson()).map(({ path, schema }) => [path, schema.default]),
    )
    expect(defaults.get('director.interval')).toBe('3m')
    expect(defaults.get('guard.ordinary.percent')).toBe(20)
    expect(defaults.get('guard.massDeletion')).toBe('hold')
    expect(defaults.get('status.listen')).toBe('127.0.0.1:8090')
  })

  test('lets editors accept a variable wherever a single value stands', () => {
    const schema = new Map(fields(agentEditorSchema()).map(({ path, schema }) => [path, schema]))
    const variable: JsonSchema = { type: 'string', pattern: '\\$\\{' }
    for (const path of [
      'director.interval',
      'guard.ordinary.count',
      'log.level',
      'insecureSkipVerify',
    ]) {
      expect(schema.get(path)?.anyOf).toContainEqual(variable)
    }
    expect(schema.get('version')?.const).toBe(1)
  })
})
