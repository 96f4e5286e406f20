import type { KubeObject } from '../../../src/clients/kubernetes/api.ts'
import { serveDirector } from '../../clients/mini-director.ts'
import type { World } from '../../clients/mini-director.ts'
import type { Reply } from '../../clients/server.ts'
import type { Kube } from '../../kube.ts'
import { Agent, applicationsIn, secretsIn } from './support.ts'

/** An agent between a Director of its own and a cluster. */
export type Scene = AsyncDisposable & {
  agent: Agent
  world: World
  /** What the Director answers next, in place of the truth; undefined: the truth again. */
  answer(reply: Reply | undefined): void
}

export async function openScene(kube: Kube, world: World): Promise<Scene> {
  let reply: Reply | undefined
  const server = await serveDirector(world, () => reply)
  return {
    agent: new Agent(kube, server),
    world,
    answer: (next) => (reply = next),
    [Symbol.asyncDispose]: () => server.close(),
  }
}

/** Everything that is there, to be compared before and after. */
export async function everythingIn(kube: Kube): Promise<string[]> {
  const objects = [...(await applicationsIn(kube)), ...(await secretsIn(kube))]
  return objects.map(({ metadata: { name, uid, resourceVersion } }) =>
    [name, uid, resourceVersion].join(' '),
  )
}

type Service = {
  id: string
  entries: { credentials: { type: string; secretName: string } }[]
}

export function servicesOf(application: KubeObject | undefined): Service[] {
  return (application?.['spec'] as { services: Service[] } | undefined)?.services ?? []
}

/** Empty texts where an entry names none. */
export function secretsNamedBy(application: KubeObject | undefined): string[] {
  return servicesOf(application).flatMap(({ entries }) =>
    entries.map(({ credentials }) => credentials.secretName),
  )
}

export const uidOf = (object: KubeObject | undefined) => object?.metadata.uid
export const ownerOf = (object: KubeObject | undefined) =>
  object?.metadata.ownerReferences?.[0]?.uid
