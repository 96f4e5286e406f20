/**
 * A real Kubernetes API: etcd and kube-apiserver on loopback, with RBAC, the audit log and Kyma's two kinds.
 *
 * There is no controller-manager: namespaces that are deleted stay Terminating, nothing is garbage-collected, no service
 * account `default` appears, no roles are aggregated. Start takes some three seconds, so one server serves a test file.
 * Tests get it through kube.ts; this file is for scripts too.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import { findEnvtest } from '../scripts/envtest.ts'
import type { KubeObject, Kubernetes, Resource } from '../src/clients/kubernetes/api.ts'
import { openKubernetes } from '../src/clients/kubernetes/load.ts'
import { createCa, issueCertificate } from '../src/identity/x509.ts'
import { Secret } from '../src/model/secret.ts'
import { DAY } from '../src/model/time.ts'
import { generateRsaKey } from '../src/runtime/keys.ts'

const programs = findEnvtest()

/** A service account. */
export type Account = { namespace: string; name: string }

/** One finished call, as the audit log of the API server tells it. */
export type AuditEntry = {
  /** get, list, watch, create, update, patch, delete. */
  verb: string
  user: string
  userAgent: string
  group: string
  /** Plural. */
  resource: string
  namespace: string | undefined
  name: string | undefined
  /** Status of the answer. */
  code: number
  /** Path with query. */
  uri: string
  dryRun: boolean
  at: Date
}

export interface Kube {
  readonly url: string
  /** PEM. */
  readonly ca: string
  /** Of a cluster admin, for calls past the client. */
  readonly adminToken: Secret
  /** Path of a kubeconfig for a cluster admin, by client certificate. */
  readonly kubeconfig: string
  /** A directory that goes with the server. */
  readonly directory: string
  /** Cluster admin. */
  readonly client: Kubernetes
  /** A client of its own for a service account; `stop` closes it. */
  as(account: Account): Promise<Kubernetes>
  /** A token of a service account, which must be there. */
  token(account: Account): Promise<Secret>
  /** Path of a kubeconfig of a service account, with its namespace in the context. */
  kubeconfigOf(account: Account): Promise<string>
  /** Makes a namespace unless it is there. */
  namespace(name: string): Promise<void>
  /**
   * Applies objects or YAML text of many, in their order, as `kubectl apply --server-side --force-conflicts` does, and
   * waits for definitions of kinds to be served. Namespaced ones without a namespace go into `default`.
   */
  applyManifests(manifests: string | readonly KubeObject[]): Promise<void>
  /** Every finished call since the start, or since `auditMark` was asked for. */
  auditLog(since?: number): AuditEntry[]
  /** The present end of the audit log. */
  auditMark(): number
  /** Ends the API server (not etcd) as a crash does. */
  kill(): Promise<void>
  /** Starts it again: same address, same data. */
  revive(): Promise<void>
  stop(): Promise<void>
}

/** Starts the servers and applies the definitions of Application and CompassConnection. */
export async function startKube(): Promise<Kube> {
  if (programs === undefined)
    throw new Error(
      'Cannot start a Kubernetes API: its programs are missing; npm run envtest builds them',
    )
  const { etcd, apiServer } = programs
  const directory = mkdtempSync(join(tmpdir(), 'kube-'))
  const { port, store } = { port: await freePort(), store: `http://127.0.0.1:${await freePort()}` }
  const url = `https://127.0.0.1:${port}`
  const made = await makeFiles(directory, url)
  const opened: Kubernetes[] = []
  const children = new Set<ChildProcess>()
  const endAll = (): void => children.forEach((child) => child.kill('SIGKILL'))
  process.once('exit', endAll)

  const start = (name: string, program: string, args: string[]): ChildProcess => {
    const log = openSync(join(directory, `${name}.log`), 'a')
    const child = spawn(program, args, { cwd: directory, stdio: ['ignore', log, log] })
    closeSync(log)
    children.add(child)
    child.once('exit', () => children.delete(child))
    return child
  }
  const kubeconfig = join(directory, 'kubeconfig')
  const open = async (token?: Secret): Promise<Kubernetes> => {
    const as = token === undefined ? {} : { token }
    const client = await openKubernetes({ kubeconfig, version: 'test', ...as })
    opened.push(client)
    return client
  }
  const startApi = async (): Promise<ChildProcess> => {
    const child = start('kube-apiserver', apiServer, apiServerArgs(port, store))
    await ready(url, made.ca, made.token, child, directory)
    return child
  }

  start('etcd', etcd, [
    ...['--data-dir=etcd', '--unsafe-no-fsync', '--listen-peer-urls=http://127.0.0.1:0'],
    ...[`--listen-client-urls=${store}`, `--advertise-client-urls=${store}`],
  ])
  let api = await startApi()
  const client = await open()
  const apply = (manifests: string | readonly KubeObject[]): Promise<void> =>
    applyManifests({ url, ca: made.ca, token: made.token, client }, manifests)
  for (const name of ['application', 'compassconnection'])
    await apply(readFileSync(new URL(`kube/${name}.yaml`, import.meta.url), 'utf8'))

  const kube: Kube = {
    url,
    ca: made.ca,
    adminToken: new Secret(made.token),
    kubeconfig,
    directory,
    client,
    async token({ namespace, name }) {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
      const answer = await call({ url, ca: made.ca, token: made.token }, path, {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: 3600 },
      })
      return new Secret((answer['status'] as { token: string }).token)
    },
    async as(account) {
      return open(await kube.token(account))
    },
    async kubeconfigOf(account) {
      const token = (await kube.token(account)).reveal()
      const path = join(directory, `kubeconfig-${account.namespace}-${account.name}`)
      const text = kubeconfigText({
        url,
        ca: made.ca,
        namespace: account.namespace,
        user: { token },
      })
      writeFileSync(path, text, { mode: 0o600 })
      return path
    },
    namespace: (name) => apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }]),
    applyManifests: apply,
    auditLog: (since = 0) => auditEntries(readAudit(directory).subarray(since)),
    auditMark: () => readAudit(directory).length,
    async kill() {
      await ended(api, 'SIGKILL')
    },
    async revive() {
      api = await startApi()
    },
    async stop() {
      for (const one of opened) await one.close()
      await Promise.all([...children].map((child) => ended(child, 'SIGKILL')))
      process.off('exit', endAll)
      rmSync(directory, { recursive: true, force: true })
    },
  }
  return kube
}

type Made = { ca: string; token: string }

/** Certificates, keys and configuration below `directory`. */
async function makeFiles(directory: string, url: string): Promise<Made> {
  const now = Date.now()
  const dates = { notBefore: now - DAY, notAfter: now + 30 * DAY }
  const [ca, keys] = await Promise.all([
    createCa({ commonName: 'kube', organization: 'Test', ...dates }),
    generateRsaKey(2048),
  ])
  const issue = (cn: string, o: string, usage: 'client' | 'server'): Promise<string> =>
    issueCertificate({
      ...{ ca, usage, ...dates, publicKey: keys.publicKeyPem },
      names: usage === 'server' ? ['127.0.0.1', 'localhost', '0.0.0.0'] : [],
      subject: [
        { type: 'O', value: o },
        { type: 'CN', value: cn },
      ],
    })
  const key = keys.privateKeyPem.reveal()
  const token = randomBytes(16).toString('hex')
  const admin = await issue('admin', 'system:masters', 'client')
  const user = { 'client-certificate-data': base64(admin), 'client-key-data': base64(key) }
  const files = {
    'ca.crt': ca.certificate,
    'server.crt': await issue('kube-apiserver', 'Test', 'server'),
    // One key for all: nothing here is about keys.
    'server.key': key,
    'tokens.csv': `${token},admin-token,admin-token,system:masters\n`,
    'audit.yaml': AUDIT_POLICY,
    kubeconfig: kubeconfigText({ url, ca: ca.certificate, user }),
  }
  mkdirSync(directory, { recursive: true })
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(directory, name), text, { mode: 0o600 })
  return { ca: ca.certificate, token }
}

const AUDIT_POLICY = JSON.stringify({
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [
    { level: 'None', userGroups: ['system:apiservers'] },
    { level: 'None', users: ['system:apiserver'] },
    { level: 'None', nonResourceURLs: ['/readyz*', '/livez*'] },
    { level: 'Metadata' },
  ],
})

type KubeconfigFacts = { url: string; ca: string; namespace?: string; user: Record<string, string> }

/** JSON, which is YAML too. */
function kubeconfigText({ url, ca, namespace, user }: KubeconfigFacts): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
    clusters: [
      { name: 'test', cluster: { server: url, 'certificate-authority-data': base64(ca) } },
    ],
    users: [{ name: 'test', user }],
  })
}

function apiServerArgs(port: number, store: string): string[] {
  return [
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--etcd-servers=${store}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    '--authorization-mode=RBAC',
    '--disable-admission-plugins=ServiceAccount',
    '--tls-cert-file=server.crt',
    '--tls-private-key-file=server.key',
    '--client-ca-file=ca.crt',
    '--token-auth-file=tokens.csv',
    '--service-account-issuer=https://kube.test',
    '--service-account-key-file=server.key',
    '--service-account-signing-key-file=server.key',
    '--audit-policy-file=audit.yaml',
    '--audit-log-path=audit.log',
  ]
}

/** Below the ephemeral range, so that no client's socket takes it before the server does. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

async function ready(
  url: string,
  ca: string,
  token: string,
  child: ChildProcess,
  directory: string,
): Promise<void> {
  const headers = { authorization: `Bearer ${token}` }
  for (let tries = 0; tries < 600 && child.exitCode === null; tries++) {
    const answer = await fetch(`${url}/readyz`, { tls: { ca }, headers }).catch(() => undefined)
    if (answer?.ok === true) return
    await Bun.sleep(100)
  }
  const log = readFileSync(join(directory, 'kube-apiserver.log'), 'utf8')
  throw new Error(`Cannot start kube-apiserver:\n${log.slice(-2000)}`)
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await gone
}

type Admin = { url: string; ca: string; token: string }

async function call(
  { url, ca, token }: Admin,
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const answer = await fetch(url + path, {
    tls: { ca },
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  })
  if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as Record<string, unknown>
}

async function applyManifests(
  admin: Admin & { client: Kubernetes },
  manifests: string | readonly KubeObject[],
): Promise<void> {
  const objects = typeof manifests === 'string' ? loadAll(manifests) : manifests
  const { signal } = new AbortController()
  for (const object of objects as (KubeObject | null)[]) {
    if (object === null) continue
    const resource = await resourceOf(admin, object)
    const namespace = object.metadata.namespace ?? 'default'
    const metadata = { ...object.metadata, ...(resource.namespaced ? { namespace } : {}) }
    await admin.client.apply(resource, { ...object, metadata }, signal, { force: true })
    if (object.kind === 'CustomResourceDefinition') await established(admin, object.metadata.name)
  }
}

/** Asks the server, as its kinds are not known beforehand. */
async function resourceOf(
  admin: Admin,
  { apiVersion = '', kind = '' }: KubeObject,
): Promise<Resource> {
  const root = apiVersion.includes('/') ? 'apis' : 'api'
  const { resources } = await call(admin, `/${root}/${apiVersion}`)
  const found = (resources as { name: string; kind: string; namespaced: boolean }[]).find(
    (one) => one.kind === kind && !one.name.includes('/'),
  )
  if (found === undefined) throw new Error(`${apiVersion} has no ${kind}`)
  const [version = '', group = ''] = apiVersion.split('/').reverse()
  return { group, version, plural: found.name, kind, namespaced: found.namespaced }
}

/** Until the kind can be listed, which is a moment after it is Established. */
async function established(admin: Admin, name: string): Promise<void> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`
  const { spec } = await call(admin, path)
  const { group, names, versions } = spec as {
    group: string
    names: { plural: string }
    versions: { name: string }[]
  }
  for (let tries = 0; tries < 300; tries++) {
    const list = `/apis/${group}/${versions[0]!.name}/${names.plural}?limit=1`
    if (
      await call(admin, list).then(
        () => true,
        () => false,
      )
    )
      return
    await Bun.sleep(20)
  }
  throw new Error(`${name} is not served`)
}

function readAudit(directory: string): Buffer {
  return readFileSync(join(directory, 'audit.log'))
}

function auditEntries(log: Buffer): AuditEntry[] {
  const lines = log.toString().split('\n')
  return lines.filter((line) => line !== '').map((line) => auditEntry(JSON.parse(line)))
}

type RawEntry = {
  verb: string
  user: { username: string }
  userAgent?: string
  objectRef?: { apiGroup?: string; resource?: string; namespace?: string; name?: string }
  responseStatus?: { code?: number }
  requestURI: string
  requestReceivedTimestamp: string
}

function auditEntry(raw: RawEntry): AuditEntry {
  const { verb, user, userAgent = '', objectRef = {}, responseStatus, requestURI: uri } = raw
  return {
    verb,
    user: user.username,
    userAgent,
    group: objectRef.apiGroup ?? '',
    resource: objectRef.resource ?? '',
    namespace: objectRef.namespace,
    name: objectRef.name,
    code: responseStatus?.code ?? 0,
    uri,
    dryRun: uri.includes('dryRun='),
    at: new Date(raw.requestReceivedTimestamp),
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
