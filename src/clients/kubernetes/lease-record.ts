import { AgentError } from '../../model/problem.ts'
import { MINUTE, SECOND, type Duration, type Instant } from '../../model/time.ts'
import { LEASES, type Access, type KubeObject, type Kubernetes, type Ref } from './api.ts'

/*
 * One Lease object (coordination.k8s.io/v1), read and written by compare and swap. Who holds it and for how long is told
 * by its spec alone; its times are of the clocks of others, so that nothing here compares them with ours.
 */

/** So long after its latest renewal a Lease may be taken from its holder. */
const LEASE_DURATION: Duration = 15 * SECOND
/** Who has written more keeps nobody out for longer: it was a slip, or an outage of all replicas would follow. */
const LONGEST: Duration = MINUTE

/** A Lease as we took or renewed it: `version` is what the next write must find. */
export type Held = { version: string; transitions: number }

export type LeaseRecord = {
  /** undefined: nobody. */
  holder: string | undefined
  duration: Duration
  transitions: number
  version: string
  /** Differs whenever the holder has renewed. */
  mark: string
}

/** The rights that ownership needs. */
export function leaseRights(namespace: string, name: string): Access[] {
  const right = (verb: string): Access => ({ verb, resource: LEASES, namespace })
  return [{ ...right('get'), name }, { ...right('patch'), name }, right('create')]
}

/** undefined: there is no such Lease. */
export async function readLease(
  kubernetes: Kubernetes,
  ref: Ref,
  signal: AbortSignal,
): Promise<LeaseRecord | undefined> {
  const found = await kubernetes.get(LEASES, ref, signal)
  return found && recordOf(found)
}

function recordOf(object: KubeObject): LeaseRecord {
  const spec = (object['spec'] ?? {}) as Record<string, unknown>
  const { holderIdentity: holder, leaseDurationSeconds: seconds, leaseTransitions: turns } = spec
  const known = typeof holder === 'string' && holder !== ''
  const length = typeof seconds === 'number' ? seconds * SECOND : LEASE_DURATION
  return {
    holder: known ? holder : undefined,
    // Less than we write would take it from a holder that is well.
    duration: Math.min(LONGEST, Math.max(LEASE_DURATION, length)),
    transitions: typeof turns === 'number' ? turns : 0,
    version: object.metadata.resourceVersion ?? '',
    mark: JSON.stringify([holder, spec['renewTime'], spec['acquireTime'], turns]),
  }
}

const DURATION = { leaseDurationSeconds: LEASE_DURATION / SECOND }

/** Writes of one holder. */
export type LeaseWriter = { kubernetes: Kubernetes; ref: Ref; holder: string; now: () => Instant }

/**
 * Takes the Lease as it was read (undefined: it was not there).
 *
 * @throws AgentError kubernetes_conflict: another one was faster; of the API
 */
export async function takeLease(
  writer: LeaseWriter,
  found: LeaseRecord | undefined,
  signal: AbortSignal,
): Promise<Held> {
  const { kubernetes, ref, holder, now } = writer
  const at = microTime(now())
  const transitions =
    found === undefined ? 0 : found.transitions + (found.holder === holder ? 0 : 1)
  const spec = {
    holderIdentity: holder,
    ...DURATION,
    acquireTime: at,
    renewTime: at,
    leaseTransitions: transitions,
  }
  if (found === undefined) {
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: ref, spec }
    return heldAs(await kubernetes.create(LEASES, lease, signal), transitions)
  }
  const patch = { metadata: { resourceVersion: found.version }, spec }
  return heldAs(await kubernetes.merge(LEASES, ref, patch, signal), transitions)
}

/**
 * Says that the holder is still there. A Lease that was only labelled, or written by an answer that got lost, is found
 * again; one that is gone is made anew.
 *
 * @returns who holds it instead, when it is not ours any more
 * @throws AgentError of the API
 */
export async function renewLease(
  writer: LeaseWriter,
  held: Held,
  signal: AbortSignal,
): Promise<Held | { lostTo: string }> {
  const { kubernetes, ref, now } = writer
  const patch = (version: string): Promise<KubeObject> => {
    const spec = { renewTime: microTime(now()), ...DURATION }
    return kubernetes.merge(LEASES, ref, { metadata: { resourceVersion: version }, spec }, signal)
  }
  try {
    return heldAs(await patch(held.version), held.transitions)
  } catch (thrown) {
    if (!isOneOf(thrown, ['kubernetes_conflict', 'kubernetes_missing'])) throw thrown
    const found = await readLease(kubernetes, ref, signal)
    if (found === undefined) return takeLease(writer, undefined, signal)
    if (found.holder !== writer.holder) return { lostTo: found.holder ?? 'nobody' }
    return heldAs(await patch(found.version), held.transitions)
  }
}

/** Leaves the Lease to whoever wants it, at once. What is not ours any more stays as it is. */
export async function releaseLease(writer: LeaseWriter, signal: AbortSignal): Promise<void> {
  const { kubernetes, ref, holder, now } = writer
  const found = await readLease(kubernetes, ref, signal)
  if (found?.holder !== holder) return
  const spec = { holderIdentity: null, renewTime: microTime(now()) }
  const patch = { metadata: { resourceVersion: found.version }, spec }
  await kubernetes.merge(LEASES, ref, patch, signal)
}

function isOneOf(thrown: unknown, codes: readonly string[]): boolean {
  return thrown instanceof AgentError && codes.includes(thrown.code)
}

function heldAs({ metadata }: KubeObject, transitions: number): Held {
  return { version: metadata.resourceVersion ?? '', transitions }
}

/** RFC 3339 with the six decimals that the API insists on. */
function microTime(at: Instant): string {
  return new Date(at).toISOString().replace('Z', '000Z')
}
