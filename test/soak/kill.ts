/**
 * Agent and plane as two processes of the compiled executable; either is killed (kill -9) at random moments, while
 * credentials are rotated, applications come and go, the certificate is renewed every few seconds and the plane answers
 * wrongly now and then. After each round the output must be exactly what the landscape says, and a reader that looks all
 * the time must never have seen a binding without `type` or a file that is not whole.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import { inStep, openHome } from '../e2e/support/agent-home.ts'
import type { Agent, AgentHome } from '../e2e/support/agent-home.ts'
import { seenIn } from '../e2e/support/bindings.ts'
import { expectedFor, landscapeFor } from '../e2e/support/landscape.ts'
import type { LandscapeFile } from '../e2e/support/landscape.ts'
import { startPlane } from '../e2e/support/plane-process.ts'
import type { PlaneProcess } from '../e2e/support/plane-process.ts'

export const name = 'kill -9 of either side at random moments'

type Options = { signal: AbortSignal; seed: number; report: (line: string) => void }

const RUNTIME = 'soak'
/** Long enough to be without the plane for a while, short enough to be renewed many times. */
const LIFETIME = '30s'

/** Answers that must change nothing; each for the next few requests. */
const KNOBS: KnobSettings[] = [
  { emptyPage: { value: true, count: 2 } },
  { html: { value: 200, count: 2 } },
  { cut: { value: 200, count: 2 } },
  { status: { value: 502, count: 3 } },
  { hollow: { value: 'null', operation: 'applications', count: 2 } },
  { error: { value: 10, operation: 'applications', count: 2 } },
  { lost: { value: true, operation: 'applications', count: 1 } },
  { delay: { value: 500, count: 3 } },
]

type Soak = {
  random: () => number
  plane: PlaneProcess
  home: AgentHome
  agent: Agent
  landscape: LandscapeFile
  counts: Record<
    'rounds' | 'agentKills' | 'planeKills' | 'rotations' | 'knobs' | 'tokens' | 'reads',
    number
  >
}

export async function run({ signal, seed, report }: Options): Promise<void> {
  const home = openHome({ ca: 'plane/ca.pem' })
  const landscape = landscapeFor([RUNTIME], 12)
  const plane = await startPlane({ directory: home.path('p'), landscape, lifetime: LIFETIME })
  home.configure({ connector: { token: { file: 'token' }, ca: { file: plane.ca } } })
  home.giveToken(await plane.token(RUNTIME))
  const counts = {
    rounds: 0,
    agentKills: 0,
    planeKills: 0,
    rotations: 0,
    knobs: 0,
    tokens: 0,
    reads: 0,
  }
  const soak: Soak = {
    random: randomFrom(seed),
    plane,
    home,
    agent: home.start(),
    landscape,
    counts,
  }
  try {
    await settle(soak)
    const first = memoryOf(soak.agent.pid)
    while (!signal.aborted) {
      await round(soak)
      counts.rounds += 1
      if (counts.rounds % 10 === 0) report(line(counts, soak))
    }
    report(line(counts, soak))
    report(`memory of the first agent ${first} MB`)
    await finish(soak)
  } finally {
    soak.agent.signal('SIGKILL')
    await plane.close()
    home.remove()
  }
}

/** Something changes, something breaks, and in the end everything is as it should be. */
async function round(soak: Soak): Promise<void> {
  const { random, plane, counts } = soak
  await change(soak)
  if (random() < 0.5) {
    await plane.knobs(KNOBS[Math.floor(random() * KNOBS.length)]!)
    counts.knobs += 1
  }
  await watch(soak, random() * 700)
  const who = random()
  if (who < 0.5) await killAgent(soak)
  else if (who < 0.8) await killPlane(soak)
  else await Promise.all([killAgent(soak), killPlane(soak)])
  await settle(soak)
}

async function change({ landscape, plane, random, counts }: Soak): Promise<void> {
  const { applications } = landscape
  const chosen = applications[Math.floor(random() * applications.length)]
  const auth = chosen?.bundles[0]?.auth?.basic
  if (auth === undefined) return
  auth.password = `rotated ${counts.rotations}`
  counts.rotations += 1
  // One application leaves its formation or comes back: an ordinary deletion.
  const other = applications[Math.floor(random() * applications.length)]!
  if (random() < 0.4) other.formations = other.formations.length === 0 ? [RUNTIME] : []
  await plane.serve(landscape)
}

async function killAgent(soak: Soak): Promise<void> {
  soak.agent.signal('SIGKILL')
  await soak.agent.exited
  await watch(soak, soak.random() * 200)
  soak.agent = soak.home.start()
  soak.counts.agentKills += 1
}

async function killPlane({ plane, random, counts }: Soak): Promise<void> {
  await plane.kill()
  await Bun.sleep(random() * 300)
  await plane.restart()
  counts.planeKills += 1
}

/** Reads all the time, as an application would. Throws on what no reader may ever see. */
async function watch({ home, counts }: Soak, length: number): Promise<void> {
  const end = performance.now() + length
  do {
    seenIn(home.path('out'))
    counts.reads += 1
    await Bun.sleep(10)
  } while (performance.now() < end)
}

/** Until the output is what the landscape says; gives a token, as an operator would, when the agent asks for one. */
async function settle(soak: Soak): Promise<void> {
  const end = performance.now() + 60_000
  let seen = ''
  for (;;) {
    const status = await soak.agent.status()
    const needy = status?.identity?.condition !== 'valid' && status !== undefined
    if (
      needy &&
      (status.token === 'none' || status.token === 'spent' || status.token === 'refused')
    ) {
      soak.home.giveToken(await soak.plane.token(RUNTIME))
      soak.counts.tokens += 1
    }
    if (status !== undefined && inStep(status)) {
      seen = JSON.stringify(seenIn(soak.home.path('out')))
      if (seen === JSON.stringify(expectedFor(RUNTIME, soak.landscape))) return
    }
    if (performance.now() > end) {
      throw new Error(
        `not in step after a minute: ${JSON.stringify(status, null, 1)}\nseen: ${seen}`,
      )
    }
    await Bun.sleep(50)
  }
}

/** Nothing is left behind. */
async function finish({ agent, home }: Soak): Promise<void> {
  const { how } = await agent.stop()
  if (how !== 0) throw new Error(`the agent ended with ${how}`)
  const left = [...names(home.path('state')), ...names(home.path('out'))].filter((file) =>
    /\.tmp$|\.new-|\.damaged$/.test(file),
  )
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
  for (const { level, message, code } of home.log()) {
    if (code === 'internal') throw new Error(`a defect (${level}): ${message}`)
  }
}

function names(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((file) =>
    join(directory, file),
  )
}

function line(counts: Soak['counts'], { agent }: Soak): string {
  const text = Object.entries(counts).map(([what, count]) => `${what} ${count}`)
  return `${text.join(', ')}; agent ${memoryOf(agent.pid)} MB, ${openFiles(agent.pid)} descriptors`
}

function memoryOf(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Math.round(Number(kilobytes) / 1024)
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
