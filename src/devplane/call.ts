import type { Duration, Instant } from '../model/time.ts'
import type { PeerCertificate } from '../runtime/listen.ts'
import type { GraphqlEngine, GraphqlRequest, Prepared } from './graphql.ts'
import { readGraphqlRequest } from './graphql.ts'
import type { Taken } from './knob-board.ts'
import type { Operation, Scope } from './knobs.ts'
import { rewriteRequest } from './rewrite.ts'

export type Port = 'token' | 'mtls'
export type Service = 'connector' | 'director'

/** A request to one of the two services, read once and before anything is decided about it. */
export type Call = {
  service: Service
  port: Port
  /** As it came, and as the service sees it. */
  body: string
  rewritten: string
  /** Missing when the body is no JSON object. */
  request?: GraphqlRequest
  prepared?: Prepared
  operations: readonly Operation[]
  /** One-time token, of the header or of `?token=`. */
  token?: string
  tenant?: string
  /** Over mTLS. */
  certificate?: PeerCertificate
  now: Instant
  knobs: Taken
  /** Of the plane, or what the knobs say. */
  lifetimes: { token: Duration; certificate: Duration }
}

const OPERATION_OF: Record<string, Operation> = {
  configuration: 'configuration',
  signCertificateSigningRequest: 'sign',
  revokeCertificate: 'revoke',
  viewer: 'viewer',
  runtime: 'runtime',
  applicationsForRuntime: 'applications',
  applications: 'applications',
  application: 'application',
  setRuntimeLabel: 'label',
  deleteRuntimeLabel: 'label',
  requestBundleInstanceAuthCreation: 'instanceAuth',
  requestBundleInstanceAuthDeletion: 'instanceAuth',
  bundleInstanceAuth: 'instanceAuth',
}

/** What a body asks for. */
export function readCall(
  engine: GraphqlEngine,
  service: Service,
  body: string,
): Pick<Call, 'body' | 'rewritten' | 'request' | 'prepared' | 'operations'> {
  const rewritten = service === 'director' ? rewriteRequest(body) : body
  const request = readGraphqlRequest(rewritten)
  if (request === undefined) return { body, rewritten, operations: ['other'] }
  const prepared = engine.prepare(request.query)
  const found = new Set(prepared.fields.map((field) => OPERATION_OF[field] ?? 'other'))
  const operations: Operation[] = found.size === 0 ? ['other'] : [...found]
  return { body, rewritten, request, prepared, operations }
}

/** What knobs may be turned for. */
export function scopesOf(call: Pick<Call, 'service' | 'port' | 'operations'>): ReadonlySet<Scope> {
  return new Set<Scope>([...call.operations, call.service, call.port])
}
