import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { buildSchema, Kind, parse, validate, visit } from 'graphql'
import type { ASTNode, FieldNode } from 'graphql'
import * as documents from '../../src/clients/documents.ts'
import { needsShared, shared } from '../shared.ts'

const {
  APPLICATIONS,
  APPLICATIONS_WITH_INSTANCE_AUTHS,
  CONFIGURATION,
  CONFIGURATION_WITHOUT_TOKEN,
  REVOKE,
  SIGN,
  ...others
} = documents

const CONNECTOR = { CONFIGURATION, CONFIGURATION_WITHOUT_TOKEN, REVOKE, SIGN }
const DIRECTOR: Record<string, string> = {
  ...others,
  ...prefixed('APPLICATIONS', APPLICATIONS),
  ...prefixed('APPLICATIONS_WITH_INSTANCE_AUTHS', APPLICATIONS_WITH_INSTANCE_AUTHS),
}
const ALL = { ...CONNECTOR, ...DIRECTOR }

describe.each([
  ['connector', CONNECTOR],
  ['director', DIRECTOR],
])('documents for the %s', (service, table) => {
  needsShared.each(Object.entries(table))('%s is valid in the official schema', (_name, text) => {
    const sdl = readFileSync(new URL(`upstream/${service}-schema.graphql`, shared), 'utf8')
    const schema = buildSchema(sdl, { assumeValidSDL: true })
    expect(validate(schema, parse(text)).map(String)).toEqual([])
  })

  needsShared.each(Object.entries(table))(
    '%s asks for nothing that no recording shows',
    (_name, text) => {
      const shown = new Set(recordedQueries(service).flatMap(pathsOf))
      const asked = pathsOf(text).filter((path) => !shown.has(path) && !NOT_RECORDED.has(path))
      expect(asked).toEqual([])
    },
  )
})

/** In the official schema, but asked for by no recorded question. */
const NOT_RECORDED = new Set([
  'applicationsForRuntime.data.systemNumber',
  'applicationsForRuntime.data.localTenantID',
  'applicationsForRuntime.data.bundles.data.defaultInstanceAuth.requestAuth.csrf.credential.certificate',
  // One parent at a time: the recordings have only lists of applications.
  'application',
  'application.bundle',
  ...['id', 'context', 'runtimeID', 'status', 'status.condition'].map(
    (field) => `applicationsForRuntime.data.bundles.data.instanceAuths.${field}`,
  ),
  'applicationsForRuntime.data.bundles.data.instanceAuths',
])

describe.each(Object.entries(ALL))('%s', (_name, text) => {
  test('holds none of the words that the Director rewrites', () => {
    expect(text).not.toMatch(/package/i)
  })

  test('has no `after` on a list below a list', () => {
    const nested: string[] = []
    walk(text, (field, parents) => {
      const after = field.arguments?.some(({ name }) => name.value === 'after') === true
      if (after && parents.some(({ name }) => name.value === 'data')) nested.push(field.name.value)
    })
    expect(nested).toEqual([])
  })

  test('holds no value, only variables and page sizes of 200', () => {
    const values: string[] = []
    const note = (node: { value: string }): void => void values.push(node.value)
    visit(parse(text), { StringValue: { enter: (node) => note(node) }, IntValue: note })
    expect(values.filter((value) => value !== '200')).toEqual([])
  })
})

test('the documents over mTLS do not show the token that the Connector makes', () => {
  expect(CONFIGURATION_WITHOUT_TOKEN).not.toContain('token')
  expect(CONFIGURATION).toContain('token')
})

test('credentials are asked for in lists of bundles only', () => {
  expect(documents.API_DEFINITIONS).not.toContain('Auth')
  expect(documents.EVENT_DEFINITIONS).not.toContain('Auth')
})

function prefixed(name: string, table: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(table).map(([key, text]) => [`${name}.${key}`, text]))
}

function recordedQueries(service: string): string[] {
  const folder = new URL(`recordings/${service}/`, shared)
  return readdirSync(folder).map((file) => {
    const { request } = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as {
      request: { body: { query: string } }
    }
    return request.body.query
  })
}

/** All selected fields as dotted names from the root; lists of one application count as those of all. */
function pathsOf(text: string): string[] {
  const paths: string[] = []
  walk(text, (field, parents) => {
    const path = [...parents, field].map(({ name }) => name.value).join('.')
    paths.push(
      path
        .replace(
          /^application\.bundle\.(?=\w+Definitions)/,
          'applicationsForRuntime.data.bundles.data.',
        )
        .replace(/^application\.bundles/, 'applicationsForRuntime.data.bundles'),
    )
  })
  return paths
}

function walk(text: string, see: (field: FieldNode, parents: FieldNode[]) => void): void {
  // Ancestors are nodes and the lists of siblings between them.
  const isField = (node: ASTNode | readonly ASTNode[]): node is FieldNode =>
    'kind' in node && node.kind === Kind.FIELD
  visit(parse(text), {
    Field(field, _key, _parent, _path, ancestors) {
      see(field, ancestors.filter(isField))
    },
  })
}
