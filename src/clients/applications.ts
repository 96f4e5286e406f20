import type { ApiDefinition, Application, EventDefinition } from '../model/application.ts'
import { sha256 } from '../model/digest.ts'
import { isSame } from '../model/equal.ts'
import { AgentError } from '../model/problem.ts'
import { decodeApi, decodeApplication, decodeBundle, decodeEvent } from './decode-applications.ts'
import type { ApplicationRow, BundleRow } from './decode-applications.ts'
import type { Json } from './decode.ts'
import { API_DEFINITIONS, EVENT_DEFINITIONS } from './documents.ts'
import type { ApplicationDocuments } from './documents.ts'
import { hostOf } from './http.ts'
import { request } from './graphql.ts'
import type { Call, GraphqlSession, Question } from './graphql.ts'
import { decodePage, isWhole, mostBytes, Moved, PageSize, readAll, sortById } from './pages.ts'
import type { Page, ReadPage } from './pages.ts'

/** All applications of one runtime, as they were at one time. */
export type FetchedApplications = {
  /** Sorted by id, as are their bundles, APIs and events. */
  applications: Application[]
  /** Labels of the runtime, from the first page's request. */
  labels: Record<string, unknown>
  /** What it took, with what had to be read again. */
  requests: number
  /** Unpacked bodies. */
  bytes: number
}

/** Sizes of pages, learned from fetch to fetch. */
export type PageSizes = { applications: PageSize; bundles: PageSize; definitions: PageSize }

export function openPageSizes(): PageSizes {
  return { applications: new PageSize(), bundles: new PageSize(), definitions: new PageSize() }
}

/** A page for which one answer was enough. `labels`: of the runtime, when it was the first page. */
type KeptPage = { page: Page<ApplicationRow>; labels: Record<string, unknown> }

type Read = Pick<FetchedApplications, 'applications' | 'labels'>

/** What one fetch has at hand. */
export type Fetching = {
  session: GraphqlSession
  runtimeId: string
  call: Call
  documents: ApplicationDocuments
  sizes: PageSizes
  /**
   * Pages of the latest fetch, by the SHA-256 of the answer: the same bytes give the same objects, which costs half of
   * what an unchanged pass takes.
   */
  kept: { runtimeId?: string; pages?: ReadonlyMap<string, KeptPage> }
  /** What is the same as one of these is given as that object: else a large tenant would be in memory twice. */
  last: readonly Application[]
}

const WHAT = 'read the applications'
/** How often a list that moved is read again before the fetch fails. */
const REPEATS = 3

/**
 * Reads all applications of the runtime, complete or not at all.
 *
 * All pages, and of each nested list with a next page all of that (read again from its start, one parent at a time, as
 * nested order differs between the two queries). When the list moves under the reading, it is read again from its start,
 * then answer_incomplete. A runtime that the Director does not show is identity_refused: never an empty landscape.
 */
export async function fetchApplications(fetching: Fetching): Promise<FetchedApplications> {
  const cost = { requests: 0, bytes: 0 }
  const reader = new Reader(fetching, cost)
  for (let repeats = 0; ; repeats++) {
    try {
      const { applications, labels } = await reader.readOnce()
      for (const size of Object.values(fetching.sizes)) size.settle()
      return { applications, labels, ...cost }
    } catch (thrown) {
      if (!(thrown instanceof Moved)) throw thrown
      if (repeats < REPEATS) continue
      const cannot = `Cannot ${WHAT} at ${hostOf(fetching.session.url)}`
      throw new AgentError('answer_incomplete', `${cannot}: the list moves: ${thrown.message}`, {
        detail: { ...cost, requestId: fetching.call.requestId },
      })
    }
  }
}

class Reader {
  readonly #fetching: Fetching
  readonly #cost: { requests: number; bytes: number }
  readonly #last: ReadonlyMap<string, Application>

  constructor(fetching: Fetching, cost: { requests: number; bytes: number }) {
    this.#fetching = fetching
    this.#cost = cost
    this.#last = new Map(fetching.last.map((application) => [application.id, application]))
  }

  async readOnce(): Promise<Read> {
    const { runtimeId, documents, sizes, kept } = this.#fetching
    const before = kept.runtimeId === runtimeId ? kept.pages : undefined
    const read: (KeptPage & { digest: string })[] = []
    const rows = await readAll(async (first, after) => {
      const isFirst = after === undefined
      let labels: Record<string, unknown> = {}
      let digest = ''
      const answer = await this.#page({
        document: isFirst ? documents.firstPage : documents.nextPage,
        variables: { runtimeId, first, after },
        decode: (data) => {
          if (isFirst) labels = this.#labels(data)
          return decodePage(data.object('applicationsForRuntime'), decodeApplication)
        },
        known: (body) => {
          digest = sha256(body)
          const known = before?.get(digest)
          if (known !== undefined) labels = known.labels
          return known?.page
        },
      })
      read.push({ page: answer.page, labels, digest })
      return answer
    }, sizes.applications)
    const pages = new Map<string, KeptPage>()
    for (const { digest, ...one } of read) {
      const asked = this.#cost.requests
      for (const row of one.page.rows) await this.#complete(row)
      if (this.#cost.requests === asked) pages.set(digest, one)
    }
    Object.assign(kept, { runtimeId, pages })
    const applications = sortById(rows.map((row) => row.application))
    return { applications, labels: read[0]?.labels ?? {} }
  }

  #labels(data: Json): Record<string, unknown> {
    if (data.any('runtime') !== null) return data.object('runtime').record('labels')
    const cannot = `Cannot ${WHAT} at ${hostOf(this.#fetching.session.url)}`
    throw new AgentError('identity_refused', `${cannot}: it does not show this runtime (null)`)
  }

  /** Fills in the lists that the page of applications may have shown in part, unless that is done. */
  async #complete(row: ApplicationRow): Promise<void> {
    const { id, application, bundles } = row
    if (bundles === undefined) return
    const rows = isWhole(bundles) ? bundles.rows : await this.#bundles(id, bundles.rows)
    for (const { bundle, apis, events } of rows) {
      bundle.apis = isWhole(apis)
        ? apis.rows
        : await this.#definitions<ApiDefinition>(API_DEFINITIONS, id, bundle.id, (data) =>
            decodePage(data.object('apiDefinitions'), decodeApi),
          )
      bundle.events = isWhole(events)
        ? events.rows
        : await this.#definitions<EventDefinition>(EVENT_DEFINITIONS, id, bundle.id, (data) =>
            decodePage(data.object('eventDefinitions'), decodeEvent),
          )
      application.bundles.push(bundle)
    }
    delete row.bundles
    const last = this.#last.get(id)
    if (last !== undefined && isSame(last, application)) row.application = last
  }

  /**
   * All bundles of one application. Credentials of those `listed` below the runtime's applications are taken from
   * there; the rest only this list shows, and it shows a runtime what is meant for it, as the other one does.
   */
  async #bundles(applicationId: string, listed: readonly BundleRow[]): Promise<BundleRow[]> {
    const rows = await readAll(async (first, after) => {
      return this.#page({
        document: this.#fetching.documents.bundles,
        variables: { applicationId, first, after },
        decode: (data) => {
          const application = parent(data, 'application')
          return decodePage(application.object('bundles'), decodeBundle)
        },
      })
    }, this.#fetching.sizes.bundles)
    const known = new Map(listed.map((row) => [row.id, row.bundle]))
    for (const { id, bundle } of rows) {
      const before = known.get(id)
      if (before === undefined) continue
      delete bundle.auth
      if (before.auth !== undefined) bundle.auth = before.auth
    }
    return sortById(rows)
  }

  async #definitions<Row extends { id: string }>(
    document: string,
    applicationId: string,
    bundleId: string,
    decode: (bundle: Json) => Page<Row>,
  ): Promise<Row[]> {
    const rows = await readAll(async (first, after) => {
      return this.#page({
        document,
        variables: { applicationId, bundleId, first, after },
        decode: (data) => decode(parent(parent(data, 'application'), 'bundle')),
      })
    }, this.#fetching.sizes.definitions)
    return sortById(rows)
  }

  async #page<Row>(
    question: Pick<Question<Page<Row>>, 'document' | 'decode' | 'known'> & {
      variables: { first: number } & Record<string, unknown>
    },
  ): ReturnType<ReadPage<Row>> {
    const { session, call } = this.#fetching
    const { limits = {} } = session
    const most = mostBytes(question.variables.first, limits.bytes)
    const bounded = Number.isFinite(most) ? { limits: { ...limits, bytes: most } } : {}
    let bytes = 0
    this.#cost.requests++
    try {
      const page = await request(
        { ...session, ...bounded },
        {
          ...question,
          ...call,
          what: WHAT,
          door: 'director',
          onBytes: (count) => (bytes = count),
        },
      )
      return { page, bytes }
    } catch (thrown) {
      throw 'applicationId' in question.variables && isGone(thrown)
        ? new Moved('an application left while its parts were read')
        : thrown
    } finally {
      this.#cost.bytes += bytes
    }
  }
}

/** A parent that was there a moment ago: null without an error when it is not shown any more. */
function parent(place: Json, key: string): Json {
  const found = place.objectOrNone(key)
  if (found === undefined) throw new Moved(`an ${key} left while its parts were read`)
  return found
}

/** NotFound, and InvalidOperation for what shares no formation with the runtime any more. */
function isGone(thrown: unknown): boolean {
  if (!(thrown instanceof AgentError) || thrown.code !== 'director_refused') return false
  return thrown.detail['errorCode'] === 20 || thrown.detail['errorCode'] === 27
}
