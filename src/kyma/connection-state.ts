import type { KubeObject } from '../clients/kubernetes/api.ts'
import type { Code, Problem } from '../model/problem.ts'
import type { ApplicationStatus, Status } from '../model/status.ts'
import { hasCertificate, memberOf } from './connection-fields.ts'

/** The states of the Go agent (reference/go-agent.md §4); the Provisioner and others read them. */
type ConnectionState =
  | 'Connected'
  | 'ConnectionFailed'
  | 'ConnectionMaintenanceFailed'
  | 'SynchronizationFailed'
  | 'ResourceApplicationFailed'
  | 'MetadataUpdateFailed'
  | 'Synchronized'

/** Where the connection stands, with the error that belongs to it, in the member where the Go agent has it. */
export type Standing = {
  /** One of {@link ConnectionState}, or what the CR said before. */
  state: ConnectionState | (string & {})
  connectionError?: string
  syncError?: string
}

/** Of `connectionStatus`, by what fails. */
const RETRIEVE = 'Failed to retrieve certificate: '
const PRESERVE = 'Failed to preserve certificate: '
const MAINTAIN = 'Error while trying to maintain connection: '
/** Of `synchronizationStatus`. */
const READ_CONFIG = 'Failed to read Runtime config: '
const FETCH = 'Failed to fetch configuration: '
const APPLY = 'Failed to apply configuration: '
const LABEL = 'Failed to reconcile Runtime labels with proper URLs: '

/** The store of the identity refuses. */
const STORE: ReadonlySet<Code> = new Set<Code>([
  'kubernetes_forbidden',
  'kubernetes_conflict',
  'kubernetes_missing',
  'kubernetes_refused',
  'kubernetes_failed',
  'disk_full',
  'disk_failed',
])

/** The Go agent calls the Connector in each pass, so a certificate that nobody accepts is a failed maintenance there. */
const REFUSED: ReadonlySet<Code> = new Set<Code>([
  'identity_refused',
  'client_certificate_refused',
  'identity_expired',
])

/** What the configuration Secret says cannot be used. */
const CONFIG: ReadonlySet<Code> = new Set<Code>(['runtime_mismatch', 'tenant_wrong'])

/** Undefined: nothing has been tried yet, and there is no CR that says something. Pure. */
export function connectionState(
  status: Status,
  existing: KubeObject | undefined,
): Standing | undefined {
  const { failing, identity } = status
  if (failing.connect !== undefined) {
    const about = STORE.has(failing.connect.code) ? PRESERVE : RETRIEVE
    return { state: 'ConnectionFailed', connectionError: text(about, failing.connect) }
  }
  if (identity === undefined) return keep(existing)
  if (failing.renew !== undefined) return maintenance(failing.renew)
  const fetched = status.sources.find(({ name }) => name === 'director')
  if (fetched?.problem !== undefined) {
    if (REFUSED.has(fetched.problem.code)) return maintenance(fetched.problem)
    const about = CONFIG.has(fetched.problem.code) ? READ_CONFIG : FETCH
    return { state: 'SynchronizationFailed', syncError: text(about, fetched.problem) }
  }
  const failed = applicationError(status)
  if (failed !== undefined) return { state: 'ResourceApplicationFailed', syncError: failed }
  if (failing.label !== undefined)
    return { state: 'MetadataUpdateFailed', syncError: text(LABEL, failing.label) }
  const done =
    fetched?.lastSuccess !== undefined && status.targets.every((t) => t.lastSuccess !== undefined)
  if (done) return { state: 'Synchronized' }
  // After a restart the outcome of the last pass holds until there is one of this run.
  const known = hasCertificate(existing, identity) ? keep(existing) : undefined
  return known?.state === 'ConnectionFailed' ? CONNECTED : (known ?? CONNECTED)
}

const CONNECTED: Standing = { state: 'Connected' }

function maintenance(problem: Problem): Standing {
  return { state: 'ConnectionMaintenanceFailed', connectionError: text(MAINTAIN, problem) }
}

/** What the CR says already, errors included. */
function keep(existing: KubeObject | undefined): Standing | undefined {
  const status = memberOf(existing?.['status'])
  const state = status['connectionState']
  if (typeof state !== 'string' || state === '') return undefined
  const connectionError = memberOf(status['connectionStatus'])['error']
  const syncError = memberOf(status['synchronizationStatus'])['error']
  return {
    state,
    ...(typeof connectionError === 'string' ? { connectionError } : {}),
    ...(typeof syncError === 'string' ? { syncError } : {}),
  }
}

/** These are worth a word, and everything was applied all the same. */
const REMARKS: ReadonlySet<Code> = new Set<Code>(['value_suspect', 'credentials_missing'])

function applicationError({ targets, applications }: Status): string | undefined {
  const target = targets.find(({ problem }) => problem !== undefined)
  if (target?.problem !== undefined) return text(APPLY, target.problem)
  const failed = applications.filter(isFailed)
  const [first] = failed
  if (first === undefined) return undefined
  const problem = first.problems.find(({ code }) => !REMARKS.has(code))
  const share = `${failed.length} of ${applications.length} applications: `
  return cut(`${APPLY}${share}${first.name}: ${problem?.message ?? ''}`)
}

function isFailed({ condition, problems }: ApplicationStatus): boolean {
  return condition === 'problem' && problems.some(({ code }) => !REMARKS.has(code))
}

function text(about: string, { message }: Problem): string {
  return cut(`${about}${message}`)
}

const LONGEST = 1000

function cut(line: string): string {
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line
}
