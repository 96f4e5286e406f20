/** What the tests of the Kubernetes client share. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'bun:test'
import type { KubeObject, Kubernetes } from '../../../src/clients/kubernetes/api.ts'
import { openKubernetes } from '../../../src/clients/kubernetes/load.ts'

/** Nobody aborts it. */
export const { signal } = new AbortController()

/** A Secret as targets write it; values are base64 of `data`. */
export function aSecret(
  name: string,
  data: Record<string, string> = {},
  namespace = 'team-a',
): KubeObject {
  const encoded = Object.entries(data).map(([key, value]) => [key, btoa(value)])
  return { metadata: { name, namespace }, data: Object.fromEntries(encoded) }
}

export function anApplication(name: string, description = 'first'): KubeObject {
  return {
    metadata: { name },
    spec: {
      description,
      compassMetadata: { applicationId: `id-of-${name}`, authentication: { clientIds: ['one'] } },
      services: [],
    },
  }
}

const places: string[] = []
afterAll(() => {
  for (const place of places) rmSync(place, { recursive: true, force: true })
})

/** A directory of this test file. */
export function aDirectory(): string {
  const place = mkdtempSync(join(tmpdir(), 'kubeconfig-'))
  places.push(place)
  return place
}

export type KubeconfigParts = {
  cluster: Record<string, unknown>
  user?: Record<string, unknown>
  context?: Record<string, unknown>
}

/** Path of a kubeconfig with one context, `one`. */
export function aKubeconfig({ cluster, user = { token: 'x' }, context }: KubeconfigParts): string {
  const path = join(aDirectory(), 'config')
  const config = {
    'current-context': 'one',
    contexts: [{ name: 'one', context: { cluster: 'one', user: 'one', ...context } }],
    clusters: [{ name: 'one', cluster }],
    users: [{ name: 'one', user }],
  }
  writeFileSync(path, JSON.stringify(config))
  return path
}

/** A client of a server that plays the API; the path that test/clients/server.ts gives it is the Director's. */
export function clientOf(url: string): Promise<Kubernetes> {
  const server = url.replace('/director/graphql', '')
  const kubeconfig = aKubeconfig({ cluster: { server } })
  return openKubernetes({ kubeconfig, version: '1.2.3' })
}
