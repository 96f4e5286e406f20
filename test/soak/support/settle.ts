/** Everything works again: how long that may take, what a person may have to do for it, and what must then hold. */
import { readdirSync, readFileSync } from 'node:fs'
import type { Code } from '../../../src/model/problem.ts'
import type { Status } from '../../../src/model/status.ts'
import { Secret } from '../../../src/model/secret.ts'
import { certificateInfo } from '../../../src/runtime/keys.ts'
import { inStep } from '../../e2e/support/agent-home.ts'
import type { AgentHome } from '../../e2e/support/agent-home.ts'
import { generations, seenIn } from '../../e2e/support/bindings.ts'
import { until } from '../../e2e/support/program.ts'
import { giveToken } from './world.ts'
import type { Member, World } from './world.ts'

/** Milliseconds. Back-off after some failures is a quarter of a minute. */
const LIMIT = 120_000
/** After this an operator would not wait for the next try any longer. */
const PATIENCE = 4000

/** States that need a person, each of which a new token heals. */
const ASKS_FOR_TOKEN: ReadonlySet<Code> = new Set<Code>([
  'token_missing',
  'token_spent',
  'token_refused',
  'identity_expired',
])

export async function settle(world: World): Promise<void> {
  const { plane, members } = world
  await plane.reset()
  await plane.serve(world.landscape)
  await Promise.all(Object.values(members).map((member) => healed(world, member)))
  for (const member of Object.values(members)) await whole(world, member)
}

async function healed(world: World, member: Member): Promise<void> {
  const expected = world.expected(member.runtime)
  const began = performance.now()
  let nudged = began
  let helped = -Infinity
  let last: Status | undefined
  const look = async (): Promise<boolean> => {
    await supervise(world, member)
    last = await member.agent.status()
    if (last === undefined) return false
    if (inStep(last)) return Bun.deepEquals(seenIn(member.home.path('out')), expected)
    const now = performance.now()
    const asks = personNeeded(last)
    if (asks !== undefined && now - helped > 15_000) {
      helped = now
      await giveToken(world, member, asks)
    } else if (now - nudged > PATIENCE) {
      nudged = now
      await member.home.run('sync', '--once')
    }
    return false
  }
  await until(`${member.runtime} is in step`, look, LIMIT).catch((thrown: unknown) => {
    const shown = JSON.stringify({ ...last, applications: undefined, history: undefined }, null, 1)
    throw new Error(`${String(thrown)}\n${shown}`)
  })
}

/** Without an identity that works, and with a problem that says so: the code that names it. */
function personNeeded({ identity, problems, state }: Status): Code | undefined {
  if (state !== 'idle' || identity?.condition === 'valid') return undefined
  const found = problems.find(({ code, turn }) => turn === 'operator' && ASKS_FOR_TOKEN.has(code))
  return found?.code
}

/**
 * An agent ends only when it is killed, or when a command of ours had taken its lock while it was dead: whatever
 * supervises it starts it again.
 */
async function supervise({ counts }: World, member: Member): Promise<void> {
  const { agent, doomed, runtime, home } = member
  if (doomed || agent.isRunning()) return
  const how = await agent.exited
  if (how !== 4) throw new Error(`the agent of ${runtime} ended by itself: ${how}`)
  counts.add('agent started while a command had its lock')
  member.agent = home.start()
}

const STATE = new Set([
  'agent.sock',
  'digest.key',
  'hooks-files.json',
  'identity',
  'lock',
  'lock-journal',
  'snapshot.json',
  'state.json',
  'status.json',
])
const OUTPUT = /^(\.runtime-agent\.json|current|gen-\d{6})$/
const IDENTITY = /^(current|gen-\d{6})$/

/** Five, and one for each kill between a swap and its tidying up, which the next swap makes good. */
const GENERATIONS = 5 + 4

/** What is known of a token that was tried while the identity was refused for a moment: it may be spent. */
function isIntent(home: AgentHome, name: string): boolean {
  if (name !== 'enrolment.json') return false
  const { stage } = JSON.parse(readFileSync(home.path('state/identity', name), 'utf8')) as {
    stage: string
  }
  return stage === 'intent'
}

/** Nothing is left of what was interrupted, and the identity on disk is the one in use. */
async function whole({ plane }: World, member: Member): Promise<void> {
  const { home, agent, runtime } = member
  const odd = (): string[] => [
    ...readdirSync(home.path('state')).filter((name) => !STATE.has(name)),
    ...readdirSync(home.path('out')).filter((name) => !OUTPUT.test(name)),
    ...readdirSync(home.path('state/identity')).filter(
      (name) => !IDENTITY.test(name) && !isIntent(home, name),
    ),
  ]
  // A renewal or a pass may be under way right now.
  await until('nothing is left over', () => odd().length === 0, 15_000).catch(() => {
    throw new Error(`${runtime} has left behind ${odd().join(', ')}`)
  })
  if (generations(home.path('out')).length > GENERATIONS)
    throw new Error(`${runtime} keeps too many generations`)
  await until(
    'the identity on disk is the one in use',
    async () => {
      const read = (name: string): string =>
        readFileSync(home.path('state/identity/current', name), 'utf8')
      const { fingerprint, publicKeyMatches } = certificateInfo(read('chain.pem'))
      if (!publicKeyMatches(new Secret(read('key.pem')))) return false
      if ((await agent.status())?.identity?.fingerprint !== fingerprint) return false
      const known = (await plane.runtimes()).find(({ name }) => name === runtime)!.certificates
      return known.some((certificate) => certificate.fingerprint === fingerprint)
    },
    15_000,
  )
}

/** Problems of the log that are a defect of ours, or no line at all. */
export function defects({ home }: Member): string[] {
  return home
    .log()
    .filter(({ code, message }) => code === 'internal' || typeof message !== 'string')
    .map(({ message }) => message)
}
