/** A cluster as Kyma has it, a plane, and the program of this repository as drop-in for the Go agent between them. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  APPLICATIONS,
  COMPASS_CONNECTIONS,
  LEASES,
  SECRETS,
} from '../../../src/clients/kubernetes/api.ts'
import type { KubeObject } from '../../../src/clients/kubernetes/api.ts'
import { openPlane } from '../../../src/devplane/plane.ts'
import type { Plane, PlaneOptions } from '../../../src/devplane/plane.ts'
import type { Operation } from '../../../src/devplane/knobs.ts'
import { toBase64 } from '../../../src/runtime/base64.ts'
import { ROOT } from '../../../scripts/repository.ts'
import { freePort } from '../../e2e/support/agent-home.ts'
import { landscapeFor, parsed } from '../../e2e/support/landscape.ts'
import { finish, start, until } from '../../e2e/support/program.ts'
import type { Finished, Running } from '../../e2e/support/program.ts'
import type { Kube } from '../../kube.ts'

export const never = new AbortController().signal

/** What the Provisioner and others read. */
export type Connection = {
  spec: {
    managementInfo: { directorUrl: string; connectorUrl: string }
    resyncNow?: boolean
    refreshCredentialsNow?: boolean
  }
  state: string
  connection: {
    established: string | null
    renewed: string | null
    error?: string
    certificateStatus: Record<'acquired' | 'notBefore' | 'notAfter', string | null>
  }
  synchronization: Record<string, string | null> | null
  /** The annotation, as text. */
  conditions: string
  uid: string
}

export type DropIn = {
  readonly plane: Plane
  readonly directory: string
  readonly port: number
  /** `env` beside what the scene sets; `kubeconfig` instead of that of the admin. */
  start(env?: Record<string, string>, kubeconfig?: string): Running
  run(args: readonly string[], env?: Record<string, string>): Promise<Finished>
  log(): string
  /** Writes the Secret of Compass Manager with a new token, or the one given. */
  configure(change?: Record<string, string>): Promise<string>
  connection(): Promise<Connection | undefined>
  /** The first state of the CR that fits. */
  untilConnection(
    what: string,
    fits: (connection: Connection) => boolean,
    limit?: number,
  ): Promise<Connection>
  patchConnection(patch: Record<string, unknown>): Promise<void>
  removeConnection(): Promise<void>
  applications(): Promise<string[]>
  secret(name: string): Promise<Record<string, string> | undefined>
  /** Calls so far of one operation that the plane has seen, on any port. */
  calls(operation: Operation, after?: number): number
  close(): Promise<void>
}

const NAMESPACE = 'kyma-system'
const CONFIG = 'compass-agent-configuration'

/** One at a time in a cluster: names are those of Kyma. */
export async function openDropIn(kube: Kube, options: Partial<PlaneOptions> = {}): Promise<DropIn> {
  const directory = mkdtempSync(join(tmpdir(), 'drop-in-'))
  const plane = await openPlane({ landscape: parsed(landscapeFor(['kyma'])), ...options })
  const ca = join(directory, 'ca.pem')
  writeFileSync(ca, plane.caPem)
  mkdirSync(join(directory, 'empty'))
  const kubeconfig = join(directory, 'kubeconfig')
  writeFileSync(kubeconfig, inNamespace(readFileSync(kube.kubeconfig, 'utf8')))
  const port = await freePort()
  const running: Running[] = []
  await kube.namespace(NAMESPACE)
  await clean(kube)

  const env = {
    KUBECONFIG: kubeconfig,
    SSL_CERT_FILE: ca,
    APP_HEALTH_PORT: String(port),
    APP_CONTROLLER_SYNC_PERIOD: '1s',
    APP_MINIMAL_COMPASS_SYNC_TIME: '1s',
    APP_SKIP_COMPASS_TLS_VERIFY: 'true',
    RUNTIME_AGENT_DIRECTORY: join(directory, 'state'),
  }
  const main = join(ROOT, 'src', 'main.ts')
  const place = { cwd: join(directory, 'empty'), program: process.execPath }
  const at = { name: 'compass-connection' }
  const scene: DropIn = {
    plane,
    directory,
    port,
    start(more = {}, config = kubeconfig) {
      const log = join(directory, 'log')
      const options = { ...place, env: { ...env, KUBECONFIG: config, ...more }, log }
      const one = start([main], options)
      running.push(one)
      return one
    },
    run: (args, more = {}) => finish([main, ...args], { ...place, env: { ...env, ...more } }),
    log: () =>
      existsSync(join(directory, 'log')) ? readFileSync(join(directory, 'log'), 'utf8') : '',
    async configure(change = {}) {
      const token = change['TOKEN'] ?? (await plane.issueToken()).token
      const [runtime] = plane.landscape.runtimes
      const values = {
        CONNECTOR_URL: plane.tokenUrl,
        RUNTIME_ID: runtime?.id ?? '',
        TENANT: plane.landscape.tenant,
        TOKEN: token,
        ...change,
      }
      await kube.applyManifests([secretOf(values)])
      return token
    },
    async connection() {
      const found = await kube.client.get(COMPASS_CONNECTIONS, at, never)
      return found && connectionOf(found)
    },
    untilConnection: (what, fits, limit) =>
      until(
        what,
        async () => {
          const found = await scene.connection()
          return found !== undefined && fits(found) && found
        },
        limit,
      ).catch(async (thrown: unknown) => {
        const seen = JSON.stringify(await scene.connection(), null, 1)
        throw new Error(`${String(thrown)}\nthe CR: ${seen}\nlog: ${scene.log().slice(-3000)}`)
      }),
    async patchConnection(patch) {
      await kube.client.merge(COMPASS_CONNECTIONS, at, patch, never)
    },
    async removeConnection() {
      await kube.client.remove(COMPASS_CONNECTIONS, at, {}, never)
    },
    async applications() {
      const { items } = await kube.client.list(APPLICATIONS, {}, never)
      return items.map(({ metadata }) => metadata.name).sort()
    },
    async secret(name) {
      const found = await kube.client.get(SECRETS, { namespace: NAMESPACE, name }, never)
      return found && textsOf(found)
    },
    calls: (operation, after = 0) =>
      plane.events(after).filter(({ operations }) => operations.includes(operation)).length,
    async close() {
      await Promise.all(running.filter((one) => one.isRunning()).map((one) => one.stop()))
      await plane.close()
      await clean(kube)
      rmSync(directory, { recursive: true, force: true })
    },
  }
  return scene
}

/** As a pod in that namespace has it. */
function inNamespace(kubeconfig: string): string {
  const { contexts, ...rest } = JSON.parse(kubeconfig) as {
    contexts: { name: string; context: Record<string, string> }[]
  }
  return JSON.stringify({
    ...rest,
    contexts: contexts.map(({ name, context }) => ({
      name,
      context: { ...context, namespace: NAMESPACE },
    })),
  })
}

/** As after an uninstallation. There is no garbage collection: what is owned goes by hand. */
async function clean({ client }: Kube): Promise<void> {
  for (const [resource, scope] of [
    [APPLICATIONS, {}],
    [COMPASS_CONNECTIONS, {}],
    [SECRETS, { namespace: NAMESPACE }],
    [LEASES, { namespace: NAMESPACE }],
  ] as const) {
    for (const { metadata } of (await client.list(resource, scope, never)).items) {
      const { name, namespace } = metadata
      await client.remove(
        resource,
        namespace === undefined ? { name } : { name, namespace },
        {},
        never,
      )
    }
  }
}

function secretOf(values: Record<string, string>): KubeObject {
  const data = Object.fromEntries(
    Object.entries(values).map(([key, text]) => [key, toBase64(text)]),
  )
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: NAMESPACE, name: CONFIG },
    data,
  }
}

function textsOf(object: KubeObject): Record<string, string> {
  const data = (object['data'] ?? {}) as Record<string, string>
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, atob(value)]))
}

function connectionOf(object: KubeObject): Connection {
  const status = object['status'] as {
    connectionState: string
    connectionStatus: Connection['connection']
    synchronizationStatus: Connection['synchronization']
  }
  return {
    spec: object['spec'] as Connection['spec'],
    state: status.connectionState,
    connection: status.connectionStatus,
    synchronization: status.synchronizationStatus,
    conditions: object.metadata.annotations?.['runtime-agent.kyma-project.io/conditions'] ?? '',
    uid: object.metadata.uid ?? '',
  }
}
