import {
  execute,
  GraphQLError,
  isObjectType,
  Kind,
  OperationTypeNode,
  parse,
  validate,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLSchema,
} from 'graphql'

/** A document that was parsed and validated once. */
export type Prepared = {
  document?: DocumentNode
  /** Why it cannot be executed. */
  errors: readonly GraphQLError[]
  phase: 'parse' | 'validate' | 'ready'
  /** Names of the root fields of all its operations. */
  fields: readonly string[]
}

/** What a GraphQL request holds, as far as it is well-formed. */
export type GraphqlRequest = {
  query: string
  variables?: Record<string, unknown>
  operationName?: string
}

/** Documents are few and asked for again and again: parsing and validating one of an agent takes longer than a small answer. */
const CACHED_DOCUMENTS = 200

/** A schema with its cache of prepared documents. */
export class GraphqlEngine {
  readonly #schema: GraphQLSchema
  readonly #prepared = new Map<string, Prepared>()

  constructor(schema: GraphQLSchema) {
    this.#schema = schema
  }

  /** Parses and validates, or remembers having done so. */
  prepare(query: string): Prepared {
    const known = this.#prepared.get(query)
    if (known !== undefined) return known
    if (this.#prepared.size >= CACHED_DOCUMENTS) this.#prepared.clear()
    const prepared = this.#prepare(query)
    this.#prepared.set(query, prepared)
    return prepared
  }

  #prepare(query: string): Prepared {
    const document = parseLeniently(query)
    if (document instanceof GraphQLError) {
      return { errors: [document], phase: 'parse', fields: [] }
    }
    const errors = validate(this.#schema, document)
    const fields = rootFields(document)
    return { document, errors, phase: errors.length > 0 ? 'validate' : 'ready', fields }
  }

  /** Executes a prepared document. `data` missing in the result: the request itself (its variables) was at fault. */
  async run(
    prepared: Prepared,
    request: GraphqlRequest,
    context: unknown,
  ): Promise<ExecutionResult> {
    if (prepared.document === undefined || prepared.phase !== 'ready') {
      return { errors: prepared.errors }
    }
    return await execute({
      schema: this.#schema,
      document: prepared.document,
      contextValue: context,
      ...(request.variables === undefined ? {} : { variableValues: request.variables }),
      ...(request.operationName === undefined ? {} : { operationName: request.operationName }),
    })
  }
}

/** Functions of a type's fields; each says itself what it takes. */
export type Resolvers = Record<string, (source: never, args: never, context: never) => unknown>

/** Gives fields of a type of a schema their resolvers; the others read the property of their name. */
export function addResolvers(schema: GraphQLSchema, type: string, resolvers: Resolvers): void {
  const object = schema.getType(type)
  for (const [name, resolve] of Object.entries(resolvers)) {
    const field = isObjectType(object) ? object.getFields()[name] : undefined
    if (field === undefined) throw new TypeError(`Cannot resolve ${type}.${name}: no such field`)
    Object.assign(field, { resolve })
  }
}

/** Compass' parser accepts empty parentheses (`configuration()`), which the specification does not know. */
function parseLeniently(query: string): DocumentNode | GraphQLError {
  try {
    return parse(query)
  } catch (thrown) {
    const withoutEmpty = query.replace(/\(\s*\)/g, '')
    if (withoutEmpty !== query) return parseLeniently(withoutEmpty)
    return thrown instanceof GraphQLError ? thrown : new GraphQLError('Syntax Error')
  }
}

function rootFields(document: DocumentNode): string[] {
  return document.definitions.flatMap((definition) => {
    if (definition.kind !== Kind.OPERATION_DEFINITION) return []
    if (definition.operation === OperationTypeNode.SUBSCRIPTION) return []
    return definition.selectionSet.selections.flatMap((selection) =>
      selection.kind === Kind.FIELD ? [selection.name.value] : [],
    )
  })
}

/** Reads the body of a GraphQL POST; `undefined` when it is not a JSON object. */
export function readGraphqlRequest(body: string): GraphqlRequest | undefined {
  const json = parseJson(body)
  if (!isObject(json)) return undefined
  const { query, variables, operationName } = json
  return {
    query: typeof query === 'string' ? query : '',
    ...(isObject(variables) ? { variables } : {}),
    ...(typeof operationName === 'string' ? { operationName } : {}),
  }
}

/** A JSON text, or `undefined` when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A JSON object, not an array and not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
