import type { KubeObject, Kubernetes } from '../clients/kubernetes/api.ts'
import { PODS } from '../clients/kubernetes/api.ts'
import { AgentError } from '../model/problem.ts'

/*
 * Two agents on one cluster delete each other's Applications (go-agent.md §11): both own every one with compassMetadata.
 *
 * A pod is the Go agent's by its label and its image. After a swap of the image our own pods carry that label too, as
 * the Deployment stays; and somebody may keep our image under the old name: so a pod of our own ReplicaSet never counts.
 */

/** As the manifest of application-connector-manager has it, and the chart before it. */
const LABEL = 'app=compass-runtime-agent'
const IMAGE = 'compass-runtime-agent'

export type GoAgentOptions = {
  kubernetes: Kubernetes
  /** Where to look: that of the Go agent, and our own. */
  namespaces: readonly string[]
  /** Name of our own pod; missing: outside of the cluster. */
  pod?: string
  /** Said once: without the right to list pods nobody looks. */
  warn: (message: string) => void
}

/**
 * Looks for a running pod of the Go agent: why we stand by, else undefined.
 *
 * @throws AgentError of the API, but for a missing right
 */
export function goAgentLook(
  options: GoAgentOptions,
): (signal: AbortSignal) => Promise<string | undefined> {
  const blind = new Set<string>()
  return async (signal) => {
    for (const namespace of new Set(options.namespaces)) {
      const found = await podsIn(options, namespace, { blind, signal })
      const running = runningGoAgent(found, options.pod)
      if (running !== undefined) {
        return `the Go agent runs: pod ${namespace}/${running}; scale its Deployment to 0 for this agent to take over`
      }
    }
    return undefined
  }
}

async function podsIn(
  { kubernetes, warn }: GoAgentOptions,
  namespace: string,
  { blind, signal }: { blind: Set<string>; signal: AbortSignal },
): Promise<KubeObject[]> {
  try {
    const { items } = await kubernetes.list(PODS, { namespace, labels: LABEL }, signal)
    blind.delete(namespace)
    return items
  } catch (thrown) {
    if (!(thrown instanceof AgentError) || !UNSEEN.has(thrown.code)) throw thrown
    if (!blind.has(namespace)) {
      warn(`cannot see whether the Go agent runs in ${namespace}: ${thrown.message}`)
    }
    blind.add(namespace)
    return []
  }
}

const UNSEEN = new Set(['kubernetes_forbidden', 'kubernetes_missing'])

/** The name of a pod of the Go agent that runs, or is about to end but still does. */
function runningGoAgent(pods: readonly KubeObject[], own: string | undefined): string | undefined {
  const ours = replicaSetOf(pods.find(({ metadata }) => metadata.name === own))
  const found = pods.find(
    (pod) =>
      pod.metadata.name !== own &&
      (ours === undefined || replicaSetOf(pod) !== ours) &&
      phaseOf(pod) === 'Running' &&
      imagesOf(pod).some((image) => imageName(image) === IMAGE),
  )
  return found?.metadata.name
}

function replicaSetOf(pod: KubeObject | undefined): string | undefined {
  return pod?.metadata.ownerReferences?.find(({ kind }) => kind === 'ReplicaSet')?.uid
}

function phaseOf({ status }: KubeObject): unknown {
  return typeof status === 'object' && status !== null && 'phase' in status
    ? status.phase
    : undefined
}

function imagesOf({ spec }: KubeObject): string[] {
  if (typeof spec !== 'object' || spec === null || !('containers' in spec)) return []
  const containers: unknown = spec.containers
  if (!Array.isArray(containers)) return []
  return containers.flatMap((container: { image?: unknown } | null) =>
    typeof container?.image === 'string' ? [container.image] : [],
  )
}

/** `registry:5000/path/name:tag@digest` → `name`. */
function imageName(image: string): string {
  const path = image.split('@')[0] ?? ''
  return (path.split('/').at(-1) ?? '').split(':')[0] ?? ''
}
