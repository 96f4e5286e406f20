import { arrayOf, asObject, asString, Malformed, optional } from '../model/decode.ts'
import { AgentError } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import { SECOND } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import type { Fetch } from '../runtime/http.ts'
import { exchange } from './http.ts'
import type { Answer, Endpoint } from './http.ts'

/** What a sidecar says of itself: names, never values. */
export type SidecarMetadata = {
  /** Of its application. */
  id: string
  /** Empty when it does not say. */
  version: string
  /** As `HotReload`. */
  features: ReadonlySet<string>
  components: ReadonlySet<string>
  endpoints: ReadonlySet<string>
}

/** The API of a daprd beside us. Nothing of its answers is kept. */
export interface Sidecar {
  /** For people: host and port. */
  readonly name: string
  /** Throws `unreachable` or `timed_out` when it is not there, `answer_malformed` when that is no daprd. */
  metadata(signal: AbortSignal): Promise<SidecarMetadata>
  /** One value of a secret store; undefined where it has none, or may not tell. */
  secret(ref: SecretRef, signal: AbortSignal): Promise<string | undefined>
}

export type SecretRef = { store: string; name: string; key: string }

export type SidecarOptions = {
  url: string
  fetch: Fetch
  /** What daprd has in DAPR_API_TOKEN; looked up for each call. */
  apiToken?: () => Promise<Secret | undefined>
  now: () => Instant
  version?: string
}

/** It answers from memory: whoever takes longer is not well. */
const LIMITS = { time: 5 * SECOND, bytes: 4 * 1024 * 1024 }

export function openSidecar(options: SidecarOptions): Sidecar {
  const { url, fetch, apiToken, now, version } = options
  const { host } = new URL(url)

  async function get(path: string, what: string, signal: AbortSignal): Promise<Answer> {
    const token = await apiToken?.()
    const endpoint: Endpoint = {
      url: `${url.replace(/\/$/, '')}/v1.0/${path}`,
      fetch,
      now,
      limits: LIMITS,
      ...(version === undefined ? {} : { version }),
    }
    const headers = { ...(token === undefined ? {} : { 'dapr-api-token': token.reveal() }) }
    return exchange(endpoint, { method: 'GET', what, headers, signal })
  }

  return {
    name: host,
    async metadata(signal) {
      const what = 'read the metadata of daprd'
      const answer = await get('metadata', what, signal)
      if (answer.status === 401 || answer.status === 403) {
        throw new AgentError(
          'dapr_unreachable',
          `Cannot ${what} at ${host}: it wants another API token`,
          {
            class: 'operator',
            hint: 'set apiToken of the sidecar to what daprd has in DAPR_API_TOKEN',
          },
        )
      }
      if (answer.status !== 200)
        throw malformed(host, what, `it answers with status ${answer.status}`)
      return decoded(answer, host, what)
    },
    async secret({ store, name, key }, signal) {
      const path = ['secrets', store, name].map(encodeURIComponent).join('/')
      const answer = await get(path, 'look at the secret store of daprd', signal)
      if (answer.status !== 200) return undefined
      const json = parse(answer)
      const value: unknown =
        typeof json === 'object' && json !== null ? Reflect.get(json, key) : undefined
      return typeof value === 'string' ? value : undefined
    },
  }
}

function decoded(answer: Answer, host: string, what: string): SidecarMetadata {
  try {
    const json = asObject(parse(answer), 'it')
    const extended = optional(json['extended'], 'extended', asObject) ?? {}
    const names = (member: string): Set<string> =>
      new Set(
        optional(json[member], member, (value, at) =>
          arrayOf(value, at, (one, path) => asString(asObject(one, path)['name'], path)),
        ),
      )
    return {
      id: asString(json['id'], 'id'),
      version: asString(json['runtimeVersion'] ?? extended['daprRuntimeVersion'] ?? '', 'version'),
      features: new Set(
        optional(json['enabledFeatures'], 'enabledFeatures', (value, at) =>
          arrayOf(value, at, asString),
        ),
      ),
      components: names('components'),
      endpoints: names('httpEndpoints'),
    }
  } catch (thrown) {
    if (thrown instanceof Malformed) throw malformed(host, what, thrown.message)
    throw thrown
  }
}

function parse({ body }: Answer): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body))
  } catch {
    return undefined
  }
}

function malformed(host: string, what: string, why: string): AgentError {
  return new AgentError('answer_malformed', `Cannot ${what} at ${host}: ${why}`, {
    hint: 'correct url of the sidecar: it is the HTTP port of daprd',
  })
}
