/** A plane, two agents of their own runtimes beside it, readers of what they publish, and what has to be there. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openHome, temporaryDirectory } from '../../e2e/support/agent-home.ts'
import type { Agent, AgentHome } from '../../e2e/support/agent-home.ts'
import { applicationFor, expectedFor, landscapeFor } from '../../e2e/support/landscape.ts'
import type { Expected, LandscapeFile } from '../../e2e/support/landscape.ts'
import { startPlane } from '../../e2e/support/plane-process.ts'
import type { PlaneProcess } from '../../e2e/support/plane-process.ts'
import { ensureExecutable, pinExecutable } from '../../e2e/support/program.ts'
import { openCounts } from './figures.ts'
import type { Counts } from './figures.ts'
import type { Random } from './random.ts'
import type { ReaderReport } from './reader-child.ts'

/** `mortal` is killed again and again, `lasting` never: its memory tells whether anything leaks. */
export const RUNTIMES = ['mortal', 'lasting'] as const
export type Runtime = (typeof RUNTIMES)[number]

/** Of each runtime at first. */
const APPLICATIONS = 10
/** Renewed after some twenty seconds. */
const LIFETIME = '30s'

export type Member = {
  readonly runtime: Runtime
  readonly home: AgentHome
  agent: Agent
  /** Whether we are about to end it ourselves. */
  doomed: boolean
}

export type World = {
  readonly directory: string
  readonly plane: PlaneProcess
  readonly members: Record<Runtime, Member>
  readonly counts: Counts
  readonly random: Random
  landscape: LandscapeFile
  expected(runtime: Runtime): Expected
  /** What each of the readers has seen so far; ends them. */
  endReaders(): Promise<ReaderReport[]>
  close(): Promise<void>
}

export async function openWorld(random: Random): Promise<World> {
  await ensureExecutable()
  const directory = temporaryDirectory()
  pinExecutable(directory)
  const landscape = landscapeFor(RUNTIMES, APPLICATIONS)
  for (const application of landscape.applications) rotate(application, 0)
  const plane = await startPlane({
    directory: join(directory, 'plane'),
    landscape,
    lifetime: LIFETIME,
  })
  const members = {
    mortal: await openMember('mortal', directory, plane),
    lasting: await openMember('lasting', directory, plane),
  }
  for (const { agent, runtime } of Object.values(members))
    await agent.until(
      `${runtime} has bindings`,
      ({ targets }) => targets[0]?.lastSuccess !== undefined,
    )
  const readers = Object.values(members).map(({ home }) => startReader(home.path('out')))
  const world: World = {
    directory,
    plane,
    members,
    random,
    landscape,
    counts: openCounts(),
    expected: (runtime) => expectedFor(runtime, world.landscape),
    endReaders: () => Promise.all(readers.map((reader) => reader.end())),
    async close() {
      for (const reader of readers) reader.kill()
      for (const { agent } of Object.values(members)) agent.signal('SIGKILL')
      await plane.close()
    },
  }
  return world
}

async function openMember(
  runtime: Runtime,
  directory: string,
  plane: PlaneProcess,
): Promise<Member> {
  const home = openHome({ ca: plane.ca, directory: join(directory, runtime) })
  home.configure({
    labels: { consoleUrl: `https://${runtime}.example` },
    connector: { token: { file: 'token' }, ca: { file: plane.ca } },
    log: { level: 'info', format: 'json' },
  })
  home.giveToken(await plane.token(runtime))
  return { runtime, home, agent: home.start(), doomed: false }
}

/** `end` gives what it has seen. */
export type Reader = { end(): Promise<ReaderReport>; kill(): void }

/** A program that reads the bindings of this output again and again. */
export function startReader(output: string): Reader {
  const script = fileURLToPath(new URL('./reader-child.ts', import.meta.url))
  const child = Bun.spawn([process.execPath, script, output], { stderr: 'inherit' })
  return {
    async end() {
      child.kill('SIGTERM')
      const text = await child.stdout.text()
      await child.exited
      // It had not begun yet.
      if (child.signalCode === 'SIGTERM') return { reads: 0, swaps: 0, torn: 0, problems: [] }
      return JSON.parse(text) as ReaderReport
    },
    kill: () => child.kill('SIGKILL'),
  }
}

/** Passwords are marked at both ends, so that half of one shows. */
export function rotate(application: LandscapeFile['applications'][number], turn: number): void {
  const [bundle] = application.bundles
  if (bundle?.auth === undefined) return
  bundle.auth.basic.password = `begin ${application.name} ${turn} ${'x'.repeat(2000)} end`
}

/** A new application of this runtime. */
export function added(runtime: Runtime, number: number): LandscapeFile['applications'][number] {
  const application = applicationFor(runtime, number)
  rotate(application, 0)
  return application
}

/** As an operator does when the agent asks for one. */
export async function giveToken(
  { plane, counts }: World,
  member: Member,
  why: string,
): Promise<void> {
  const token = await plane.token(member.runtime)
  writeFileSync(member.home.path('token'), token)
  counts.add(`tokens given (${why})`)
}
