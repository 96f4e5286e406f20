import type { KubeObject, Kubernetes, Resource } from '../clients/kubernetes/api.ts'
import { AgentError, problem, toAgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import { MINUTE, formatInstant } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import { PREFIX, Seen } from './cluster-objects.ts'
import { mapConcurrently } from './concurrent.ts'
import { member, secretsOfPod } from './kubernetes-uses.ts'

/*
 * Rolling restarts of workloads that opted in by label (reference/kubernetes.md §13).
 *
 * What a workload knows stands on it, in the annotation `bindings`: the revision of each binding that its pods started
 * with. It is written before a Secret changes for the first time, and together with `restartedAt`, in one patch, when
 * the workload is restarted. So it takes no memory of the agent: one killed between Secret and restart restarts what
 * differs in its next pass, and one killed after it finds nothing that differs.
 */

const LABEL = `${PREFIX}/restart=rolling`
const KNOWN = `${PREFIX}/bindings`
/** What `kubectl rollout restart` sets. */
const RESTARTED_AT = 'kubectl.kubernetes.io/restartedAt'

const WORKLOADS: readonly Resource[] = [
  { ...apps('deployments'), kind: 'Deployment' },
  { ...apps('statefulsets'), kind: 'StatefulSet' },
  { ...apps('daemonsets'), kind: 'DaemonSet' },
]

function apps(plural: string) {
  return { group: 'apps', version: 'v1', plural, namespaced: true }
}

/** So many at a time; the others follow when these are done, or take too long. */
const ROLLING = 5
const TOO_LONG: Duration = 10 * MINUTE

type Workload = {
  resource: Resource
  name: string
  resourceVersion: string
  /** Names of Secrets in the template of its pods. */
  uses: ReadonlySet<string>
  /** Revisions by name of the Secret. */
  known: Readonly<Record<string, string>>
  /** When it was restarted last, while that is not done. */
  rollingSince: Instant | undefined
}

export type Restarts = {
  /** Before the Secrets of these names change: notes what the workloads run with. */
  prepare(secrets: ReadonlySet<string>, signal: AbortSignal): Promise<Problem[]>
  /** Restarts, a few at a time, what runs with another revision than there is. */
  run(now: Instant, signal: AbortSignal): Promise<Problem[]>
}

export type RestartOptions = {
  kubernetes: Kubernetes
  namespace: string
  /** Revision of each binding that is there, by name of its Secret. */
  revisions: () => ReadonlyMap<string, number>
}

export function openRestarts({ kubernetes, namespace, revisions }: RestartOptions): Restarts {
  const kinds = WORKLOADS.map((resource) => ({
    resource,
    seen: new Seen((object) => readWorkload(resource, object)),
  }))
  let workloads: Workload[] = []

  /** Patches the version that was read; undefined when something else changed it meanwhile. */
  const patch = async (
    { resource, name, resourceVersion }: Workload,
    known: Workload['known'],
    { at, signal }: { at?: Instant; signal: AbortSignal },
  ): Promise<Workload | undefined> => {
    const annotations = { [KNOWN]: JSON.stringify(known) }
    const template = { metadata: { annotations: { [RESTARTED_AT]: formatInstant(at ?? 0) } } }
    const change = {
      metadata: { resourceVersion, annotations },
      ...(at === undefined ? {} : { spec: { template } }),
    }
    try {
      const changed = await kubernetes.merge(resource, { name, namespace }, change, signal)
      return readWorkload(resource, changed)
    } catch (thrown) {
      const code = thrown instanceof AgentError ? thrown.code : undefined
      if (code === 'kubernetes_conflict' || code === 'kubernetes_missing') return undefined
      throw thrown
    }
  }

  const list = async (signal: AbortSignal): Promise<void> => {
    const scope = { namespace, labels: LABEL }
    const lists = kinds.map(({ resource, seen }) =>
      seen.list(kubernetes, { resource, scope }, signal),
    )
    workloads = (await Promise.all(lists)).flat()
  }

  const each = async (
    chosen: readonly Workload[],
    change: (workload: Workload) => Promise<Workload | undefined>,
    signal: AbortSignal,
  ): Promise<Problem[]> => {
    const outcomes = await mapConcurrently(
      chosen,
      async (workload) => {
        try {
          return { workload, after: await change(workload), problem: undefined }
        } catch (thrown) {
          signal.throwIfAborted()
          const { resource, name } = workload
          return { workload, after: undefined, problem: cannotRestart(resource, name, thrown) }
        }
      },
      signal,
    )
    const after = new Map(outcomes.map((one) => [one.workload, one.after ?? one.workload]))
    workloads = workloads.map((one) => after.get(one) ?? one)
    return outcomes.flatMap((one) => one.problem ?? [])
  }

  return {
    async prepare(secrets, signal) {
      await list(signal)
      const current = revisions()
      const missing = ({ uses, known }: Workload): string[] =>
        [...uses].filter((name) => secrets.has(name) && known[name] === undefined)
      const note = (workload: Workload) => {
        const added = missing(workload).map((name): [string, string] => [
          name,
          String(current.get(name) ?? 0),
        ])
        return patch(workload, { ...workload.known, ...Object.fromEntries(added) }, { signal })
      }
      return each(
        workloads.filter((workload) => missing(workload).length > 0),
        note,
        signal,
      )
    },
    async run(now, signal) {
      const current = revisions()
      const differing = workloads.filter(({ uses, known }) =>
        [...uses].some(
          (name) => known[name] !== undefined && isOther(known[name], current.get(name)),
        ),
      )
      const rolling = workloads.filter(({ rollingSince }) => {
        // Both ways, as the clock may have been set back since.
        return rollingSince !== undefined && Math.abs(now - rollingSince) < TOO_LONG
      })
      const free = Math.max(0, ROLLING - rolling.length)
      const next = differing.filter((one) => !rolling.includes(one)).slice(0, free)
      return each(
        next,
        (workload) => patch(workload, knownAfter(workload, current), { at: now, signal }),
        signal,
      )
    },
  }
}

/** A Secret that is gone is no reason: pods could not start without it. */
function isOther(known: string, revision: number | undefined): boolean {
  return revision !== undefined && String(revision) !== known
}

function knownAfter(
  { uses, known }: Workload,
  current: ReadonlyMap<string, number>,
): Workload['known'] {
  const names = Object.keys(known).filter((name) => uses.has(name))
  return Object.fromEntries(
    names.map((name) => [name, String(current.get(name) ?? known[name] ?? 0)]),
  )
}

function readWorkload(resource: Resource, object: KubeObject): Workload {
  const { name, resourceVersion = '', annotations } = object.metadata
  const template = member(object['spec'], 'template')
  const restartedAt = member(member(member(template, 'metadata'), 'annotations'), RESTARTED_AT)
  const since = Date.parse(typeof restartedAt === 'string' ? restartedAt : '')
  const isRolling = annotations?.[KNOWN] !== undefined && !Number.isNaN(since) && !isDone(object)
  return {
    ...{ resource, name, resourceVersion },
    uses: secretsOfPod(member(template, 'spec')),
    known: parseKnown(annotations?.[KNOWN]),
    rollingSince: isRolling ? since : undefined,
  }
}

/** What a person wrote there instead counts as nothing known. */
function parseKnown(text: string | undefined): Workload['known'] {
  try {
    const parsed: unknown = JSON.parse(text ?? '{}')
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return {}
    return Object.fromEntries(
      Object.entries(parsed).filter(
        (entry): entry is [string, string] => typeof entry[1] === 'string',
      ),
    )
  } catch {
    return {}
  }
}

/** As `kubectl rollout status` tells it, in short. */
function isDone({ metadata, spec, status }: KubeObject): boolean {
  const count = (key: string): number => {
    const value = member(status, key)
    return typeof value === 'number' ? value : 0
  }
  if (count('observedGeneration') < (metadata.generation ?? 0)) return false
  const desired = member(status, 'desiredNumberScheduled')
  if (typeof desired === 'number') {
    return count('updatedNumberScheduled') >= desired && count('numberAvailable') >= desired
  }
  const replicas = member(spec, 'replicas')
  const wanted = typeof replicas === 'number' ? replicas : 1
  return count('updatedReplicas') >= wanted && count('availableReplicas') >= wanted
}

function cannotRestart({ kind }: Resource, name: string, thrown: unknown): Problem {
  const { code, message, hint, turn } = toAgentError(thrown)
  return problem(code, message, { hint, turn, subject: `${kind} ${name}` })
}
