import { AgentError, type Code } from '../../model/problem.ts'
import { textOfBase64, toBase64 } from '../../runtime/base64.ts'
import { SECRETS, type KubeObject, type Kubernetes } from './api.ts'

/** Where a Secret is. */
export type SecretName = { namespace: string; name: string }

/** The texts of a Secret by key. */
export type SecretTexts = ReadonlyMap<string, string>

/** What becomes of keys: a text, or null when it goes. Keys that are not named stay. */
export type SecretChange = Readonly<Record<string, string | null>>

/** More in a row would mean that somebody else writes this Secret all the time. */
const ROUNDS = 5

/** The values of a Secret as they travel: base64 by key. */
export function dataOf(object: KubeObject): ReadonlyMap<string, string> {
  const { data } = object
  if (typeof data !== 'object' || data === null) return new Map()
  return new Map(
    Object.entries(data).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** undefined: there is no such Secret. */
export async function readSecret(
  kubernetes: Kubernetes,
  secret: SecretName,
  signal: AbortSignal,
): Promise<SecretTexts | undefined> {
  const found = await kubernetes.get(SECRETS, secret, signal)
  return found && textsOf(found)
}

/**
 * Changes some keys of a Secret in one write, made when missing, by compare and swap: `change` sees what is there, and
 * what it gives is written only over that. When another writer was faster it is asked again, so that a label or a key
 * of somebody else is no failure; it throws when what was written is its own business. undefined: nothing to do.
 *
 * Other keys, labels, annotations and owners stay as they are. What the server answers must hold what was sent: a
 * webhook may change objects on their way.
 *
 * @throws AgentError of the API; kubernetes_refused when the stored values are others
 */
export async function changeSecret(
  kubernetes: Kubernetes,
  secret: SecretName,
  change: (
    texts: SecretTexts | undefined,
  ) => SecretChange | undefined | Promise<SecretChange | undefined>,
  signal: AbortSignal,
): Promise<void> {
  for (let round = 1; ; round += 1) {
    const found = await kubernetes.get(SECRETS, secret, signal)
    const wanted = await change(found && textsOf(found))
    if (wanted === undefined) return
    try {
      assertStored(secret, wanted, await write(kubernetes, secret, { found, wanted }, signal))
      return
    } catch (thrown) {
      const removed = found !== undefined && isCode(thrown, 'kubernetes_missing')
      if (!(isLostRace(thrown) || removed) || round === ROUNDS) throw thrown
    }
  }
}

/** Sends a change to the API server as it would be made, and stores nothing. */
export async function tryChange(
  kubernetes: Kubernetes,
  secret: SecretName,
  change: { found: boolean; wanted: SecretChange },
  signal: AbortSignal,
): Promise<void> {
  const data = encoded(change.wanted)
  const dryRun = { dryRun: true }
  if (change.found) await kubernetes.merge(SECRETS, secret, { data }, signal, dryRun)
  else await kubernetes.create(SECRETS, newSecret(secret, data), signal, dryRun)
}

/** Whether another writer was faster: read again what is there now. */
export function isLostRace(thrown: unknown): boolean {
  return isCode(thrown, 'kubernetes_conflict')
}

function isCode(thrown: unknown, code: Code): boolean {
  return thrown instanceof AgentError && thrown.code === code
}

type Write = { found: KubeObject | undefined; wanted: SecretChange }

async function write(
  kubernetes: Kubernetes,
  secret: SecretName,
  { found, wanted }: Write,
  signal: AbortSignal,
): Promise<KubeObject> {
  const data = encoded(wanted)
  if (found === undefined) return kubernetes.create(SECRETS, newSecret(secret, data), signal)
  const { resourceVersion } = found.metadata
  return kubernetes.merge(SECRETS, secret, { metadata: { resourceVersion }, data }, signal)
}

function newSecret(secret: SecretName, data: Record<string, string | null>): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: { ...secret, labels: { 'app.kubernetes.io/managed-by': 'runtime-agent' } },
    data: Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null)),
  }
}

function encoded(change: SecretChange): Record<string, string | null> {
  return Object.fromEntries(
    Object.entries(change).map(([key, text]) => [key, text === null ? null : toBase64(text)]),
  )
}

function textsOf(object: KubeObject): SecretTexts {
  return new Map([...dataOf(object)].map(([key, value]) => [key, textOfBase64(value)]))
}

function assertStored(
  { namespace, name }: SecretName,
  wanted: SecretChange,
  stored: KubeObject,
): void {
  const texts = textsOf(stored)
  const other = Object.entries(wanted).find(([key, text]) => (texts.get(key) ?? null) !== text)
  if (other === undefined) return
  throw new AgentError(
    'kubernetes_refused',
    `Cannot write the Secret ${namespace}/${name}: its key ${other[0]} was changed on the way`,
    { hint: 'look for an admission webhook that changes Secrets, and leave this one out of it' },
  )
}
