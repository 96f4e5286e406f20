/** What goes wrong in a soak. Nothing here waits for anything to be well again; that is settle.ts. */
import { rmSync } from 'node:fs'
import type { KnobSettings } from '../../../src/devplane/knob-board.ts'
import { added, giveToken, rotate } from './world.ts'
import type { Runtime, World } from './world.ts'

/** Longest pause before something happens, in ms. */
const WITHIN = 1500

/** One round: some of these at the same time, each at a moment of its own. */
export async function chaos(world: World, turn: number): Promise<void> {
  const { random } = world
  const all: [number, (world: World, turn: number) => Promise<void> | void][] = [
    [0.9, changeLandscape],
    [0.8, turnKnobs],
    [0.6, killAgent],
    [0.3, killPlane],
    [0.15, freezeLasting],
    [0.2, askForRenewal],
    [0.12, loseState],
    [0.08, layToken],
  ]
  // Chosen before anything runs, so that the same seed gives the same round.
  const chosen = all.filter(([share]) => random.chance(share)).map(([, act]) => act)
  const moments = chosen.map(() => random.int(0, WITHIN))
  const exclusive = chosen.includes(loseState) ? chosen.filter((act) => act !== killAgent) : chosen
  await Promise.all(
    exclusive.map(async (act, index) => {
      await Bun.sleep(moments[index] ?? 0)
      await act(world, turn)
    }),
  )
}

/** At most two applications fewer, so that no guard has to hold anything; settle.ts lets them be applied. */
function changeLandscape(world: World, turn: number): void {
  const { random, counts } = world
  const next = structuredClone(world.landscape)
  for (const runtime of ['mortal', 'lasting'] satisfies Runtime[]) {
    const own = next.applications.filter(({ formations }) => formations.includes(runtime))
    for (let n = random.int(0, 3); n > 0; n--) {
      rotate(random.pick(own), turn * 10 + n)
      counts.add('rotations')
    }
    if (own.length < 13 && random.chance(0.4)) {
      next.applications.push(added(runtime, 1000 + turn))
      counts.add('applications added')
    }
    if (own.length > 7 && random.chance(0.4)) {
      next.applications.splice(next.applications.indexOf(random.pick(own)), 1)
      counts.add('applications removed')
    }
  }
  world.landscape = next
  world.plane.write(next)
}

const KNOBS: [string, KnobSettings][] = [
  ['lost signing answer', { lost: { operation: 'sign', count: 1 } }],
  ['lost configuration answer', { lost: { operation: 'configuration', count: 1 } }],
  ['request lost', { lostBefore: { count: 2 } }],
  ['refused', { refuse: { count: 2 } }],
  ['gateway without Director', { directorDown: { count: 2 } }],
  ['server error', { status: { value: 500, count: 2 } }],
  ['429', { tooMany: { value: 1, count: 1 } }],
  ['captive portal', { html: { value: 200, count: 1 } }],
  ['empty page', { emptyPage: { count: 2 } }],
  ['null credentials', { nullCredentials: { count: 2 } }],
  ['errors beside data', { errorBesideData: { value: 10, count: 2 } }],
  ['hollow answer', { hollow: { value: 'null', operation: 'director', count: 2 } }],
  ['cut body', { cut: { value: 0.6, count: 2 } }],
  ['cut connection', { cutConnection: { value: 0.6, count: 2 } }],
  ['moving rows', { totalCount: { value: 1, count: 2 }, shift: { value: 'removed', count: 2 } }],
  ['certificate of another CA', { certificate: { value: 'otherCa', count: 1 } }],
  ['slow answers', { delay: { value: 400, count: 4 } }],
]

async function turnKnobs({ random, plane, counts }: World): Promise<void> {
  const [name, settings] = random.pick(KNOBS)
  counts.add(`knobs (${name})`)
  // A plane that is down at this moment cannot be asked.
  await plane.knobs(settings).catch(() => undefined)
}

/** kill -9 once or some times in quick succession: at start, in a pass, in a renewal, wherever it happens to be. */
async function killAgent({ members, random, counts }: World): Promise<void> {
  const { mortal } = members
  for (let n = random.chance(0.3) ? 3 : 1; n > 0; n--) {
    mortal.doomed = true
    mortal.agent.signal('SIGKILL')
    await mortal.agent.exited
    counts.add('agent killed')
    await Bun.sleep(random.int(0, 300))
    mortal.agent = mortal.home.start()
    mortal.doomed = false
    if (n > 1) await Bun.sleep(random.int(0, 400))
  }
}

async function killPlane({ plane, random, counts }: World): Promise<void> {
  await plane.kill()
  counts.add('plane killed')
  await Bun.sleep(random.int(0, 1500))
  await plane.restart()
}

/** As a machine that is suspended. */
async function freezeLasting({ members, random, counts }: World): Promise<void> {
  const { agent } = members.lasting
  agent.signal('SIGSTOP')
  counts.add('agent frozen')
  await Bun.sleep(random.int(200, 3000))
  agent.signal('SIGCONT')
}

async function askForRenewal({ members, random, counts }: World): Promise<void> {
  counts.add('renewals asked for')
  await random.pick([members.mortal, members.lasting]).home.run('renew')
}

/** The state directory is gone, as after a reinstallation: enrolled anew, and killed while it enrols. */
async function loseState(world: World): Promise<void> {
  const { members, random, counts } = world
  const { mortal } = members
  mortal.doomed = true
  mortal.agent.signal('SIGKILL')
  await mortal.agent.exited
  rmSync(mortal.home.path('state'), { recursive: true, force: true })
  counts.add('state lost')
  await giveToken(world, mortal, 'state lost').catch(() => undefined)
  mortal.agent = mortal.home.start()
  await Bun.sleep(random.int(20, 500))
  mortal.agent.signal('SIGKILL')
  await mortal.agent.exited
  counts.add('agent killed while it enrolled')
  mortal.agent = mortal.home.start()
  mortal.doomed = false
}

/** A healthy agent leaves it alone. */
async function layToken(world: World): Promise<void> {
  await giveToken(world, world.members.lasting, 'not needed').catch(() => undefined)
}
