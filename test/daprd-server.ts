/**
 * A real daprd on loopback with ports of its own, and the API that its bindings call.
 *
 * It is ready some 60 ms after its start and takes 55 MB. Tests get it through daprd.ts; this file is for scripts too.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTcp } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { findDaprd } from '../scripts/envtest.ts'

export type DaprdOptions = {
  /** Holds log and configuration; `resources` below it is what daprd watches. */
  directory: string
  appId?: string
  /** Handlers of `httpPipeline`: names of OAuth2 client credentials middlewares. */
  pipeline?: string[]
  /** Beside the ordinary ones. */
  args?: string[]
  /** Wait until it is ready; false for one that is expected to end. */
  ready?: boolean
  /** Numeric user and group to run as. */
  as?: { uid: number; gid: number }
}

export interface Daprd {
  readonly url: string
  readonly resources: string
  /** Path of the Configuration given to it. */
  readonly config: string
  readonly pid: number
  /** Everything it wrote since the first start, or since `logMark` was asked for. */
  log(since?: number): string
  logMark(): number
  /** Undefined while it runs. */
  readonly exitCode: number | undefined
  /** Names of its components, sorted. */
  components(): Promise<string[]>
  /** A call of an output binding; the status and body of the answer. */
  call(binding: string): Promise<{ status: number; body: string }>
  /** A call of an HTTPEndpoint. */
  invoke(endpoint: string, path?: string): Promise<{ status: number; body: string }>
  /** Starts it again, same ports and directories, after it ended. */
  start(): Promise<void>
  /** Ends it as a crash does. */
  kill(): Promise<void>
  stop(): Promise<void>
}

const READY = 15_000

export async function startDaprd(options: DaprdOptions): Promise<Daprd> {
  const built = findDaprd()
  if (built === undefined) throw new Error('Cannot start daprd: npm run envtest builds it')
  const { directory, appId = 'orders' } = options
  // Another user may not get to where it was built.
  const program = options.as === undefined ? built : join(directory, 'daprd')
  if (options.as !== undefined) copyFileSync(built, program)
  const resources = join(directory, 'resources')
  const [config, logFile] = [join(directory, 'config.yaml'), join(directory, 'daprd.log')]
  mkdirSync(resources, { recursive: true })
  writeFileSync(config, configuration(options.pipeline ?? []))
  const [http, grpc, internal] = [await freePort(), await freePort(), await freePort()]
  const url = `http://127.0.0.1:${http}`
  let child: ChildProcess | undefined
  const kill = (): void => void child?.kill('SIGKILL')
  process.once('exit', kill)

  const start = async (): Promise<void> => {
    const log = openSync(logFile, 'a')
    child = spawn(
      program,
      [
        ...['--app-id', appId, '--resources-path', resources, '--config', config],
        ...['--dapr-http-port', `${http}`, '--dapr-grpc-port', `${grpc}`],
        ...['--dapr-internal-grpc-port', `${internal}`],
        ...['--dapr-internal-grpc-listen-address', '127.0.0.1'],
        ...['--dapr-listen-addresses', '127.0.0.1', '--log-level', 'info'],
        ...(options.args ?? []),
      ],
      { cwd: directory, stdio: ['ignore', log, log], ...options.as },
    )
    closeSync(log)
    if (options.ready !== false) await ready(url, child, logFile)
  }
  await start()

  const daprd: Daprd = {
    url,
    resources,
    config,
    get pid() {
      return child?.pid ?? -1
    },
    log: (since = 0) => readFileSync(logFile).subarray(since).toString(),
    logMark: () => readFileSync(logFile).length,
    get exitCode() {
      return child?.exitCode ?? undefined
    },
    async components() {
      const answer = await fetch(`${url}/v1.0/metadata`)
      const { components = [] } = (await answer.json()) as { components?: { name: string }[] }
      return components.map(({ name }) => name).sort()
    },
    async call(binding) {
      const body = JSON.stringify({ operation: 'get' })
      const answer = await fetch(`${url}/v1.0/bindings/${binding}`, { method: 'POST', body })
      return { status: answer.status, body: await answer.text() }
    },
    async invoke(endpoint, path = 'x') {
      const answer = await fetch(`${url}/v1.0/invoke/${endpoint}/method/${path}`)
      return { status: answer.status, body: await answer.text() }
    },
    start,
    kill: () => ended(child, 'SIGKILL'),
    async stop() {
      await ended(child, 'SIGKILL')
      process.off('exit', kill)
    },
  }
  return daprd
}

/** No mDNS, which would listen beyond loopback. */
export function configuration(pipeline: readonly string[]): string {
  const type = 'middleware.http.oauth2clientcredentials'
  return JSON.stringify({
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'Configuration',
    metadata: { name: 'test' },
    spec: {
      nameResolution: { component: 'nameformat', configuration: { format: '{appid}.invalid' } },
      httpPipeline: { handlers: pipeline.map((name) => ({ name, type })) },
    },
  })
}

async function ready(url: string, child: ChildProcess, logFile: string): Promise<void> {
  const end = Date.now() + READY
  while (Date.now() < end && child.exitCode === null) {
    const answer = await fetch(`${url}/v1.0/healthz/outbound`).catch(() => undefined)
    if (answer?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`daprd is not ready:\n${readFileSync(logFile, 'utf8').slice(-2000)}`)
}

async function ended(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const end = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await end
}

/** Below the range that the system gives out by itself. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createTcp()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** One request that the API has seen. */
export type Seen = { path: string; authorization: string | undefined; headers: Headers }

export interface Echo {
  readonly url: string
  readonly seen: Seen[]
  close(): Promise<void>
}

/** An API that answers with the Authorization it was called with; `/token` gives `tok-1`, `tok-2`, … */
export async function startEcho(): Promise<Echo> {
  const seen: Seen[] = []
  let tokens = 0
  const server = createServer((request, response) => {
    const { authorization } = request.headers
    const headers = new Headers(
      Object.entries(request.headers).map(([name, value]): [string, string] => [
        name,
        String(value),
      ]),
    )
    seen.push({ path: request.url ?? '', authorization, headers })
    if (request.url?.startsWith('/token') === true) {
      tokens += 1
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({ access_token: `tok-${tokens}`, token_type: 'Bearer', expires_in: 3600 }),
      )
    } else response.end(authorization ?? 'none')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
