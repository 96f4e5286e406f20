/** The development control plane in a process of its own, and its admin endpoint. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PlaneEvent } from '../../../src/devplane/events.ts'
import type { KnobSettings } from '../../../src/devplane/knob-board.ts'
import type { Landscape } from '../../../src/devplane/landscape.ts'
import type { RuntimeView } from '../../../src/devplane/operator.ts'
import { parsed } from './landscape.ts'
import type { LandscapeFile } from './landscape.ts'
import { start, until } from './program.ts'
import type { Running } from './program.ts'

export type PlaneProcess = {
  readonly directory: string
  readonly ca: string
  running(): Running
  addresses(): Addresses
  /** As `npm start` writes it: everything that a person has to give. */
  token(runtime?: string): Promise<string>
  knobs(settings: KnobSettings): Promise<void>
  reset(): Promise<void>
  /** Writes the file that the plane follows. */
  write(landscape: LandscapeFile): void
  /** As {@link write}; served when this resolves. */
  serve(landscape: LandscapeFile): Promise<void>
  runtimes(): Promise<RuntimeView[]>
  events(after?: number): Promise<PlaneEvent[]>
  admin(method: string, path: string, body?: unknown): Promise<Response>
  /** kill -9 */
  kill(): Promise<void>
  /** Again, after {@link kill} or a stop, from the same state. */
  restart(): Promise<void>
  close(): Promise<void>
}

export type PlaneOptions = {
  /** Everything is kept below it. */
  directory: string
  landscape: LandscapeFile
  /** Of client certificates: `90s`. */
  lifetime?: string
}

export async function startPlane(options: PlaneOptions): Promise<PlaneProcess> {
  const { directory, landscape, lifetime = '1h' } = options
  mkdirSync(directory, { recursive: true })
  const [file, state, log] = ['landscape.yaml', 'plane', 'plane.log'].map((n) => join(directory, n))
  const write = (next: LandscapeFile): void => {
    // Whole or not at all: a plane may start at this moment.
    writeFileSync(`${file!}.new`, JSON.stringify(next))
    renameSync(`${file!}.new`, file!)
  }
  write(landscape)
  let process: Running | undefined
  const admin = (method: string, path: string, body?: unknown): Promise<Response> =>
    fetch(`${addresses(state!)?.adminUrl ?? 'http://127.0.0.1:9'}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    })
  const asked = async (method: string, path: string, body?: unknown): Promise<Response> => {
    const answer = await admin(method, path, body)
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer
  }
  const open = async (): Promise<void> => {
    rmSync(join(state!, 'plane.json'), { force: true })
    const args = ['dev', '--plane-only', '--state', state!, '--landscape', file!]
    const started = start([...args, '--lifetime', lifetime], { cwd: directory, log: log! })
    process = started
    await until('the plane answers', async () => {
      if (!started.isRunning()) throw new Error(`the plane ended:\n${readFileSync(log!, 'utf8')}`)
      if (addresses(state!) === undefined) return undefined
      return (await admin('GET', '/knobs').catch(() => undefined))?.ok
    })
  }
  await open()
  const running = (): Running => process!
  return {
    directory,
    ca: join(state!, 'ca.pem'),
    running,
    addresses: () => addresses(state!)!,
    async token(runtime) {
      const answer = await asked('POST', '/token', runtime === undefined ? {} : { runtime })
      return ((await answer.json()) as { rawEncoded: string }).rawEncoded
    },
    async knobs(settings) {
      await asked('PUT', '/knobs', settings)
    },
    async reset() {
      await asked('DELETE', '/knobs')
    },
    write,
    async serve(next) {
      write(next)
      const wanted = JSON.stringify(namesOf(parsed(next)))
      await until('the plane serves the landscape', async () => {
        const served = (await (await asked('GET', '/landscape')).json()) as Landscape
        return JSON.stringify(namesOf(served)) === wanted
      })
    },
    runtimes: async () => (await asked('GET', '/runtimes')).json() as Promise<RuntimeView[]>,
    events: async (after = 0) =>
      (await asked('GET', `/events?after=${after}`)).json() as Promise<PlaneEvent[]>,
    admin,
    async kill() {
      running().signal('SIGKILL')
      await running().exited
    },
    restart: open,
    async close() {
      if (running().isRunning()) await running().stop()
    },
  }
}

export type Addresses = {
  tokenUrl: string
  mtlsConnectorUrl: string
  directorUrl: string
  adminUrl: string
}

function addresses(state: string): Addresses | undefined {
  try {
    return JSON.parse(readFileSync(join(state, 'plane.json'), 'utf8')) as Addresses
  } catch {
    return undefined
  }
}

/** Enough of a landscape to tell whether it is the one that was written. */
function namesOf({ applications, runtimes }: Landscape): unknown {
  return [runtimes.map(({ id }) => id), applications]
}
