import type { ApiDefinition, Application, Bundle } from '../model/application.ts'
import { sha256 } from '../model/digest.ts'
import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type { Owner, RenderedObject, SourceProblem } from '../model/target.ts'
import { storedText, wayOf } from './dapr-credentials.ts'
import type { DaprWay } from './dapr-credentials.ts'
import { DAPR_KINDS, DaprContent, daprObject } from './dapr-document.ts'
import type { DaprDocument, DaprKind, DaprSecret, Json, JsonMap } from './dapr-document.ts'
import type { DaprRules } from './dapr-rules.ts'

/*
 * Applications as Dapr has them, pure (reference/dapr.md §4):
 *
 *   component/<API id>   bindings.http, unless calls need a token of OAuth
 *   endpoint/<API id>    HTTPEndpoint, of the same name
 *   oauth/<bundle id>    the middleware that gets the token, for the endpoints of its bundle alone
 *
 * A bundle is written as a whole or not at all: one whose credentials Dapr cannot send would be called without them.
 */

export const componentKey = ({ id }: { id: string }): string => `component/${id.toWellFormed()}`
export const endpointKey = ({ id }: { id: string }): string => `endpoint/${id.toWellFormed()}`
export const oauthKey = ({ id }: { id: string }): string => `oauth/${id.toWellFormed()}`

/** Names given to a bundle and its APIs; undefined where somebody else has the name. */
export type DaprNames = {
  api: (api: ApiDefinition) => string | undefined
  oauth: string | undefined
}

export type BundleInput = {
  application: Application
  bundle: Bundle
  names: DaprNames
  rules: DaprRules
  /** Names of the handlers of all pipelines that we know of. */
  pipeline: ReadonlySet<string>
}

export type DaprPart = { objects: RenderedObject<DaprContent>[]; problems: SourceProblem[] }

const OAUTH = 'middleware.http.oauth2clientcredentials'

export function renderBundle(input: BundleInput): DaprPart {
  const { application, bundle, rules } = input
  const owner: Owner = { slice: 'applications', application: application.id, bundle: bundle.id }
  const subject = `${application.name} / ${bundle.name}`
  const withhold = (why: Problem): DaprPart => ({
    objects: [],
    problems: [{ owner, problem: why, withheld: true }],
  })
  const unsupported = (why: string): DaprPart =>
    withhold(problem('dapr_unsupported', `Cannot use ${subject} in Dapr: ${why}`, { subject }))
  const way = wayOf(bundle.auth)
  if ('cannot' in way) return unsupported(`it cannot send ${way.cannot}`)
  const fault = faultOf(way, rules)
  if (fault !== undefined) return unsupported(fault)
  const apis: [ApiDefinition, string][] = []
  for (const api of bundle.apis) {
    const name = input.names.api(api)
    if (name === undefined) return withhold(nameTaken(subject, api.name))
    if (!isHttp(api.targetUrl)) {
      const message = `Cannot use ${subject} in Dapr: the target URL of ${api.name} is no http:// or https:// URL`
      return withhold(problem('application_invalid', message, { subject }))
    }
    apis.push([api, name])
  }
  if (apis.length === 0) return { objects: [], problems: [] }
  const scene = { input, owner, subject, way, apis }
  return way.oauth === undefined ? renderStatic(scene) : renderOauth(scene)
}

type Scene = {
  input: BundleInput
  owner: Owner
  subject: string
  way: DaprWay
  apis: [ApiDefinition, string][]
}

function faultOf({ headers, oauth }: DaprWay, rules: DaprRules): string | undefined {
  if (headers.length > (oauth === undefined ? 1 : 0) && rules.endpoints !== 'all') {
    const many = oauth === undefined ? 'several headers' : 'headers beside a token'
    return `only an HTTPEndpoint can send ${many}, and daprd would restart at each change (endpoints: all allows it)`
  }
  if (oauth === undefined) return undefined
  if (rules.endpoints === 'none') return 'OAuth needs an HTTPEndpoint, and endpoints is none'
  if (rules.oauthScopes === undefined)
    return 'its OAuth middleware asks for scopes, which Compass does not know: set oauthScopes'
  return isHttp(oauth.tokenUrl) ? undefined : 'the URL of its tokens is no http:// or https:// URL'
}

function renderStatic({ input, owner, way, apis }: Scene): DaprPart {
  const { bundle, rules } = input
  const { headers } = way
  const secret = secretOf(bundle, Object.fromEntries(headers.map(([n, v]) => [headerKey(n), v])))
  const refs = headers.map(([name]): [string, JsonMap] => [name, ref(secret, headerKey(name))])
  const objects = apis.flatMap(([api, name]) => [
    ...(headers.length > 1
      ? []
      : [daprObject(componentKey(api), owner, binding(name, api, refs, rules, secret))]),
    ...(rules.endpoints === 'all' || headers.length > 1
      ? [daprObject(endpointKey(api), owner, endpoint(name, api, refs, rules, secret))]
      : []),
  ])
  return { objects, problems: [] }
}

/** Endpoints only once the pipeline has the middleware: without it they would be called without a token. */
function renderOauth({ input, owner, subject, way, apis }: Scene): DaprPart {
  const { bundle, names, rules, pipeline } = input
  const { oauth, headers } = way
  if (oauth === undefined) return { objects: [], problems: [] }
  if (names.oauth === undefined)
    return { objects: [], problems: [withheld(owner, nameTaken(subject, 'its token'))] }
  const secret = secretOf(bundle, {
    'client-id': oauth.clientId,
    'client-secret': oauth.clientSecret,
    ...Object.fromEntries(headers.map(([name, value]) => [headerKey(name), value])),
  })
  const filter = `^/v1\\.0/invoke/(${apis.map(([, name]) => name).join('|')})/method/`
  const metadata = [
    { name: 'clientID', ...ref(secret, 'client-id') },
    { name: 'clientSecret', ...ref(secret, 'client-secret') },
    item('scopes', rules.oauthScopes ?? ''),
    item('tokenURL', oauth.tokenUrl),
    item('headerName', 'Authorization'),
    item('pathFilter', filter),
  ]
  const middleware = component(names.oauth, OAUTH, metadata, rules, secret)
  const objects = [daprObject(oauthKey(bundle), owner, middleware)]
  if (!pipeline.has(names.oauth))
    return { objects, problems: [withheld(owner, notNamed(subject, names.oauth))] }
  const refs = headers.map(([name]): [string, JsonMap] => [name, ref(secret, headerKey(name))])
  const ofHeaders = headers.length === 0 ? undefined : secret
  for (const [api, name] of apis)
    objects.push(daprObject(endpointKey(api), owner, endpoint(name, api, refs, rules, ofHeaders)))
  return { objects, problems: [] }
}

function withheld(owner: Owner, why: Problem): SourceProblem {
  return { owner, problem: why, withheld: true }
}

type Refs = readonly [header: string, ref: JsonMap][]

function binding(
  name: string,
  { targetUrl }: ApiDefinition,
  [first]: Refs,
  rules: DaprRules,
  secret: DaprSecret | undefined,
): DaprContent {
  const metadata = [item('url', targetUrl)]
  if (first !== undefined) {
    const [header, to] = first
    metadata.push(item('securityTokenHeader', header), { name: 'securityToken', ...to })
  }
  return component(name, 'bindings.http', metadata, rules, secret)
}

function component(
  name: string,
  type: string,
  metadata: JsonMap[],
  rules: DaprRules,
  secret: DaprSecret | undefined,
): DaprContent {
  // Without ignoreErrors a Component that does not start ends daprd.
  const spec = { type, version: 'v1', ignoreErrors: true, metadata }
  return content('Component', name, spec, rules, secret)
}

function endpoint(
  name: string,
  { targetUrl }: ApiDefinition,
  refs: Refs,
  rules: DaprRules,
  secret: DaprSecret | undefined,
): DaprContent {
  const headers = refs.map(([header, to]) => ({ name: header, ...to }))
  const spec = { baseUrl: targetUrl, ...(headers.length === 0 ? {} : { headers }) }
  return content('HTTPEndpoint', name, spec, rules, secret)
}

function content(
  kind: DaprKind,
  name: string,
  spec: JsonMap,
  { store, scopes }: DaprRules,
  secret: DaprSecret | undefined,
): DaprContent {
  const document: DaprDocument = { apiVersion: DAPR_KINDS[kind], kind, metadata: { name }, spec }
  if (secret !== undefined && store !== undefined) document.auth = { secretStore: store }
  if (scopes.length > 0) document.scopes = [...scopes]
  return new DaprContent(document, secret)
}

function item(name: string, value: Json): JsonMap {
  return { name, value }
}

function ref(secret: DaprSecret | undefined, key: string): JsonMap {
  return { secretKeyRef: { name: secret?.name ?? '', key } }
}

/** One for all documents of a bundle, named by its id alone, so that a rename changes no document. */
function secretOf(
  { id }: Bundle,
  values: Readonly<Record<string, Secret>>,
): DaprSecret | undefined {
  const members = Object.entries(values)
  if (members.length === 0) return undefined
  const stored = members.map(([key, value]): [string, Secret] => [key, storedText(value)])
  return { name: `ucl-bundle-${sha256(id).slice(0, 16)}`, values: Object.fromEntries(stored) }
}

/** Header names have characters that keys of Secrets have not. */
function headerKey(name: string): string {
  return `header-${name.toLowerCase().replace(/[^a-z0-9-]/g, (one) => `_${one.charCodeAt(0)}`)}`
}

function isHttp(url: string): boolean {
  return URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol)
}

function nameTaken(subject: string, what: string): Problem {
  const message = `Cannot use ${subject} in Dapr: another object has the name that ${what} would get`
  return problem('name_taken', message, { subject })
}

function notNamed(subject: string, name: string): Problem {
  return problem(
    'dapr_pipeline',
    `Cannot let Dapr call ${subject}: no pipeline names the middleware ${name}, so that calls would go out without a token`,
    {
      subject,
      hint: `add {name: ${name}, type: ${OAUTH}} to spec.httpPipeline.handlers of the Configuration of daprd, and name its file in config of the target`,
    },
  )
}
