/**
 * Every way in which the agent can fail, in one table: what class of failure it is, whose turn it is, and what that
 * person can do. docs/reference/problems.md is printed from this table.
 *
 * - `retry`: trying again without a person may help; the loop backs off.
 * - `operator`: a person must act; the loop tries rarely and looks for the change (a new token, another file) often.
 * - `stop`: this agent process cannot go on at all.
 */
export type FailureClass = 'retry' | 'operator' | 'stop'

/** Who has to act: the agent itself, who runs the runtime, who runs Compass, who owns the application. */
export type Turn = 'agent' | 'operator' | 'compass' | 'application'

type Entry = { class: FailureClass; turn: Turn; hint: string }

const retry = (hint: string, turn: Turn = 'agent'): Entry => ({ class: 'retry', turn, hint })
const operator = (hint: string, turn: Turn = 'operator'): Entry => ({
  class: 'operator',
  turn,
  hint,
})
const stop = (hint: string): Entry => ({ class: 'stop', turn: 'operator', hint })

export const PROBLEMS = {
  // configuration and start
  config_missing: stop(
    'write agent.yaml (agent schema prints what it may hold) and pass it with --config',
  ),
  config_invalid: stop(
    'mend the places named; agent check --config agent.yaml looks again without touching anything',
  ),
  usage: stop('agent --help shows the commands and their options'),
  state_unusable: stop(
    'make the state directory writable for the user of the agent, on a disk with free space',
  ),
  already_running: stop(
    'another agent is in charge of this state directory or cluster: ask that one, stop it, or give this one a state of its own',
  ),
  interrupted: stop('nothing is half done: ask for it again, or let a running agent do it'),
  install_failed: stop('see what systemd says of it, then install again: what is right stays'),
  storage_failed: retry(
    'the database is in trouble; it is tried again, and what is published goes on',
  ),
  storage_outdated: stop(
    'run the migrations: agent runtime-director migrate, with a database user who may change tables',
  ),
  listen_failed: stop('choose another address in status.listen, or free the one that is taken'),

  // enrolment and identity
  token_missing: operator('put a one-time token for this runtime where connector.token says'),
  token_unreadable: operator(
    'make the token file readable for the user of the agent; it holds one token and nothing else',
  ),
  token_invalid: operator('get a new one-time token: plain, raw or rawEncoded as Compass shows it'),
  token_refused: operator(
    'the token may be spent or expired, or Compass may be down: the agent tries slowly on; a new token is tried at once',
  ),
  token_spent: operator(
    'get a new one-time token for this runtime and put it in place of the old one',
  ),
  connector_url_missing: operator(
    'set connector.url, or use the rawEncoded form of the token, which holds it',
  ),
  connector_url_mismatch: operator(
    'the token is for another Connector: set connector.url to it, or get a token from the configured one',
  ),
  subject_invalid: operator(
    'the Connector names a certificate subject that cannot be written: report it to the operators of Compass',
    'compass',
  ),
  key_algorithm_unknown: operator(
    'this version does not know the key algorithm that the Connector asks for: update the agent',
  ),
  certificate_invalid: operator(
    'the Connector answered with a certificate that does not fit: report it to the operators of Compass',
    'compass',
  ),
  csr_refused: operator(
    'the Connector refused the certificate request: report the message to the operators of Compass',
    'compass',
  ),
  identity_unreadable: operator(
    'the identity on disk is damaged: restore it, or put a new token in place',
  ),
  identity_expired: operator(
    'the client certificate has expired and cannot renew itself: put a new one-time token in place',
  ),
  identity_refused: retry(
    'the certificate may be revoked, the runtime unregistered, or Compass in trouble: nothing is deleted; when it lasts, get a new token',
  ),
  runtime_mismatch: operator(
    'the certificate belongs to another runtime: get a token for the runtime named in runtime.id, or correct runtime.id',
  ),
  not_a_runtime: operator(
    'the token was made for an application or another consumer: get a one-time token for a runtime',
  ),

  // talking to Compass
  unreachable: retry('check address, DNS, firewall and proxy; the agent tries on'),
  timed_out: retry('the server or the network is slow; the agent tries on'),
  tls_untrusted: operator(
    'the server is not signed by a known authority: name its CA in connector.ca (or SSL_CERT_FILE)',
  ),
  tls_name_mismatch: operator('the certificate of the server is for another name: correct the URL'),
  tls_server_expired: retry(
    'the certificate of the server has expired, or the clock here is wrong',
    'compass',
  ),
  tls_failed: retry('the TLS handshake failed; the agent tries on'),
  client_certificate_refused: retry(
    'the server refuses the client certificate: compare clocks; when it lasts, get a new token',
    'operator',
  ),
  redirect_refused: operator(
    'the server answers with a redirect, which is never followed with a credential: correct the URL',
  ),
  proxy_failed: operator(
    'correct proxy.url or HTTPS_PROXY and the credentials in it, or let the proxy allow this host',
  ),
  too_many_requests: retry('the server asks to slow down; the agent obeys'),
  server_failed: retry('the server is in trouble; the agent tries on', 'compass'),
  answer_malformed: retry(
    'what answered is not the service expected (a captive page, a proxy, a cut answer); nothing is changed',
  ),
  answer_too_large: operator('the answer is larger than the agent accepts'),
  clock_skewed: operator('set the clock of this machine (NTP)'),

  // the Director
  answer_incomplete: retry(
    'the list moved or came cut while it was read: it is read again, nothing is deleted',
  ),
  scope_missing: operator('the runtime lacks a scope in Compass', 'compass'),
  tenant_wrong: operator(
    'correct runtime.tenant: it must be the external tenant id of this runtime',
  ),
  director_refused: operator('the Director refuses the request: see its message', 'compass'),
  director_failed: retry('the Director had an internal error; the agent tries on', 'compass'),
  label_refused: operator('the Director refuses the label: correct labels in agent.yaml'),
  connector_refused: operator('the Connector refuses the request: see its message', 'compass'),

  // sync
  snapshot_damaged: retry(
    'the kept snapshot cannot be read: the next complete fetch replaces it, and nothing is deleted before',
  ),
  snapshot_too_large: operator(
    'the agent goes on with what it has in memory; after a restart it must reach Compass before it repairs anything',
  ),
  credentials_missing: retry(
    'Compass no longer shows these credentials: they are kept for guard.credentialsGrace',
    'application',
  ),
  credentials_held: operator(
    'all credentials vanished at once: is the scope bundle.instance_auths:read missing? If meant: agent approve',
    'compass',
  ),
  deletions_held: operator(
    'many deletions at once wait: look with agent plan; if meant: agent approve HASH',
  ),
  deletions_waiting: retry(
    'the last of what is deployed would go: it waits until three fetches over ten minutes agree',
  ),
  credentials_unsupported: operator(
    'this kind of credentials has no private key in Compass and cannot be used',
    'application',
  ),
  application_invalid: operator(
    'the application cannot be rendered in this target: correct it in Compass',
    'application',
  ),
  name_taken: operator(
    'two sources want one name: the older keeps it; rename the other in Compass',
    'application',
  ),
  value_suspect: operator(
    'the value begins or ends in white space, which several readers change: correct it in Compass',
    'application',
  ),
  output_foreign: operator(
    'the directory holds files that are not of this agent: choose another, or empty it',
  ),
  output_damaged: operator(
    'move the directory away: the agent writes all of it anew; nothing is deleted before',
  ),
  output_unsafe: operator('the directory can be changed by other users: correct owner and mode'),
  disk_full: operator('free space on the disk; the agent goes on by itself'),
  disk_failed: operator('the disk refuses: look at mount options, permissions and the kernel log'),
  group_unknown: operator(
    'create the group with the user of the agent in it (agent install systemd does), or correct group in agent.yaml',
  ),
  hook_failed: operator('the command of onChange failed: run it by hand; it is tried again'),
  approval_unknown: operator('nothing is held under this hash: look with agent plan'),

  // configuration from the Runtime Director
  runtime_director_refused: operator(
    'the Runtime Director does not know this certificate: let it in there with agent runtime-director admit RUNTIME CN',
  ),
  runtime_unknown: operator(
    'the Runtime Director does not know this runtime: describe it there, or correct configuration.url; nothing is changed',
  ),
  configuration_unknown_shape: operator(
    'what the Runtime Director gives is no document and no list of them: correct it there; nothing is changed',
  ),
  configuration_too_large: operator(
    'make the configuration smaller in the Runtime Director, or raise configuration.maxBytes',
  ),
  configuration_refused: operator(
    'let the document in with a row of configuration.allow, or take it out in the Runtime Director; the others are applied',
  ),
  configuration_malformed: operator(
    'correct the document in the Runtime Director; the others are applied, and what is there of it stays',
  ),
  configuration_unused: operator(
    'no target takes configuration: add one that does, or remove the section configuration',
  ),

  // the Runtime Director server
  desired_invalid: stop(
    'mend the places named; agent runtime-director publish --dry-run looks again and publishes nothing',
  ),
  version_unknown: operator('agent runtime-director status shows the versions that are kept'),
  runtime_missing: operator('describe the runtime in runtimes/ of the desired state, and publish'),
  identity_taken: operator(
    'a certificate is for one runtime: take it from the other one first, with agent runtime-director admit RUNTIME CN --remove',
  ),
  rollout_idle: operator('agent runtime-director status shows the rollout'),
  store_key_wrong: operator(
    'restore the key file that store.key names: what was published cannot be read without it',
  ),

  // Kubernetes
  kubeconfig_invalid: operator(
    'correct kubernetes.kubeconfig and kubernetes.context, or the file; in a pod neither is needed, but a mounted service account token',
  ),
  kubernetes_forbidden: operator(
    'the service account of the agent lacks a right: apply the RBAC of deploy/kubernetes, or add the verb named',
  ),
  kubernetes_conflict: retry(
    'something else changed the object at the same time: it is read again',
  ),
  kubernetes_missing: operator(
    'create the namespace, or install the custom resource definition; the agent goes on by itself',
  ),
  kubernetes_refused: operator(
    'the API server or a webhook does not accept the object: see its message',
  ),
  kubernetes_failed: retry('the API server is in trouble; the agent tries on'),
  object_foreign: operator(
    'an object of this name is there that is not of this agent: rename or remove it',
  ),
  object_in_use: operator(
    'its application is gone, but something still refers to it: remove what refers; after a day it goes anyway',
  ),

  // Dapr
  dapr_unsupported: operator(
    'Dapr cannot do this (see the message): use target files or kubernetes for this bundle, or change it in Compass',
    'application',
  ),
  dapr_pipeline: operator(
    'name the middleware in spec.httpPipeline.handlers of the Configuration of daprd, and its file in config of the target',
  ),
  dapr_middleware_named: operator(
    'take the handler out of the pipeline and restart daprd: until then the middleware stays, as calls would go out without a token',
  ),
  document_refused: operator(
    'correct the document in the Runtime Director, or what the target allows; what is there of it stays, the others are applied',
  ),
  dapr_resources_unfit: operator(
    'mend or move away the file of somebody else that is named: with it daprd ends or hangs at the next change, so nothing is written',
  ),
  dapr_restarts: operator(
    'move away what the message names: with it daprd restarts at each change of anything in its directory',
  ),
  dapr_rejected: operator(
    'the sidecar did not take this version, so the one before is back; it is tried again when it changes: see the log of daprd',
  ),
  dapr_unreachable: retry(
    'start daprd, or correct url of the sidecar: what is written is loaded when it starts, and looked at then',
  ),
  dapr_too_old: operator(
    'update daprd to 1.18.2 or later, or set reload of the sidecar to sighup or command',
  ),

  internal: retry('this is a defect of the agent: please report it with its line in the log'),
} as const satisfies Record<string, Entry>

/** Stable, documented code of a problem: safe to match in scripts and alerts. */
export type Code = keyof typeof PROBLEMS

/** One problem as status, log and commands show it. Never holds a secret. */
export type Problem = {
  code: Code
  /** "Cannot do what, to what: why", sentence case, no final period. */
  message: string
  hint: string
  turn: Turn
  /** What it is about, when it is not the agent as a whole: an application, a bundle, a file. */
  subject?: string
}

export type ProblemOptions = {
  hint?: string | undefined
  subject?: string | undefined
  turn?: Turn | undefined
}

export function problem(code: Code, message: string, options: ProblemOptions = {}): Problem {
  const entry: Entry = PROBLEMS[code]
  return {
    code,
    message,
    hint: options.hint ?? entry.hint,
    turn: options.turn ?? entry.turn,
    ...(options.subject === undefined ? {} : { subject: options.subject }),
  }
}

export type AgentErrorOptions = ProblemOptions & {
  /** For debugging only. Never an error of an HTTP or GraphQL library: those hold bodies and variables. */
  cause?: unknown
  class?: FailureClass | undefined
  /** What a server asked for with Retry-After, in milliseconds. */
  retryAfter?: number | undefined
  /** Facts for the log and for callers (`status`, `errorCode`, …); never a secret. What varies from try to try belongs here, not in the message. */
  detail?: Detail | undefined
}

export type Detail = Readonly<Record<string, string | number>>

/** The error that steps throw and the loop catches: {@link Problem} plus what the loop needs to decide on the next try. */
export class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code: Code
  readonly class: FailureClass
  readonly hint: string
  readonly turn: Turn
  readonly subject: string | undefined
  readonly retryAfter: number | undefined
  readonly detail: Detail

  constructor(code: Code, message: string, options: AgentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    const entry: Entry = PROBLEMS[code]
    this.code = code
    this.class = options.class ?? entry.class
    this.hint = options.hint ?? entry.hint
    this.turn = options.turn ?? entry.turn
    this.subject = options.subject
    this.retryAfter = options.retryAfter
    this.detail = options.detail ?? {}
  }

  toProblem(): Problem {
    return problem(this.code, this.message, {
      hint: this.hint,
      turn: this.turn,
      subject: this.subject,
    })
  }
}

/** Any thrown value as an AgentError; what is not one already is a defect and named so. */
export function toAgentError(thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown
  const text =
    thrown instanceof Error
      ? `${thrown.name}: ${thrown.message}`
      : 'a value that is no error was thrown'
  return new AgentError('internal', `Cannot go on: ${text}`, { cause: thrown })
}

/** What went wrong, as the second half of a message. */
export function reasonOf(thrown: unknown): string {
  return toAgentError(thrown).message.replace(/^Cannot /, 'cannot ')
}
