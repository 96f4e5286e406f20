import { CONFIG_MAPS, apiVersionOf } from '../clients/kubernetes/api.ts'
import type { Kubernetes } from '../clients/kubernetes/api.ts'
import { AgentError } from '../model/problem.ts'
import { markLabels } from './cluster-objects.ts'
import type { ClusterMark } from './cluster-objects.ts'
import { member } from './kubernetes-uses.ts'

/** One line of the list of bindings in a namespace; without secrets. */
export type IndexEntry = { name: string; application: string; bundle: string; type: string }

export type IndexOptions = { kubernetes: Kubernetes; namespace: string }

const KEY = 'bindings.json'

/** `runtime-agent-bindings`, or `runtime-agent-<agent>-bindings` of an agent with a name. */
function indexName(agent: string): string {
  return agent === 'default' ? 'runtime-agent-bindings' : `runtime-agent-${agent}-bindings`
}

/**
 * Writes the list of bindings into the ConfigMap of the namespace, when it differs. Throws object_foreign when the one of
 * that name is not ours, and what the API says.
 */
export async function writeIndex(
  { kubernetes, namespace }: IndexOptions,
  { mark, entries }: { mark: ClusterMark; entries: readonly IndexEntry[] },
  signal: AbortSignal,
): Promise<void> {
  const ref = { name: indexName(mark.agent), namespace }
  const text = textOf(entries)
  const there = await kubernetes.get(CONFIG_MAPS, ref, signal)
  if (there === undefined) {
    if (entries.length === 0) return
    const metadata = { ...ref, labels: markLabels(mark) }
    const object = { apiVersion: apiVersionOf(CONFIG_MAPS), kind: CONFIG_MAPS.kind, metadata }
    await kubernetes.create(CONFIG_MAPS, { ...object, data: { [KEY]: text } }, signal)
    return
  }
  const { labels, resourceVersion = '' } = there.metadata
  if (!Object.entries(markLabels(mark)).every(([key, value]) => labels?.[key] === value)) {
    const message = `Cannot write the list of bindings to ${namespace}/${ref.name}: that ConfigMap is not of this agent`
    throw new AgentError('object_foreign', message, { subject: ref.name })
  }
  if (member(there['data'], KEY) === text) return
  const change = { metadata: { resourceVersion }, data: { [KEY]: text } }
  await kubernetes.merge(CONFIG_MAPS, ref, change, signal)
}

/** One binding a line, so that a difference can be read. */
function textOf(entries: readonly IndexEntry[]): string {
  const lines = entries
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, application, bundle, type }) =>
      JSON.stringify({ name, application, bundle, type }),
    )
  return lines.length === 0 ? '[]\n' : `[\n${lines.join(',\n')}\n]\n`
}
