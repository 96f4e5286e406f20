import { placesOf } from '../config/place.ts'
import { readYaml } from '../config/yaml.ts'
import { AgentError } from '../model/problem.ts'
import { readAuth } from './landscape-auth.ts'
import {
  DEFAULT_FORMATION,
  DEFAULT_TENANT,
  defaultRuntime,
  deriveId,
  OTHER_TENANT,
  type Landscape,
  type LandscapeApi,
  type LandscapeApplication,
  type LandscapeBundle,
  type LandscapeConfiguration,
  type LandscapeDefinition,
  type LandscapeRuntime,
  type LandscapeSpec,
  type LandscapeVersion,
} from './landscape.ts'
import { normalizeName } from './names.ts'
import { toJson, YamlReader, type At, type ReadProblem } from './yaml-reader.ts'

/**
 * Reads a landscape from YAML (or JSON). Ids that are not given are derived from names.
 *
 * @returns all problems as `NAME:LINE:COLUMN: what: why`, and the landscape when there are none
 */
export function readLandscape(
  text: string,
  name = 'landscape',
): { landscape?: Landscape; problems: string[] } {
  const { root, problems } = readYaml(text)
  const reader = new YamlReader()
  const landscape = root === undefined ? undefined : new LandscapeReader(reader).read(root)
  const all: ReadProblem[] = [
    ...problems.map((problem) => ({ ...problem, path: '' })),
    ...reader.problems,
  ]
  if (landscape !== undefined && all.length === 0) return { landscape, problems: [] }
  if (all.length === 0) all.push({ offset: 0, path: '', message: 'there is nothing in it' })
  const place = placesOf(text)
  const lines = all
    .sort((a, b) => a.offset - b.offset)
    .map(({ offset, path, message }) => {
      const { line, column } = place(offset)
      return `${name}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`
    })
  return { problems: lines }
}

/**
 * As {@link readLandscape}, for callers that cannot go on without one.
 *
 * @throws AgentError `config_invalid` with one problem a line
 */
export function parseLandscape(text: string, name = 'landscape'): Landscape {
  const { landscape, problems } = readLandscape(text, name)
  if (landscape !== undefined) return landscape
  throw new AgentError(
    'config_invalid',
    ['Cannot use the landscape:', ...problems.map((problem) => `  ${problem}`)].join('\n'),
  )
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const APPLICATION_KEYS = [
  'id',
  'name',
  'providerName',
  'description',
  'systemNumber',
  'localTenantId',
  'labels',
  'formations',
  'hidden',
  'auths',
  'bundles',
]
const BUNDLE_KEYS = ['id', 'name', 'description', 'inputSchema', 'auth', 'apis', 'events']
const DEFINITION_KEYS = ['id', 'name', 'description', 'group', 'version', 'spec']

class LandscapeReader {
  readonly #reader: YamlReader
  /** Every id with its place; every application name in normalised form. */
  readonly #ids = new Map<string, string>()
  readonly #names = new Map<string, string>()

  constructor(reader: YamlReader) {
    this.#reader = reader
  }

  read(root: At['node']): Landscape {
    const keys = ['tenant', 'otherTenants', 'runtimes', 'applications', 'configurations']
    const get = this.#reader.section({ node: root, path: '' }, keys)
    const runtimes = this.#reader.list(get('runtimes'), (at) => this.#runtime(at))
    const others = get('otherTenants')
    return {
      tenant: this.#reader.text(get('tenant')) ?? DEFAULT_TENANT,
      otherTenants: others === undefined ? [OTHER_TENANT] : this.#reader.texts(others),
      runtimes: runtimes.length === 0 ? [defaultRuntime()] : runtimes,
      applications: this.#reader.list(get('applications'), (at) => this.#application(at)),
      configurations: this.#reader.list(get('configurations'), (at) => this.#configuration(at)),
    }
  }

  #configuration(at: At): LandscapeConfiguration {
    const get = this.#reader.section(at, ['name', 'runtimes', 'resources'])
    const runtimes = get('runtimes')
    return {
      name: this.#reader.required(get('name'), at, 'name'),
      runtimes: runtimes === undefined ? undefined : this.#reader.texts(runtimes),
      resources: this.#reader.list(get('resources'), ({ node }) => toJson(node)),
    }
  }

  #runtime(at: At): LandscapeRuntime {
    const get = this.#reader.section(at, ['id', 'name', 'description', 'formations', 'labels'])
    const name = this.#reader.required(get('name'), at, 'name')
    return {
      id: this.#id(get('id'), at, ['runtime', name]),
      name,
      description: this.#reader.text(get('description')),
      formations: this.#formations(get('formations')),
      labels: this.#reader.record(get('labels')),
    }
  }

  #application(at: At): LandscapeApplication {
    const get = this.#reader.section(at, APPLICATION_KEYS)
    const text = (key: string): string | undefined => this.#reader.text(get(key))
    const name = this.#reader.required(get('name'), at, 'name')
    const id = this.#id(get('id'), at, ['application', name, text('systemNumber') ?? ''])
    const systemNumber = text('systemNumber')
    this.#uniqueName(at, name, systemNumber)
    return {
      id,
      name,
      providerName: text('providerName'),
      description: text('description'),
      systemNumber,
      localTenantId: text('localTenantId'),
      labels: this.#reader.record(get('labels')),
      formations: this.#formations(get('formations')),
      hidden: this.#reader.flag(get('hidden')) ?? false,
      authIds: this.#reader.list(get('auths'), (auth) =>
        this.#id(auth, auth, ['auth', id, this.#reader.text(auth) ?? '']),
      ),
      bundles: this.#reader.list(get('bundles'), (bundle) => this.#bundle(bundle, id)),
    }
  }

  /** The Director refuses two applications of one tenant whose names normalise to the same (error 31). */
  #uniqueName(at: At, name: string, systemNumber: string | undefined): void {
    const key = `${normalizeName(name)}\n${systemNumber ?? ''}`
    const other = this.#names.get(key)
    if (other === undefined) this.#names.set(key, at.path)
    else {
      const normal = JSON.stringify(normalizeName(name))
      const way = 'give one of them a systemNumber'
      this.#reader.report(at, `the name becomes ${normal} as that of ${other}: ${way}`)
    }
  }

  #bundle(at: At, applicationId: string): LandscapeBundle {
    const get = this.#reader.section(at, BUNDLE_KEYS)
    const name = this.#reader.required(get('name'), at, 'name')
    const id = this.#id(get('id'), at, ['bundle', applicationId, name])
    return {
      id,
      name,
      description: this.#reader.text(get('description')),
      inputSchema: this.#inputSchema(get('inputSchema')),
      auth: readAuth(this.#reader, get('auth')),
      apis: this.#reader.list(get('apis'), (api) => this.#api(api, id)),
      events: this.#reader.list(get('events'), (event) => {
        const member = this.#reader.section(event, DEFINITION_KEYS)
        return this.#definition(event, member, ['event', id])
      }),
    }
  }

  #api(at: At, bundleId: string): LandscapeApi {
    const get = this.#reader.section(at, [...DEFINITION_KEYS, 'targetUrl'])
    return {
      ...this.#definition(at, get, ['api', bundleId]),
      targetUrl: this.#reader.required(get('targetUrl'), at, 'targetUrl'),
    }
  }

  #definition(at: At, get: (key: string) => At | undefined, parent: string[]): LandscapeDefinition {
    const name = this.#reader.required(get('name'), at, 'name')
    return {
      id: this.#id(get('id'), at, [...parent, name]),
      name,
      description: this.#reader.text(get('description')),
      group: this.#reader.text(get('group')),
      version: this.#version(get('version')),
      spec: this.#spec(get('spec')),
    }
  }

  #version(at: At | undefined): LandscapeVersion | undefined {
    if (at === undefined) return undefined
    if (at.node.kind === 'scalar') return { value: at.node.text }
    const get = this.#reader.section(at, ['value', 'deprecated', 'deprecatedSince', 'forRemoval'])
    return {
      value: this.#reader.required(get('value'), at, 'value'),
      deprecated: this.#reader.flag(get('deprecated')),
      deprecatedSince: this.#reader.text(get('deprecatedSince')),
      forRemoval: this.#reader.flag(get('forRemoval')),
    }
  }

  #spec(at: At | undefined): LandscapeSpec | undefined {
    if (at === undefined) return undefined
    const get = this.#reader.section(at, ['type', 'format', 'data'])
    return {
      type: this.#reader.required(get('type'), at, 'type'),
      format: this.#reader.required(get('format'), at, 'format'),
      data: this.#reader.text(get('data')) ?? '',
    }
  }

  #inputSchema(at: At | undefined): string | undefined {
    if (at === undefined) return undefined
    return at.node.kind === 'scalar' ? at.node.text : JSON.stringify(toJson(at.node))
  }

  #formations(at: At | undefined): string[] {
    return at === undefined ? [DEFAULT_FORMATION] : this.#reader.texts(at)
  }

  /** The id given, or one derived from names; a second thing of the same names gets the next one. */
  #id(given: At | undefined, owner: At, names: string[]): string {
    const text = this.#reader.text(given)
    if (text !== undefined && UUID.test(text)) return this.#take(text, given ?? owner)
    if (text !== undefined && given !== owner && given !== undefined) {
      this.#reader.report(given, `found ${JSON.stringify(text)}, want a UUID in lower case`)
    }
    for (let count = 1; ; count++) {
      const id = deriveId(...names, ...(count === 1 ? [] : [String(count)]))
      if (!this.#ids.has(id)) return this.#take(id, owner)
    }
  }

  #take(id: string, at: At): string {
    const other = this.#ids.get(id)
    if (other !== undefined) this.#reader.report(at, `the id ${id} is taken by ${other}`)
    this.#ids.set(id, at.path)
    return id
  }
}
