import { toJsonSchema } from '@valibot/to-json-schema'
import { agentSchema } from './schema.ts'

/** The part of JSON Schema (draft-07, as editors' YAML support reads it) that agent.yaml needs. */
export type JsonSchema = {
  $schema?: string
  title?: string
  description?: string
  type?: string
  const?: unknown
  enum?: unknown[]
  default?: unknown
  examples?: unknown[]
  pattern?: string
  minimum?: number
  maximum?: number
  minItems?: number
  minProperties?: number
  maxProperties?: number
  required?: string[]
  properties?: Record<string, JsonSchema>
  additionalProperties?: boolean | JsonSchema
  propertyNames?: JsonSchema
  items?: JsonSchema
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
}

/** Rules that JSON Schema cannot state; the agent checks them itself. */
const UNSTATED = ['check', 'transform']

/** What agent.yaml may hold, made from the one schema (schema.ts). `agent schema` prints it. */
export function agentJsonSchema(): JsonSchema {
  const made = toJsonSchema(agentSchema('/'), { typeMode: 'input', ignoreActions: UNSTATED })
  return { title: 'agent.yaml', ...tidy(made as JsonSchema) }
}

/** Leaves out empty lists, which say nothing. */
function tidy(schema: JsonSchema): JsonSchema {
  const copy: unknown = JSON.parse(JSON.stringify(schema), (key, value: unknown) =>
    (key === 'required' || key === 'examples') && Array.isArray(value) && value.length === 0
      ? undefined
      : value,
  )
  return copy as JsonSchema
}
