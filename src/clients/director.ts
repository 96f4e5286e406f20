import type { Application } from '../model/application.ts'
import { canonicalJson } from '../model/digest.ts'
import { AgentError } from '../model/problem.ts'
import type { Code } from '../model/problem.ts'
import { fetchApplications, openPageSizes } from './applications.ts'
import type { FetchedApplications } from './applications.ts'
import type { Call } from './connector.ts'
import {
  APPLICATIONS,
  APPLICATIONS_WITH_INSTANCE_AUTHS,
  RUNTIME_LABELS,
  SET_RUNTIME_LABEL,
  VIEWER,
} from './documents.ts'
import { request } from './graphql.ts'
import type { GraphqlSession } from './graphql.ts'
import { hostOf } from './http.ts'

/**
 * The Director (reference/director.md), as the runtime of the session's certificate sees it. Errors as {@link request}.
 * No error and no empty answer here means that something was removed.
 */
export interface Director {
  /** Who we are: `type` is RUNTIME for a runtime. Needs no scope and no tenant. */
  viewer(call: Call): Promise<{ id: string; type: string }>
  /** Complete, or throws answer_incomplete. What is the same as in `last` is that object. */
  applications(
    runtimeId: string,
    call: Call,
    last?: readonly Application[],
  ): Promise<FetchedApplications>
  /** Undefined: the Director does not show this runtime. */
  runtimeLabels(runtimeId: string, call: Call): Promise<Record<string, unknown> | undefined>
  /** Throws label_refused when the Director refuses the label or kept another value. */
  setRuntimeLabel(runtimeId: string, key: string, value: unknown, call: Call): Promise<void>
}

/** Ids are UUIDs. Ours goes into headers, marks and what people read, so no other text may become one. */
const ID = /^[\w.:-]{1,100}$/

export type DirectorSession = GraphqlSession & {
  /** External tenant id, sent only when given, asked for with each question: without it the Director takes the tenant of the system auth. */
  tenant?: string | (() => string | undefined) | undefined
  /** Whether `instanceAuths` of bundles are read too. */
  instanceAuths?: boolean | undefined
}

/** Nothing is sent before the first call. The size of pages is learned as long as this object lives. */
export function openDirector({ tenant, instanceAuths, ...endpoint }: DirectorSession): Director {
  /** For one question: the tenant as it is now. */
  const asking = (): { session: GraphqlSession; asked: string | undefined } => {
    const asked = typeof tenant === 'function' ? tenant() : tenant
    const headers = { ...endpoint.headers, ...(asked === undefined ? {} : { tenant: asked }) }
    return { session: { ...endpoint, headers }, asked }
  }
  const documents = instanceAuths === true ? APPLICATIONS_WITH_INSTANCE_AUTHS : APPLICATIONS
  const sizes = openPageSizes()
  const kept = {}
  return {
    async viewer(call) {
      const { session, asked } = asking()
      const answer = request(session, {
        ...call,
        what: 'ask who this runtime is',
        door: 'director',
        document: VIEWER,
        decode: (data) => {
          const viewer = data.object('result')
          const id = viewer.text('id')
          if (!ID.test(id)) throw viewer.unfit('id', 'an id')
          return { id, type: viewer.text('type') }
        },
      })
      return suspecting(asked, answer)
    },
    async applications(runtimeId, call, last = []) {
      const { session, asked } = asking()
      const all = fetchApplications({ session, runtimeId, call, documents, sizes, kept, last })
      return suspecting(asked, all)
    },
    async runtimeLabels(runtimeId, call) {
      return request(asking().session, {
        ...call,
        what: 'read the labels of the runtime',
        door: 'director',
        document: RUNTIME_LABELS,
        variables: { runtimeId },
        decode: (data) => data.objectOrNone('result')?.record('labels'),
      })
    },
    async setRuntimeLabel(runtimeId, key, value, call) {
      return setRuntimeLabel(asking().session, { runtimeId, key, value }, call)
    },
  }
}

/** What a Director says that recognises nobody; one reason of several is a tenant that it does not know. */
const NOBODY: ReadonlySet<Code> = new Set<Code>(['identity_refused', 'director_failed'])

/** Names the tenant of agent.yaml where it may be what is wrong. */
async function suspecting<T>(tenant: string | undefined, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (thrown) {
    if (tenant === undefined || !(thrown instanceof AgentError) || !NOBODY.has(thrown.code))
      throw thrown
    const { code, message, hint, turn, subject, retryAfter, detail } = thrown
    throw new AgentError(code, `${message} (asked for the tenant ${tenant})`, {
      ...{ class: thrown.class, turn, subject, retryAfter, detail },
      hint: `${hint}; when it lasts, compare runtime.tenant of agent.yaml with the tenant of this runtime`,
    })
  }
}

/** The answer is compared: the Director rewrites a request that holds certain old words, values included. */
async function setRuntimeLabel(
  session: GraphqlSession,
  label: { runtimeId: string; key: string; value: unknown },
  call: Call,
): Promise<void> {
  const what = `set the label ${label.key}`
  try {
    const stored = await request(session, {
      ...call,
      what,
      door: 'director',
      document: SET_RUNTIME_LABEL,
      variables: label,
      decode: (data) => {
        const result = data.object('result')
        return { key: result.text('key'), value: result.any('value') }
      },
    })
    if (canonicalJson(stored) === canonicalJson({ key: label.key, value: label.value })) return
  } catch (thrown) {
    const invalid = thrown instanceof AgentError && thrown.detail['errorCode'] === 22
    if (!invalid || thrown.code !== 'director_refused') throw thrown
    throw new AgentError('label_refused', thrown.message, { detail: thrown.detail })
  }
  const message = `Cannot ${what} at ${hostOf(session.url)}: the Director kept another value than was sent`
  throw new AgentError('label_refused', message, { detail: { requestId: call.requestId } })
}
