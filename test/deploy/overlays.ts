import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import { findKustomize } from '../../scripts/envtest.ts'
import type { KubeObject } from '../../src/clients/kubernetes/api.ts'
import { skipUnless } from '../skip.ts'
import { ROOT } from '../source.ts'

/** The manifests in deploy/kubernetes, built as `kubectl apply -k` builds them. */

const program = findKustomize()

/** `test` for what builds manifests. */
export const needsKustomize = skipUnless(program !== undefined, {
  why: 'kustomize is not built',
  how: 'npm run envtest (with Go)',
})

export const OVERLAYS = ['standalone', 'kyma-drop-in', 'sidecar'] as const
export type Overlay = (typeof OVERLAYS)[number]

/** All objects of an overlay, or of a directory in it. */
export function overlay(path: Overlay | `${Overlay}/${string}`): KubeObject[] {
  return build(join(ROOT, 'deploy/kubernetes/overlays', path))
}

const built = new Map<string, string>()

/** Objects of any directory with a kustomization. */
export function build(directory: string): KubeObject[] {
  const text = built.get(directory) ?? render(directory)
  built.set(directory, text)
  return loadAll(text) as KubeObject[]
}

function render(directory: string): string {
  if (program === undefined) throw new Error('only a test of needsKustomize builds manifests')
  const run = spawnSync(program, ['build', directory], { encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`Cannot build ${directory}: ${run.stderr}`)
  return run.stdout
}

export function ofKind(objects: readonly KubeObject[], kind: string): KubeObject[] {
  return objects.filter((object) => object.kind === kind)
}

/** The one of this kind and name. */
export function named(objects: readonly KubeObject[], kind: string, name: string): KubeObject {
  const found = ofKind(objects, kind).filter(({ metadata }) => metadata.name === name)
  if (found.length !== 1) throw new Error(`${found.length} ${kind} ${name}`)
  return found[0]!
}

export type Container = {
  name: string
  image: string
  restartPolicy?: string
  env?: { name: string; value: string }[]
  securityContext?: Record<string, unknown>
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> }
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[]
  livenessProbe?: Probe
  readinessProbe?: Probe
  startupProbe?: Probe
}

type Probe = { httpGet: { path: string; port: number | string } }

export type Pod = {
  metadata: { labels: Record<string, string> }
  spec: {
    serviceAccountName: string
    automountServiceAccountToken: boolean
    securityContext: Record<string, unknown>
    containers: Container[]
    initContainers?: Container[]
  }
}

/** What a Deployment makes. */
export function podOf(deployment: KubeObject): Pod {
  return (deployment['spec'] as { template: Pod }).template
}

export function containersOf({ spec }: Pod): Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers]
}

/** The one that runs the agent. */
export function agentOf(pod: Pod): Container {
  const found = containersOf(pod).filter(({ image }) => image.startsWith('runtime-agent:'))
  if (found.length !== 1) throw new Error(`${found.length} containers with the image of the agent`)
  return found[0]!
}

export type Rule = {
  apiGroups: string[]
  resources: string[]
  verbs: string[]
  resourceNames?: string[]
}

export const rulesOf = (role: KubeObject): Rule[] => role['rules'] as Rule[]
