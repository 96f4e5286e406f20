import type { NodePath } from './problem.ts'

type Contradiction = { path: NodePath; message: string }
type Section = Record<string, unknown>

/** What single fields cannot show of the parts that live in a cluster. Reads plain values, as contradictions.ts does. */
export function clusterContradictions(
  { name }: Section,
  identity: Section,
  targets: Section[],
): Contradiction[] {
  return [
    ...identitySecrets(identity),
    ...twoOfKyma(targets),
    ...namedForKyma(name, targets),
    ...sharedNamespaces(targets),
  ]
}

function identitySecrets({ store, secret, caSecret }: Section): Contradiction[] {
  const found: Contradiction[] = []
  const add = (key: string, message: string) => found.push({ path: ['identity', key], message })
  if (store === 'secret') {
    if (secret === undefined) add('secret', 'missing, want namespace/name of a Secret')
    else if (secret === caSecret) add('caSecret', 'is also identity.secret, want another Secret')
    return found
  }
  const why = 'has no meaning with identity.store: disk, want store: secret or no such key'
  if (secret !== undefined) add('secret', why)
  if (caSecret !== undefined) add('caSecret', why)
  return found
}

/** All Applications with compassMetadata are its own, so two would remove what the other wrote. */
function twoOfKyma(targets: Section[]): Contradiction[] {
  const all = targets.flatMap(({ kind }, index) => (kind === 'kyma' ? [index] : []))
  return all.slice(1).map((index) => ({
    path: ['targets', index, 'kind'],
    message: `targets[${all[0] ?? 0}] is of kind kyma already, want one such target`,
  }))
}

/** Applications carry no mark of an agent, and agents of other names hold other Leases: two would fight for them. */
function namedForKyma(name: unknown, targets: Section[]): Contradiction[] {
  if (name === undefined || name === 'default' || !targets.some(({ kind }) => kind === 'kyma'))
    return []
  const message = 'has no meaning with a target of kind kyma, which is that of one agent a cluster'
  return [{ path: ['name'], message: `${message}; want default or no such key` }]
}

/** Marks name the agent, not the target: in one namespace two targets would take each other's Secrets for their own. */
function sharedNamespaces(targets: Section[]): Contradiction[] {
  const found: Contradiction[] = []
  const first = new Map<string, number>()
  const take = (name: unknown, index: number, path: NodePath): void => {
    if (typeof name !== 'string') return
    const other = first.get(name)
    if (other === undefined) first.set(name, index)
    else found.push({ path, message: `${name} is of targets[${other}] already, want another one` })
  }
  targets.forEach(({ kind, namespace, namespaces }, index) => {
    if (kind !== 'kubernetes') return
    take(namespace, index, ['targets', index, 'namespace'])
    if (!Array.isArray(namespaces)) return
    namespaces.forEach((name, at) => take(name, index, ['targets', index, 'namespaces', at]))
  })
  return found
}
