import { toAgentError } from '../../model/problem.ts'
import type { AgentError } from '../../model/problem.ts'
import { MINUTE, SECOND } from '../../model/time.ts'
import type { Duration, Instant } from '../../model/time.ts'
import type { KubeObject, Kubernetes, Ref, Resource, WatchEvent } from './api.ts'

/** One object of the cluster, as far as the API server has told. */
export type Follower = {
  /**
   * Begins what is due: the loop calls whoever follows every few seconds, so there is no timer here. Ends with the first
   * look, whatever comes of it; later ones go on beside, so that an API server that does not answer holds up nobody.
   */
  look(): Promise<void>
  /** `object` is undefined when there is none of that name; as a whole undefined before the first look. */
  latest(): { object: KubeObject | undefined } | undefined
  /** Why the last look failed. */
  problem(): AgentError | undefined
  /** Looks now, whatever is due. Throws what the API does. */
  refresh(): Promise<void>
  /** What was written meanwhile. */
  note(object: KubeObject): void
  /** Begins no further look, and ends those under way. */
  close(): void
}

export type FollowOptions = {
  kubernetes: Kubernetes
  resource: Resource
  ref: Ref
  now: () => Instant
  /** Called with each object that comes, undefined when it is gone; `before` is undefined for the first look. */
  seen?: (
    after: KubeObject | undefined,
    before: { object: KubeObject | undefined } | undefined,
  ) => void
}

/** A watch that was lost is begun again after this; one for which a person must do something after the longer time. */
const SOON: Duration = 5 * SECOND
const LATER: Duration = 5 * MINUTE
/** Without a watch it is read so often. */
const POLL: Duration = 30 * SECOND

/** Follows one object by a watch of that one name; where that is not possible, by reading it every half minute. */
export function followObject(options: FollowOptions): Follower {
  const { kubernetes, resource, ref, now } = options
  const stop = new AbortController()
  let latest: { object: KubeObject | undefined } | undefined
  let problem: AgentError | undefined
  let first: Promise<void> | undefined
  let busy = false
  let watchAt: Instant = -Infinity
  let readAt: Instant = -Infinity

  function take(object: KubeObject | undefined): void {
    if (stop.signal.aborted) return
    const before = latest
    latest = { object }
    problem = undefined
    options.seen?.(object, before)
  }

  function failed(thrown: unknown): AgentError {
    const error = toAgentError(thrown)
    if (!stop.signal.aborted) problem = error
    return error
  }

  async function watch(listed: () => void): Promise<void> {
    busy = true
    try {
      const { namespace, name } = ref
      const scope = {
        ...(namespace === undefined ? {} : { namespace }),
        fields: `metadata.name=${name}`,
      }
      for await (const event of kubernetes.watch(resource, scope, stop.signal)) {
        if (!isStale(event, latest?.object)) take(foundIn(event, name))
        listed()
      }
    } catch (thrown) {
      watchAt = now() + (failed(thrown).class === 'operator' ? LATER : SOON)
    } finally {
      busy = false
    }
  }

  async function read(): Promise<void> {
    busy = true
    readAt = now() + POLL
    try {
      take(await kubernetes.get(resource, ref, stop.signal))
    } catch (thrown) {
      failed(thrown)
    } finally {
      busy = false
    }
  }

  async function begin(): Promise<void> {
    const listed = Promise.withResolvers<undefined>()
    await Promise.race([listed.promise, watch(() => listed.resolve(undefined))])
    if (latest === undefined && !stop.signal.aborted) await read()
  }

  return {
    async look() {
      if (first === undefined) {
        first = begin()
      } else if (!busy && !stop.signal.aborted) {
        const at = now()
        if (at >= watchAt) void watch(() => undefined)
        else if (at >= readAt) void read()
      }
      if (latest === undefined && problem === undefined) await first
    },
    latest: () => latest,
    problem: () => problem,
    async refresh() {
      take(await kubernetes.get(resource, ref, stop.signal))
    },
    note(object) {
      latest = { object }
    },
    close: () => stop.abort(),
  }
}

/** The object of that name as the event leaves it. */
function foundIn(event: WatchEvent, name: string): KubeObject | undefined {
  if (event.type === 'listed') return event.objects.find(({ metadata }) => metadata.name === name)
  return event.type === 'deleted' ? undefined : event.object
}

/** Whether the event tells of something older than what was written or read meanwhile. */
function isStale(event: WatchEvent, known: KubeObject | undefined): boolean {
  if (event.type === 'listed' || known === undefined) return false
  const [told, seen] = [event.object, known].map(({ metadata }) => metadata.resourceVersion ?? '')
  // Versions are numbers of one sequence for all objects of a kind (KEP-5504); others are taken as they come.
  if (told === undefined || seen === undefined) return false
  return NUMBER.test(told) && NUMBER.test(seen) && BigInt(told) < BigInt(seen)
}

const NUMBER = /^\d+$/
