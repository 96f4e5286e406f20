import type { JsonSchema } from '@valibot/to-json-schema'
import { agentSchemaAsJson, desiredSchemasAsJson, directorSchemaAsJson } from './jsonSchema.ts'
import { VALUE_TITLE } from './value.ts'

/**
 * docs/reference/agent-yaml.md, printed from the schema: one table for each part of agent.yaml, one row for each key.
 *
 * @testing The test of the page prints it.
 *
 * It is written from the JSON Schema rather than from valibot's objects, so what editors show and what is read here
 * cannot differ.
 */
export function agentReference(): string {
  return printReference(agentSchemaAsJson(), INTRODUCTION)
}

/**
 * docs/reference/director-yaml.md in the same way, and the files of the desired state after it.
 *
 * @testing The test of the page prints it.
 */
export function directorReference(): string {
  const files = Object.entries(desiredSchemasAsJson()).flatMap(([name, schema]) => [
    heading(name),
    table(sectionRows('', schema).map((row) => row.replace('| `.', '| `'))),
  ])
  return [printReference(directorSchemaAsJson(), DIRECTOR_INTRODUCTION), DESIRED, ...files].join(
    '\n',
  )
}

function printReference(root: JsonSchema, introduction: string): string {
  const parts = Object.entries(members(root))
  const single = parts.filter(([, schema]) => !hasRows(schema))
  const sections = parts.filter(([, schema]) => hasRows(schema))
  return [
    introduction,
    heading('Top level'),
    table(single.flatMap(([key, schema]) => rowsOf(key, schema, root.required?.includes(key)))),
    ...sections.flatMap(([key, schema]) => partOf(key, schema)),
    heading('Values'),
    VALUES,
    table(
      Object.entries(members(firstValue(root))).flatMap(([key, schema]) => rowsOf(key, schema)),
    ),
  ].join('\n')
}

const INTRODUCTION = `# agent.yaml

This page is printed from the schema in src/config; \`UPDATE_REFERENCE=1 bun test test/config\` prints it again.
\`agent schema\` prints the same as JSON Schema for editors:

\`\`\`yaml
# yaml-language-server: $schema=./agent.schema.json
\`\`\`

- Whatever is wrong is reported at once, with its place, and nothing is touched:
  \`agent.yaml:12:5: targets[1].directory: found 7, want a directory path\`. The exit code is then 2.
- Unknown keys are refused. Every key but \`version\` may be left out unless its row says *required*.
- \`\${NAME}\` in a value is replaced by that environment variable, which must be set; \`$\${\` stands for the characters
  \`\${\`. What a variable holds is taken as it is and never read as YAML. Between \`{ }\` and \`[ ]\` it needs quotes.
- A length of time is made of whole numbers and units, the larger first: \`30s\`, \`3m\`, \`1h30m\`, \`1s500ms\`, \`2d\`.
- A relative path is taken from the directory of agent.yaml.
- The file may be 1 MiB large, holds one YAML 1.2 document, and no key twice. Aliases work, merge keys (\`<<\`) do not.
`

const DIRECTOR_INTRODUCTION = `# director.yaml

The configuration of \`agent runtime-director\` ([how to](../runtime-director.md)). This page is printed from the schema in
src/config; \`UPDATE_REFERENCE=1 bun test test/config\` prints it again.

- Whatever is wrong is reported at once, with its place, and nothing is touched. The exit code is then 2.
- Unknown keys are refused. \`\${NAME}\` in a value is replaced by that environment variable, which must be set.
- Lengths of time and relative paths are as in [agent.yaml](agent-yaml.md).
`

const DESIRED = `# The desired state

Files below \`directory\`, one for each runtime, configuration and overlay, named as they are called. \`\${…}\` in them is text
like any other. What is wrong in any of them is reported at once, with its place, and then nothing is published.

- A configuration or overlay is for a runtime when all keys of its \`match\` fit; of a list any one does.
- A runtime gets the documents of its configurations in the order of their names, then each overlay merged over the
  documents of the same apiVersion, kind and name (and namespace, where the patch has one), as RFC 7396 says: mappings member by
  member, \`null\` removes, everything else is replaced whole.
- \`{secretRef: NAME}\` stands for the text of the file NAME in \`secrets\`, in any place where a text may stand.
- Refused: two documents of one kind, namespace and name for one runtime; a document of 60 KiB or more; a match that
  names an id, group or label that no runtime has; a patch that fits nothing; a secret that is missing.
`

const VALUES = `Where a *value* is wanted, exactly one of these keys says where it comes from. It is read again and again, so that
a changed file is seen without restart; white space around it does not count.
`

/** A section that a table explains; a value source is explained once, at the end. */
function hasRows(schema: JsonSchema): boolean {
  return schema.properties !== undefined || itemOf(schema)?.oneOf !== undefined
}

function partOf(key: string, schema: JsonSchema): string[] {
  const text = [heading(key), `${schema.description ?? ''}\n`]
  const kinds = itemOf(schema)?.oneOf
  if (kinds === undefined) return [...text, table(sectionRows(key, schema))]
  return [
    ...text,
    ...kinds
      .filter(isSchema)
      .flatMap((kind) => [
        `### kind: ${typeOf(members(kind)['kind'] ?? {})}\n`,
        table(sectionRows(`${key}[]`, kind)),
      ]),
  ]
}

function sectionRows(path: string, schema: JsonSchema): string[] {
  return Object.entries(members(schema)).flatMap(([key, inner]) =>
    rowsOf(`${path}.${key}`, inner, schema.required?.includes(key)),
  )
}

/** The row of a key, and those of the keys below it. */
function rowsOf(path: string, schema: JsonSchema, required = false): string[] {
  const item = itemOf(schema)
  const below = [
    ...(schema.title === VALUE_TITLE ? [] : sectionRows(path, schema)),
    ...(item?.properties === undefined ? [] : sectionRows(`${path}[]`, item)),
    ...(schema.anyOf ?? []).filter(isSchema).flatMap((choice) => sectionRows(path, choice)),
  ]
  const { description = '', examples = [] } = schema
  const shown = examples.filter((example) => !same(example, schema.default))
  const example = shown.length === 0 ? '' : ` Example: ${shown.map(code).join(', ')}`
  const standard = required ? '*required*' : defaultOf(schema)
  return [
    `| \`${path}\` | ${typeOf(schema)} | ${standard} | ${prose(description)}${example.replaceAll('|', '\\|')} |`,
    ...below,
  ]
}

/** That a section as a whole is empty says nothing: its rows have their own defaults. */
function defaultOf({ default: value, properties }: JsonSchema): string {
  const empty = properties !== undefined && same(value, {})
  return value === undefined || empty ? '' : code(value)
}

function typeOf(schema: JsonSchema): string {
  if (schema.title === VALUE_TITLE) return '[value](#values)'
  if (schema.title !== undefined) return schema.title
  if (schema.const !== undefined) return code(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ')
  if (schema.anyOf !== undefined) return schema.anyOf.filter(isSchema).map(typeOf).join(', or ')
  const item = itemOf(schema)
  if (item !== undefined) return `list of ${plural(typeOf(item))}`
  if (schema.type === 'object') return 'section'
  if (schema.type === 'string') return 'text'
  if (schema.type === 'boolean') return '`true`, `false`'
  return `number, ${schema.minimum ?? ''} to ${schema.maximum ?? ''}`
}

function plural(type: string): string {
  return type === 'text' ? 'texts' : `${type}s`
}

function heading(text: string): string {
  return `## ${text}\n`
}

function table(rows: string[]): string {
  return ['| key | type | default | meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n')
}

/** Text in which Markdown would see markup. */
function prose(text: string): string {
  return text.replaceAll(/[<|*]/g, '\\$&')
}

function code(value: unknown): string {
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function isSchema(schema: JsonSchema | boolean): schema is JsonSchema {
  return typeof schema !== 'boolean'
}

function members({ properties = {} }: JsonSchema): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(properties).flatMap(([key, schema]) =>
      isSchema(schema) ? [[key, schema]] : [],
    ),
  )
}

function itemOf({ items }: JsonSchema): JsonSchema | undefined {
  return items === undefined || Array.isArray(items) || !isSchema(items) ? undefined : items
}

/** All value sources look the same; the first one stands for all. */
function firstValue(schema: JsonSchema): JsonSchema {
  const all = Object.values(members(schema))
  const found = all.find(({ title }) => title === VALUE_TITLE)
  return found ?? all.map(firstValue).find(({ title }) => title === VALUE_TITLE) ?? {}
}
