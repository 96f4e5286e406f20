import type { JsonSchema } from '@valibot/to-json-schema'
import { toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { configurationFile, overlayFile, runtimeFile } from './desired.ts'
import { directorSchema } from './director.ts'
import { agentSchema } from './schema.ts'
import { isMapping } from './section.ts'

/** Rules that JSON Schema cannot state; the agent checks them itself. */
const UNSTATED = ['check', 'transform', 'raw_transform']

/** What agent.yaml may hold, as JSON Schema (draft-07), made from the one schema (schema.ts). */
export function agentSchemaAsJson(): JsonSchema {
  return toJsonSchema(agentSchema('/'), { typeMode: 'input', ignoreActions: UNSTATED })
}

/** The same for director.yaml. */
export function directorSchemaAsJson(): JsonSchema {
  return toJsonSchema(directorSchema('/'), { typeMode: 'input', ignoreActions: UNSTATED })
}

/** The same for the files of the desired state, by where they are. */
export function desiredSchemasAsJson(): Record<string, JsonSchema> {
  const json = (schema: v.GenericSchema): JsonSchema =>
    toJsonSchema(schema, { typeMode: 'input', ignoreActions: UNSTATED })
  return {
    'runtimes/ID.yaml': json(runtimeFile),
    'configurations/NAME.yaml': json(configurationFile),
    'overlays/NAME.yaml': json(overlayFile),
  }
}

/**
 * What `agent schema` prints: for editors, which see the file before its variables are replaced, so a `${VAR}` may stand
 * wherever a single value may.
 */
export function agentEditorSchema(): JsonSchema {
  const schema = { title: 'agent.yaml of the runtime agent', ...agentSchemaAsJson() }
  return JSON.parse(JSON.stringify(schema), withVariable) as JsonSchema
}

const VARIABLE: JsonSchema = { type: 'string', pattern: '\\$\\{' }

/** A reviver for JSON.parse. Keys cannot hold variables; lists and sections cannot come from one. */
function withVariable(key: string, node: unknown): unknown {
  if (key === 'propertyNames' || !isRuled(node)) return node
  const { type, pattern, enum: words, minimum, maximum, ...rest } = node
  return { ...rest, anyOf: [{ type, pattern, enum: words, minimum, maximum }, VARIABLE] }
}

/** A single value that is more than any text. Constants (version, kind) tell editors which part of the schema counts. */
function isRuled(node: unknown): node is JsonSchema {
  if (!isMapping(node) || typeof node['type'] !== 'string') return false
  if (['number', 'integer', 'boolean'].includes(node['type'])) return true
  return node['type'] === 'string' && ('pattern' in node || 'enum' in node)
}
