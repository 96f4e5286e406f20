/** A Runtime Director in this process, with a desired state on disk and agents that ask it over mutual TLS. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createCa, issueCertificate } from '../../src/identity/x509.ts'
import type { Authority } from '../../src/identity/x509.ts'
import { sha256 } from '../../src/model/digest.ts'
import { Secret } from '../../src/model/secret.ts'
import { DAY, MINUTE } from '../../src/model/time.ts'
import { claimKey } from '../../src/runtime-director/keeper.ts'
import type { Keeper } from '../../src/runtime-director/keeper.ts'
import { publishTree } from '../../src/runtime-director/publish.ts'
import type { Outcome } from '../../src/runtime-director/publish.ts'
import { startServer } from '../../src/runtime-director/server.ts'
import type { DirectorServer, ServerOptions } from '../../src/runtime-director/server.ts'
import { SCHEMA } from '../../src/runtime-director/tables.ts'
import type { Tables } from '../../src/runtime-director/tables.ts'
import type { Rules } from '../../src/runtime-director/versions.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { openHttp } from '../../src/runtime/http.ts'
import { generateRsaKey } from '../../src/runtime/keys.ts'
import type { KeyPair } from '../../src/runtime/keys.ts'
import { openLog } from '../../src/runtime/log.ts'
import { openStorage } from '../../src/storage/storage.ts'
import type { Place } from '../../src/storage/storage.ts'

export const PUBLISHER = 'token-of-the-publisher'
export const VIEWER = 'token-of-the-viewer'

const RULES: Rules = { steps: [], wait: 10 * MINUTE, stopAfter: 1, keep: 100, keepAudit: 400 * DAY }

export type DirectorTestOptions = {
  /** Missing: SQLite in a directory of its own. */
  place?: Place
  clock?: Clock
  rules?: Partial<Rules>
  firstUse?: boolean
  watch?: boolean
  /** Files of the desired state: `{'runtimes/a.yaml': 'id: a'}`. */
  files?: Record<string, string>
  secrets?: Record<string, string>
  /** Of another one that this one shares directory, key and certificates with. */
  beside?: TestDirector
}

/** A fetch with the certificate of a common name. `path` begins with /. */
export type AgentFetch = (path: string, init?: RequestInit) => Promise<Response>

export interface TestDirector {
  readonly server: DirectorServer
  readonly keeper: Keeper
  readonly directory: string
  /** Of agents and of admins. */
  readonly url: string
  readonly adminUrl: string
  /** PEM. */
  readonly ca: string
  readonly log: string[]
  readonly pki: Pki
  write(files: Record<string, string>): void
  secret(name: string, value: string): void
  publish(how?: { atOnce?: boolean; dryRun?: boolean }): Promise<Outcome>
  /** PEM of a client certificate with this common name. */
  certificate(commonName: string): Promise<{ chain: string; key: Secret }>
  agent(commonName: string): Promise<AgentFetch>
  admin(path: string, init?: RequestInit & { token?: string }): Promise<Response>
  stop(): Promise<void>
}

type Pki = { authority: Authority; server: string; keys: KeyPair; sealKey: Secret; root: string }

export async function startDirector(options: DirectorTestOptions = {}): Promise<TestDirector> {
  const pki = options.beside?.pki ?? (await makePki())
  const { root } = pki
  const directory = join(root, 'desired')
  const secrets = join(root, 'secrets')
  for (const path of ['runtimes', 'configurations', 'overlays'])
    mkdirSync(join(directory, path), { recursive: true })
  mkdirSync(secrets, { recursive: true, mode: 0o700 })
  const write = (files: Record<string, string>): void => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true })
      writeFileSync(join(directory, path), text)
    }
  }
  const secret = (name: string, value: string): void =>
    writeFileSync(join(secrets, name), value, { mode: 0o600 })
  write(options.files ?? {})
  for (const [name, value] of Object.entries(options.secrets ?? {})) secret(name, value)
  const place = options.place ?? { sqlite: join(root, 'director.db') }
  const clock = options.clock ?? systemClock
  const storage = await openStorage<Tables>(place, SCHEMA, { migrate: 'start' })
  const keeper: Keeper = { storage, key: pki.sealKey, now: () => clock.now() }
  await claimKey(storage, keeper.key)
  const rules = { ...RULES, ...options.rules }
  const tree = { directory, secrets }
  const log: string[] = []
  const tls = { key: pki.keys.privateKeyPem, certificate: pki.server }
  const settings: ServerOptions = {
    ...{ keeper, clock, tree, rules },
    log: openLog({ level: 'debug', format: 'json', write: (line) => log.push(line) }),
    ...{ firstUse: options.firstUse ?? false, watch: options.watch ?? false },
    agents: {
      at: { host: '127.0.0.1', port: 0 },
      tls: { ...tls, clientCa: pki.authority.certificate },
    },
    admin: {
      at: { host: '127.0.0.1', port: 0 },
      tokens: [
        { name: 'pub', role: 'publisher', sha256: sha256(PUBLISHER) },
        { name: 'view', role: 'viewer', sha256: sha256(VIEWER) },
      ],
    },
  }
  const server = await startServer(settings)
  const url = `https://127.0.0.1:${server.agentsPort ?? 0}`
  const adminUrl = `http://127.0.0.1:${server.adminPort ?? 0}`
  const clients: { close(): Promise<void> }[] = []
  const certificate = async (commonName: string) => ({
    chain: await issueClient(pki, commonName),
    key: pki.keys.privateKeyPem,
  })
  return {
    ...{ server, keeper, directory, url, adminUrl, log, pki, write, secret, certificate },
    ca: pki.authority.certificate,
    async publish(how = {}) {
      const outcome = await publishTree(keeper, tree, { who: 'test', rules, ...how })
      await server.live.refresh()
      return outcome
    },
    async agent(commonName) {
      const identity = await certificate(commonName)
      const http = openHttp({ tls: { ca: [pki.authority.certificate], identity }, proxy: {} })
      clients.push(http)
      return (path, init) => http.fetch(`${url}${path}`, init)
    },
    admin(path, { token = PUBLISHER, ...init } = {}) {
      const headers = new Headers(init.headers)
      if (!headers.has('authorization')) headers.set('authorization', `Bearer ${token}`)
      return fetch(`${adminUrl}${path}`, { ...init, headers })
    },
    async stop() {
      for (const client of clients) await client.close()
      await server.close()
      await storage.close()
      if (options.beside === undefined) rmSync(root, { recursive: true, force: true })
    },
  }
}

async function makePki(): Promise<Pki> {
  const now = Date.now()
  const dates = { notBefore: now - DAY, notAfter: now + 30 * DAY }
  const [authority, keys] = await Promise.all([
    createCa({ commonName: 'Compass', organization: 'Test', ...dates }),
    generateRsaKey(2048),
  ])
  const server = await issueCertificate({
    ca: authority,
    subject: [{ type: 'CN', value: 'runtime-director' }],
    publicKey: keys.publicKeyPem,
    ...dates,
    usage: 'server',
    names: ['localhost', '127.0.0.1'],
  })
  const root = mkdtempSync(join(tmpdir(), 'director-'))
  return { authority, server, keys, root, sealKey: new Secret(sha256(String(Math.random()))) }
}

function issueClient({ authority, keys }: Pki, commonName: string): Promise<string> {
  const now = Date.now()
  return issueCertificate({
    ca: authority,
    subject: [
      { type: 'O', value: 'SAP' },
      { type: 'CN', value: commonName },
    ],
    publicKey: keys.publicKeyPem,
    notBefore: now - DAY,
    notAfter: now + 10 * DAY,
    usage: 'client',
  })
}

/** A desired state with some runtimes, each with one certificate `cn-<id>`, and one component for all. */
export function sampleFiles(
  ids: readonly string[],
  uri = 'https://logs.example',
): Record<string, string> {
  const runtimes = ids.map((id) => [
    `runtimes/${id}.yaml`,
    `id: ${id}\ngroups: [all]\nlabels: {region: eu}\nidentities: [cn-${id}]\n`,
  ])
  return { ...Object.fromEntries(runtimes), 'configurations/logging.yaml': logging(uri) }
}

/** A component with credentials, as in the founding document. */
export function logging(uri: string): string {
  return `match: {groups: [all]}
resources:
  - apiVersion: dapr.io/v1alpha1
    kind: Component
    metadata: {name: logging}
    spec:
      type: bindings.http
      version: v1
      metadata:
        - {name: url, value: '${uri}'}
        - {name: password, value: {secretRef: logging-password}}
`
}
