import { apiVersionOf, COMPASS_CONNECTIONS } from '../clients/kubernetes/api.ts'
import type { KubeObject } from '../clients/kubernetes/api.ts'
import type { Status, TargetStatus } from '../model/status.ts'
import type { Instant } from '../model/time.ts'
import { hasCertificate, memberOf, timeOf, wholeSeconds } from './connection-fields.ts'
import { connectionState } from './connection-state.ts'
import type { Standing } from './connection-state.ts'
import { conditionsOf } from './connection-conditions.ts'

/**
 * Annotations: what the old fields cannot say, and what people ask for.
 *
 * @testing
 */
export const CONDITIONS = 'runtime-agent.kyma-project.io/conditions'
export const APPROVE = 'runtime-agent.kyma-project.io/approve'
export const PAUSE = 'runtime-agent.kyma-project.io/pause'

/** What people asked for in the CR and has been done: taken back in the next write, if it is still there. */
export type Granted = {
  resync: boolean
  refresh: boolean
  /** The value of the annotation `approve`. */
  approve?: string
}

/** A remark on what was asked for, for the annotation `conditions`. */
export type Remarks = Readonly<Record<string, string>>

export type ConnectionFacts = {
  name: string
  status: Status
  /** As it is in the cluster now; undefined: there is none. */
  existing: KubeObject | undefined
  granted: Granted
  remarks: Remarks
}

/**
 * The CompassConnection for a status, field by field as the Go agent writes it (reference/go-agent.md §4), over the one
 * that is there: what is not ours stays, and what only the CR remembers (when the connection was established) is kept.
 * Undefined: nothing can be said yet, as before the first attempt to enrol. Pure; times are those of `status.at`.
 *
 * Deliberately unlike the Go agent: a partial failure is ResourceApplicationFailed and keeps lastSuccessfulApplication;
 * errors end with what they were about; a certificate that has expired is ConnectionFailed, which is what makes the
 * Provisioner send a new token.
 */
export function compassConnection(facts: ConnectionFacts): KubeObject | undefined {
  const { name, status, existing, granted, remarks } = facts
  const standing = connectionState(status, existing)
  if (standing === undefined) return undefined
  const metadata = existing?.metadata ?? { name }
  const { [APPROVE]: approve, ...annotations } = metadata.annotations ?? {}
  const approved = approve === undefined || approve === granted.approve
  return {
    ...existing,
    apiVersion: apiVersionOf(COMPASS_CONNECTIONS),
    kind: COMPASS_CONNECTIONS.kind,
    metadata: {
      ...metadata,
      annotations: {
        ...annotations,
        ...(approved ? {} : { [APPROVE]: approve }),
        [CONDITIONS]: JSON.stringify(conditionsOf(status, remarks)),
      },
    },
    spec: specOf(status, existing, granted),
    status: {
      ...memberOf(existing?.['status']),
      connectionState: standing.state,
      connectionStatus: connectionStatus(status, existing, standing),
      synchronizationStatus: synchronizationStatus(status, existing, standing),
    },
  }
}

function specOf(
  { connectorUrl, directorUrl }: Status,
  existing: KubeObject | undefined,
  granted: Granted,
): Record<string, unknown> {
  const spec = memberOf(existing?.['spec'])
  const known = memberOf(spec['managementInfo'])
  const url = (key: string, now: string | undefined): string => {
    const before = known[key]
    return now ?? (typeof before === 'string' ? before : '')
  }
  return {
    ...spec,
    managementInfo: {
      ...known,
      directorUrl: url('directorUrl', directorUrl),
      connectorUrl: url('connectorUrl', connectorUrl),
    },
    ...(granted.resync && spec['resyncNow'] === true ? { resyncNow: false } : {}),
    ...(granted.refresh && spec['refreshCredentialsNow'] === true
      ? { refreshCredentialsNow: false }
      : {}),
  }
}

function connectionStatus(
  status: Status,
  existing: KubeObject | undefined,
  standing: Standing,
): Record<string, unknown> {
  const { identity, at } = status
  const before = memberOf(memberOf(existing?.['status'])['connectionStatus'])
  const known = memberOf(before['certificateStatus'])
  const { error: _, ...kept } = before
  const director = status.sources.find(({ name }) => name === 'director')
  const failing = status.failing.connect !== undefined || status.failing.renew !== undefined
  const fresh = identity !== undefined && !hasCertificate(existing, identity)
  const established = timeOf(before['established'])
  const enrolled = fresh && (established === undefined || enrolsAnew(existing))
  return {
    ...kept,
    established: wholeSeconds(enrolled ? at : established),
    renewed: enrolled ? null : wholeSeconds(fresh ? at : timeOf(before['renewed'])),
    lastSync: wholeSeconds(
      latest(timeOf(before['lastSync']), director?.lastAttempt, failing || fresh ? at : undefined),
    ),
    lastSuccess: wholeSeconds(
      latest(timeOf(before['lastSuccess']), director?.lastSuccess, fresh ? at : undefined),
    ),
    certificateStatus: {
      ...known,
      acquired: wholeSeconds(fresh ? at : timeOf(known['acquired'])),
      notBefore: wholeSeconds(identity?.notBefore ?? timeOf(known['notBefore'])),
      notAfter: wholeSeconds(identity?.notAfter ?? timeOf(known['notAfter'])),
    },
    ...(standing.connectionError === undefined ? {} : { error: standing.connectionError }),
  }
}

/** After a failed enrolment a new certificate is a new connection; otherwise it is a renewal. */
function enrolsAnew(existing: KubeObject | undefined): boolean {
  return memberOf(existing?.['status'])['connectionState'] === 'ConnectionFailed'
}

function synchronizationStatus(
  status: Status,
  existing: KubeObject | undefined,
  standing: Standing,
): Record<string, unknown> | null {
  const { sources, targets } = status
  const director = sources.find(({ name }) => name === 'director')
  const given = memberOf(existing?.['status'])['synchronizationStatus']
  const isKept = typeof given === 'object' && given !== null
  if (director?.lastAttempt === undefined && !isKept && standing.syncError === undefined)
    return null
  const { error: _, ...kept } = memberOf(given)
  const whole = standing.state !== 'ResourceApplicationFailed'
  return {
    ...kept,
    lastAttempt: wholeSeconds(latest(timeOf(kept['lastAttempt']), director?.lastAttempt)),
    lastSuccessfulFetch: wholeSeconds(
      latest(timeOf(kept['lastSuccessfulFetch']), director?.lastSuccess),
    ),
    lastSuccessfulApplication: wholeSeconds(
      latest(timeOf(kept['lastSuccessfulApplication']), whole ? appliedAt(targets) : undefined),
    ),
    ...(standing.syncError === undefined ? {} : { error: standing.syncError }),
  }
}

/** When the last of all targets was in step; undefined while one never was. */
function appliedAt(targets: readonly TargetStatus[]): Instant | undefined {
  const all = targets.map(({ lastSuccess }) => lastSuccess).filter((at) => at !== undefined)
  return all.length === 0 || all.length < targets.length ? undefined : Math.min(...all)
}

function latest(...instants: (Instant | undefined)[]): Instant | undefined {
  const known = instants.filter((at) => at !== undefined)
  return known.length === 0 ? undefined : Math.max(...known)
}

/** Members that only tell when the last look was: a CR that differs in nothing else is not written. */
const TIMES = new Set([
  'lastSync',
  'lastSuccess',
  'lastAttempt',
  'lastSuccessfulFetch',
  'lastSuccessfulApplication',
])

/** Whether two states of the CR tell a person the same. */
export function saysTheSame(a: KubeObject, b: KubeObject): boolean {
  const said = ({ metadata, spec, status }: KubeObject): string =>
    JSON.stringify([metadata.annotations, spec, status].map(timeless))
  return said(a) === said(b)
}

/** Without those members, keys in order. */
function timeless(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(
    ([key, member]) => !TIMES.has(key) && member !== undefined,
  )
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, member]) => [key, timeless(member)]),
  )
}
