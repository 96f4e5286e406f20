import { readFileSync } from 'node:fs'
import { describe, expect } from 'bun:test'
import {
  buildSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isUnionType,
  type GraphQLNamedType,
  type GraphQLSchema,
} from 'graphql'
import { connectorSchema, directorSchema } from '../../src/devplane/schema.ts'
import { needsShared, shared } from '../shared.ts'

/** Each statement of a type as one line: fields with arguments and types, values of enums, members of unions. */
function statements(type: GraphQLNamedType): string[] {
  if (isObjectType(type) || isInterfaceType(type)) {
    return Object.values(type.getFields()).flatMap((field) => [
      `${type.name}.${field.name}: ${String(field.type)}`,
      ...field.args.map(
        (arg) =>
          `${type.name}.${field.name}(${arg.name}: ${String(arg.type)} = ${String(arg.defaultValue)})`,
      ),
    ])
  }
  if (isInputObjectType(type)) {
    return Object.values(type.getFields()).map(
      (field) => `${type.name}.${field.name}: ${String(field.type)}`,
    )
  }
  if (isEnumType(type)) return type.getValues().map(({ name }) => `${type.name} = ${name}`)
  if (isUnionType(type)) return type.getTypes().map(({ name }) => `${type.name} | ${name}`)
  return [`scalar ${type.name}`]
}

function allStatements(schema: GraphQLSchema): string[] {
  return Object.values(schema.getTypeMap())
    .filter(({ name }) => !name.startsWith('__'))
    .flatMap(statements)
}

/** Arguments of fields that both have must be the same, or a query could be refused by one and not by the other. */
function missingArguments(ours: GraphQLSchema, theirs: GraphQLSchema): string[] {
  const own = new Set(allStatements(ours))
  return Object.values(ours.getTypeMap()).flatMap((type) => {
    const upstream = theirs.getType(type.name)
    if (!isObjectType(type) || !isObjectType(upstream) || type.name.startsWith('__')) return []
    const fields = Object.keys(type.getFields())
    return statements(upstream).filter(
      (line) => fields.some((field) => line.startsWith(`${type.name}.${field}(`)) && !own.has(line),
    )
  })
}

describe('schema', () => {
  for (const [file, schema] of [
    ['connector-schema.graphql', connectorSchema()],
    ['director-schema.graphql', directorSchema()],
  ] as const) {
    needsShared(`all that is served stands in the official ${file} with the same types`, () => {
      const official = buildSchema(readFileSync(new URL(`upstream/${file}`, shared), 'utf8'))
      const known = new Set(allStatements(official))
      const own = allStatements(schema)
      expect(own.length).toBeGreaterThan(10)
      expect(own.filter((line) => !known.has(line))).toEqual([])
      expect(missingArguments(schema, official)).toEqual([])
    })
  }
})
