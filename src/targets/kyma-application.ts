import { APPLICATIONS, apiVersionOf } from '../clients/kubernetes/api.ts'
import type { KubeObject } from '../clients/kubernetes/api.ts'
import { isMembers } from '../clients/kubernetes/decode.ts'
import type { ApiDefinition, Application, Bundle, EventDefinition } from '../model/application.ts'
import { isOrdered, sha256 } from '../model/digest.ts'
import { gatewayPath, serviceName } from './kyma-names.ts'

/*
 * The Application CR as the live Go agent writes it, field by field (reference/go-agent.md §6). Ours in it are the label,
 * description, spec.labels, services and compassMetadata; all else belongs to the people of the cluster once it is there.
 */

/** The Go agent's own mark, which stays: the two must be able to take over from one another. */
const GO_LABEL = 'applicationconnector.kyma-project.io/managed-by'
const GO_AGENT = 'compass-runtime-agent'
const NO_DESCRIPTION = 'Description not provided'

/** `credentials` of an entry, as in the CR. */
export type Credentials = Readonly<Record<string, unknown>>

/** How the APIs of one bundle are reached. */
export type Access = {
  credentials: Credentials
  /** Name of the Secret with headers and query parameters. */
  parameters?: string
}

/** The CRD wants both members. */
export const NO_CREDENTIALS: Credentials = { secretName: '', type: '' }

export type ApplicationParts = {
  application: Application
  /** Name of the CR. */
  name: string
  gatewayUrl: string
  /** By bundle id; bundles without are reached without credentials. */
  accesses: ReadonlyMap<string, Access>
}

/** The fields that are ours; lists always whole. */
export function ownedFields(parts: ApplicationParts): KubeObject {
  const { application, name } = parts
  return {
    apiVersion: apiVersionOf(APPLICATIONS),
    kind: APPLICATIONS.kind,
    metadata: { name, labels: { [GO_LABEL]: GO_AGENT } },
    spec: {
      description: descriptionOf(application),
      labels: { 'connected-app': name },
      compassMetadata: {
        applicationId: text(application.id),
        authentication: { clientIds: application.authIds.map(text) },
      },
      services: application.bundles.map((bundle) => serviceOf(bundle, parts)),
    },
  }
}

/** A CR as it should be: only the fields that are ours. */
export class ApplicationWish {
  /** Name of the application in Compass. */
  readonly title: string
  /** Made when it is sent: a large one is not kept in memory for it. */
  readonly owned: () => KubeObject
  /** Key of the CR that has the name now and must go first. */
  readonly after: string | undefined

  constructor(title: string, owned: () => KubeObject, after: string | undefined) {
    this.title = title
    this.owned = owned
    this.after = after
  }
}

/** The whole CR where there is none: with what people may change later. */
export function newApplication(owned: KubeObject, skipVerify: boolean): KubeObject {
  return {
    ...owned,
    spec: {
      ...membersOf(owned['spec']),
      displayName: '',
      providerDisplayName: '',
      longDescription: '',
      skipVerify,
      // The CRD's own default is true.
      encodeUrl: false,
    },
    status: { installationStatus: { status: '', description: '' } },
  }
}

function serviceOf(bundle: Bundle, parts: ApplicationParts): object {
  const access = parts.accesses.get(bundle.id) ?? { credentials: NO_CREDENTIALS }
  const { inputSchema } = bundle
  return {
    ...(inputSchema === undefined ? {} : { authCreateParameterSchema: text(inputSchema) }),
    description: descriptionOf(bundle),
    displayName: text(bundle.name),
    entries: [
      ...bundle.apis.map((api) => apiEntry(api, bundle, access, parts)),
      ...bundle.events.map(eventEntry),
    ],
    id: text(bundle.id),
    identifier: '',
    name: serviceName(text(bundle.name), bundle.id),
    providerDisplayName: '',
  }
}

function apiEntry(
  { id, name, targetUrl }: ApiDefinition,
  bundle: Bundle,
  { credentials, parameters }: Access,
  parts: ApplicationParts,
): object {
  return {
    centralGatewayUrl: `${parts.gatewayUrl}/${gatewayPath(parts.name, bundle.name, name)}`,
    credentials,
    gatewayUrl: '',
    id: text(id),
    name: text(name),
    ...(parameters === undefined ? {} : { requestParametersSecretName: parameters }),
    targetUrl: text(targetUrl),
    type: 'API',
  }
}

function eventEntry({ id, name }: EventDefinition): object {
  return {
    centralGatewayUrl: '',
    credentials: NO_CREDENTIALS,
    gatewayUrl: '',
    id: text(id),
    name: text(name),
    targetUrl: '',
    type: 'Events',
  }
}

function descriptionOf({ description = '' }: { description?: string }): string {
  return description === '' ? NO_DESCRIPTION : text(description)
}

/** A lone surrogate has no UTF-8: the API server would change it, and the CR would seem to have drifted for ever. */
function text(value: string): string {
  return value.toWellFormed()
}

/**
 * Digest of the fields that are ours. Lists count as sets: nobody reads an order in them, and the Director's changes from
 * query to query, so that a CR of the Go agent in another order is as it should be.
 */
export function digestOfApplication({ metadata, spec }: KubeObject): string {
  const { description, labels, compassMetadata, services } = membersOf(spec)
  const connected = membersOf(labels)['connected-app']
  const ours = [metadata.labels?.[GO_LABEL], description, connected, compassMetadata, services]
  return sha256(ours.map(unordered).join('\n'))
}

/**
 * Equal texts for what is equal but for the order of lists and members. Large tenants have tens of thousands of entries:
 * those of the API server and ours are in order, and have no lists.
 */
function unordered(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(unordered).sort().join()}]`
  if (!isMembers(value) || isOrdered(value, false)) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, one]) => `${JSON.stringify(key)}:${unordered(one)}`).join()}}`
}

/** The application that a CR is of; undefined for one that no agent made. */
export function applicationIdOf({ spec }: KubeObject): string | undefined {
  const id = membersOf(membersOf(spec)['compassMetadata'])['applicationId']
  return typeof id === 'string' && id !== '' ? id : undefined
}

/** Whether it carries the label by which the Go agent and we know our own. */
export function isMarked({ metadata }: KubeObject): boolean {
  return metadata.labels?.[GO_LABEL] === GO_AGENT
}

/** How the APIs of bundles with credentials or parameters are reached now, by bundle id. */
export function publishedIn({ spec }: KubeObject): Map<string, Access> {
  const { services } = membersOf(spec)
  const published = new Map<string, Access>()
  for (const { id, entries } of listOf(services)) {
    for (const { credentials, requestParametersSecretName: parameters } of listOf(entries)) {
      const own = membersOf(credentials)
      const named = [own['secretName'], parameters].some((one) => one !== undefined && one !== '')
      if (typeof id !== 'string' || !named || published.has(id)) continue
      const access: Access = { credentials: { ...own } }
      if (typeof parameters === 'string') access.parameters = parameters
      published.set(id, access)
    }
  }
  return published
}

function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(membersOf) : []
}

function membersOf(value: unknown): Record<string, unknown> {
  return isMembers(value) ? value : {}
}
