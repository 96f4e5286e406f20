/**
 * The service on a booted Debian, as docs/systemd.md makes it, for as long as it is asked for: killed at random moments,
 * restarted, reloaded, its machine rebooted, while credentials change and bindings are read. It must always be back, as
 * who it was, and no reader may ever see a part of a binding. systemd.test.ts runs it for some seconds.
 */
import { expectedFor } from '../e2e/support/landscape.ts'
import { seenIn } from '../e2e/support/bindings.ts'
import { until } from '../e2e/support/program.ts'
import { canBoot } from '../nspawn/support/debian.ts'
import { IN_STEP, OUTPUT, RUNTIME, serviceInStep, UNIT } from '../nspawn/support/host.ts'
import type { Host } from '../nspawn/support/host.ts'
import type { SoakOptions } from './kill.ts'
import { openRandom } from './support/random.ts'
import type { Random } from './support/random.ts'
import { startReader } from './support/world.ts'
import type { Reader } from './support/world.ts'

export const name =
  'the service of systemd, killed, restarted, reloaded and rebooted at random moments'

/** Milliseconds. A restart takes one second, what was asked when it ended may be late by a back-off. */
const LIMIT = 60_000

type World = { host: Host; random: Random; reader: Reader; reads: number; turn: number }

type Deed = (world: World) => Promise<void>

const kill: Deed = async ({ host }) => {
  const { MainPID } = await host.show(UNIT, 'MainPID')
  if (MainPID !== '0') await host.run(`kill -9 ${MainPID}`)
}

const rotate: Deed = async (world) => {
  const { host, random } = world
  world.turn += 1
  await host.rotate(world.turn, random.int(0, host.landscape.applications.length - 1))
}

const DEEDS: Record<string, Deed> = {
  kill,
  'kill of a new process': async (world) => {
    await kill(world)
    await kill(world)
    // While it begins: the time from its start to ready is some 80 ms.
    await Bun.sleep(1000 + world.random.int(0, 150))
    await kill(world)
  },
  restart: async ({ host }) => {
    await host.must(`systemctl restart ${UNIT}`)
  },
  reload: async ({ host }) => {
    await host.run(`systemctl reload ${UNIT}`)
  },
  'bad agent.yaml': async ({ host }) => {
    host.configure({ targets: 7 })
    await host.run(`systemctl reload ${UNIT}`)
    host.configure()
    await host.run(`systemctl reload ${UNIT}`)
  },
  'lost answers': async ({ host, random }) => {
    await host.plane.set({ delay: { value: random.int(100, 3000), operation: 'applications' } })
    await Bun.sleep(random.int(0, 2000))
    await host.plane.reset()
  },
  reboot: async (world) => {
    await endReader(world)
    await world.host.reboot()
    world.reader = startReader(world.host.path(OUTPUT))
  },
}

/** The first is what this is about, the last takes longest. */
const OFTEN = ['kill', 'kill', 'kill', 'kill of a new process', ...Object.keys(DEEDS).slice(2, -1)]

/** Where no Debian can be booted it says so, and does nothing. */
export async function run({ signal, seed, report }: SoakOptions): Promise<void> {
  if (!canBoot) {
    report('left out: it needs root, debootstrap and systemd-nspawn')
    return
  }
  const host = await serviceInStep({}, 5)
  const random = openRandom(seed)
  const world = { host, random, reader: startReader(host.path(OUTPUT)), reads: 0, turn: 0 }
  const identity = await host.identity()
  const counts: Record<string, number> = {}
  let round = 0
  try {
    do {
      round += 1
      const deed = round % 25 === 0 ? 'reboot' : random.pick(OFTEN)
      counts[deed] = (counts[deed] ?? 0) + 1
      await rotate(world)
      await Bun.sleep(random.int(0, 1500))
      await DEEDS[deed]!(world)
      if (random.chance(0.5)) await rotate(world)
      await settle(world, identity)
      if (round % 25 === 0) report(`${round} rounds: ${JSON.stringify(counts)}`)
    } while (!signal.aborted)
    await endReader(world)
    report(`${round} rounds: ${JSON.stringify(counts)}; ${world.reads} reads, all whole`)
  } catch (thrown) {
    const { out } = await host.run(`journalctl --no-pager -n 40 -u ${UNIT}`)
    throw new Error(`in round ${round} of SOAK_SEED=${seed}: ${String(thrown)}\n${out}`)
  } finally {
    world.reader.kill()
    await host.close()
  }
}

/** It is back, in step with what is there now, as who it was, and has spent no further token. */
async function settle({ host }: World, identity: string): Promise<void> {
  const expected = expectedFor(RUNTIME, host.landscape)
  await host.status(IN_STEP, LIMIT)
  const look = (): boolean => Bun.deepEquals(seenIn(host.path(OUTPUT)), expected)
  await until('the bindings are those of now', look, LIMIT)
  if ((await host.identity()) !== identity) throw new Error('it has another identity')
  const signings = await host.signings()
  if (signings !== 1) throw new Error(`${signings} certificates were signed`)
}

async function endReader(world: World): Promise<void> {
  const { problems, reads } = await world.reader.end()
  if (problems.length > 0) throw new Error(`a reader has seen: ${problems.join('; ')}`)
  world.reads += reads
}
