import { isObject } from './graphql.ts'

/**
 * What is wrong with a value after a JSON Schema, in the words of the validator that the Director uses. Knows what input
 * schemas of bundles are made of: type, required, properties, additionalProperties, items, enum, minLength, pattern.
 */
export function schemaProblems(
  schema: Record<string, unknown>,
  value: unknown,
  at = '(root)',
): string[] {
  const type = schema['type']
  if (typeof type === 'string' && !hasType(value, type)) {
    return [`${at}: Invalid type. Expected: ${type}, given: ${typeOf(value)}`]
  }
  return [
    ...enumProblems(schema, value, at),
    ...textProblems(schema, value, at),
    ...objectProblems(schema, value, at),
    ...itemProblems(schema, value, at),
  ]
}

function enumProblems(schema: Record<string, unknown>, value: unknown, at: string): string[] {
  const allowed: unknown = schema['enum']
  if (!Array.isArray(allowed)) return []
  const texts = allowed.map((item) => JSON.stringify(item))
  if (texts.includes(JSON.stringify(value))) return []
  return [`${at}: ${at} must be one of the following: ${texts.join(', ')}`]
}

function textProblems(schema: Record<string, unknown>, value: unknown, at: string): string[] {
  if (typeof value !== 'string') return []
  const { minLength, pattern } = schema
  const problems: string[] = []
  if (typeof minLength === 'number' && Array.from(value).length < minLength) {
    problems.push(`${at}: String length must be greater than or equal to ${minLength}`)
  }
  if (typeof pattern === 'string' && !new RegExp(pattern, 'u').test(value)) {
    problems.push(`${at}: Does not match pattern '${pattern}'`)
  }
  return problems
}

function objectProblems(schema: Record<string, unknown>, value: unknown, at: string): string[] {
  if (!isObject(value)) return []
  const properties = isObject(schema['properties']) ? schema['properties'] : {}
  const required: unknown[] = Array.isArray(schema['required']) ? schema['required'] : []
  const missing = required.filter((key) => typeof key === 'string' && !Object.hasOwn(value, key))
  const unknown = Object.keys(value).filter((key) => !Object.hasOwn(properties, key))
  return [
    ...missing.map((key) => `${at}: ${String(key)} is required`),
    ...(schema['additionalProperties'] === false
      ? unknown.map((key) => `${at}: Additional property ${key} is not allowed`)
      : []),
    ...Object.entries(properties).flatMap(([key, member]) =>
      isObject(member) && Object.hasOwn(value, key)
        ? schemaProblems(member, value[key], at === '(root)' ? key : `${at}.${key}`)
        : [],
    ),
  ]
}

function itemProblems(schema: Record<string, unknown>, value: unknown, at: string): string[] {
  const items = schema['items']
  if (!Array.isArray(value) || !isObject(items)) return []
  return value.flatMap((item, index) => schemaProblems(items, item, `${at}.${index}`))
}

function hasType(value: unknown, type: string): boolean {
  const given = typeOf(value)
  return given === type || (type === 'number' && given === 'integer')
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}
