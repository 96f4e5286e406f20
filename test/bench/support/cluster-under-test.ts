import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { landscapeOf } from '../../../src/devplane/landscape.ts'
import type { Landscape, LandscapeDefinition } from '../../../src/devplane/landscape.ts'
import { makeLandscape } from '../../../src/devplane/landscape-generator.ts'
import type { LandscapeSize } from '../../../src/devplane/landscape-generator.ts'
import { openPlane } from '../../../src/devplane/plane.ts'
import { startKube } from '../../kube-server.ts'
import type { AuditEntry, Kube } from '../../kube-server.ts'
import { EXECUTABLE, cpuOf, memoryOf } from './agent-under-test.ts'

export type Kind = 'kyma' | 'kubernetes'

/** Namespace of the Secrets, whichever target writes them. */
export const NAMESPACE = 'kyma-system'

export type Sizes = Pick<LandscapeSize, 'applications' | 'bundles' | 'apis' | 'events'>

/**
 * Half of the bundles with credentials, and texts so short that the answers of the Director are as large as those on
 * which the Go agent was measured.
 */
export function halfWithCredentials(sizes: Sizes): Landscape {
  const { applications } = makeLandscape(sizes)
  return landscapeOf(
    applications.map((application, a) => ({
      ...application,
      bundles: application.bundles.map((bundle, b) => {
        const { id } = bundle
        const [apis, events] = [bundle.apis.map(shortened), bundle.events.map(shortened)]
        const credential = { type: 'basic', username: id, password: `password of ${id}` } as const
        return { ...bundle, apis, events, auth: (a + b) % 2 === 0 ? { credential } : undefined }
      }),
    })),
  )
}

function shortened<D extends LandscapeDefinition>(definition: D): D {
  return { ...definition, description: definition.name }
}

/** How many objects a target makes of that. */
export function objectsOf(kind: Kind, { applications }: Landscape): number {
  const bundles = applications.flatMap((application) => application.bundles)
  if (kind === 'kubernetes') return bundles.length
  return applications.length + bundles.filter(({ auth }) => auth !== undefined).length
}

/** The executable beside a plane and an API server, set up for one target. */
export type ClusterBench = {
  kube: Kube
  /** What the plane serves from now on. */
  serve(landscape: Landscape): void
  /** Pages of applications that the Director gave so far. */
  pages(): { count: number; bytes: number }
  /** Calls of the agent to the API server since they were forgotten last. */
  calls(): AuditEntry[]
  forget(): void
  /** Whether anybody called since; costs nothing that would be measured. */
  hasCalled(): boolean
  /** Waits until nobody calls the API server for so many milliseconds. */
  quiet(length: number, limit?: number): Promise<void>
  cpu(): number
  memory(): { rss: number; peak: number }
  close(): Promise<void>
}

export type ClusterOptions = {
  kind: Kind
  interval: number
  /** Round trip to the API server in milliseconds. */
  latency?: number
}

export async function openCluster({
  kind,
  interval,
  latency,
}: ClusterOptions): Promise<ClusterBench> {
  const home = mkdtempSync(join(tmpdir(), 'agent-bench-'))
  const kube = await startKube()
  await kube.namespace(NAMESPACE)
  let pages = { count: 0, bytes: 0 }
  const plane = await openPlane({
    landscape: landscapeOf([]),
    onEvent: ({ operations, bytes }) => {
      if (operations.includes('applications'))
        pages = { count: pages.count + 1, bytes: pages.bytes + bytes }
    },
  })
  const proxy = latency === undefined ? undefined : await delayingProxy(kube.url, latency)
  const kubeconfig = readFileSync(kube.kubeconfig, 'utf8')
  const { rawEncoded } = await plane.issueToken()
  const files = {
    'ca.pem': plane.caPem,
    token: rawEncoded,
    kubeconfig: proxy === undefined ? kubeconfig : kubeconfig.replaceAll(kube.url, proxy.url),
    'agent.yaml': configOf(kind, interval),
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(home, name), text)
  const child = Bun.spawn([EXECUTABLE, '--config', 'agent.yaml'], {
    cwd: home,
    stdout: 'ignore',
    stderr: Bun.file(join(home, 'log')),
  })
  let mark = kube.auditMark()
  const size = (): number => statSync(join(kube.directory, 'audit.log')).size
  const calls = (): AuditEntry[] =>
    kube.auditLog(mark).filter(({ userAgent }) => /^runtime-agent\/(?!test)/.test(userAgent))
  return {
    kube,
    serve: (landscape) => plane.replace(landscape),
    pages: () => pages,
    calls,
    quiet: async (length, limit = 120_000) => {
      const end = performance.now() + limit
      let [last, since] = [size(), performance.now()]
      while (performance.now() - since < length) {
        if (performance.now() > end) throw new Error('waited in vain for an end of the calls')
        await Bun.sleep(50)
        if (size() !== last) [last, since] = [size(), performance.now()]
      }
    },
    forget: () => {
      mark = kube.auditMark()
    },
    hasCalled: () => size() > mark,
    cpu: () => cpuOf(child.pid),
    memory: () => memoryOf(child.pid),
    close: async () => {
      child.kill('SIGTERM')
      await child.exited
      proxy?.close()
      await plane.close()
      await kube.stop()
      rmSync(home, { recursive: true, force: true })
    },
  }
}

function configOf(kind: Kind, interval: number): string {
  return `version: 1
connector: {token: {file: token}, ca: {file: ca.pem}}
director: {interval: ${interval}ms}
identity: {directory: state}
kubernetes: {kubeconfig: kubeconfig, namespace: ${NAMESPACE}}
targets: [{kind: ${kind}, namespace: ${NAMESPACE}}]
status: {listen: 127.0.0.1:0}
`
}

/** Forwards bytes with half of the round trip in each direction. */
export async function delayingProxy(
  url: string,
  roundTrip: number,
): Promise<{ url: string; close(): void }> {
  const { hostname, port } = new URL(url)
  const sockets = new Set<Socket>()
  const forward = (from: Socket, to: Socket): void => {
    sockets.add(from)
    from.setNoDelay(true)
    // Timers of equal length fire in the order in which they were set.
    from.on('data', (chunk) => setTimeout(() => to.write(chunk), roundTrip / 2))
    from.on('close', () => setTimeout(() => to.destroy(), roundTrip / 2))
    from.on('error', () => to.destroy())
  }
  const server = createServer((socket) => {
    const upstream = connect(Number(port), hostname)
    forward(socket, upstream)
    forward(upstream, socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const local = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `https://127.0.0.1:${local}`,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
