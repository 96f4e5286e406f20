/**
 * The agent and its control plane as separate processes, for as long as it is asked for: kill -9 of either at random
 * moments, a landscape that changes, lost answers, frozen processes, a lost state directory. After each round everything
 * must be exactly as it has to be. `npm run soak` runs it for minutes or hours, kill.test.ts for some seconds.
 */
import { readFileSync } from 'node:fs'
import { chaos } from './support/chaos.ts'
import { usageOf } from './support/figures.ts'
import type { Usage } from './support/figures.ts'
import { openRandom } from './support/random.ts'
import { defects, settle } from './support/settle.ts'
import { openWorld } from './support/world.ts'
import type { Member, World } from './support/world.ts'

export const name = 'kill -9 of agent and control plane, with changes and faults in between'

export type SoakOptions = { signal: AbortSignal; seed: number; report: (line: string) => void }

/** Memory of an agent that was never killed may grow by this, in MB, after it has warmed up. */
const GROWTH = 16
const DESCRIPTORS = 4

export async function run({ signal, seed, report }: SoakOptions): Promise<void> {
  const world = await openWorld(openRandom(seed))
  const samples: Usage[] = []
  let round = 0
  try {
    await settle(world)
    while (!signal.aborted) {
      round += 1
      await chaos(world, round)
      await settle(world)
      samples.push(usageOf(world.members.lasting.agent.pid))
      if (round % 10 === 0) report(progress(world, round, samples))
    }
    report(progress(world, round, samples))
    for (const line of await conclude(world, samples)) report(line)
  } catch (thrown) {
    throw new Error(
      `in round ${round} of SOAK_SEED=${seed}; ${world.counts.text()}\n${String(thrown)}\n${tails(world)}`,
    )
  } finally {
    await world.close()
  }
}

function progress(world: World, round: number, samples: readonly Usage[]): string {
  const last = samples.at(-1)
  const usage =
    last === undefined ? '' : `; ${last.memory.toFixed(0)} MB, ${last.descriptors} descriptors`
  return `${round} rounds: ${world.counts.text()}${usage}`
}

/** What can be told only at the end: what readers have seen, what stands in the logs, what has grown. */
async function conclude(world: World, samples: readonly Usage[]): Promise<string[]> {
  const readers = await world.endReaders()
  const problems = readers.flatMap((reader) => reader.problems)
  if (problems.length > 0) throw new Error(`readers have seen: ${problems.join('; ')}`)
  const members = Object.values(world.members)
  for (const member of members) {
    const found = defects(member)
    if (found.length > 0)
      throw new Error(`${member.runtime} has a defect: ${found.slice(0, 5).join('; ')}`)
  }
  return [
    ...readers.map(
      ({ reads, swaps, torn }) =>
        `@sap/xsenv: ${reads} reads over ${swaps} swaps, ${torn} of those through current met one`,
    ),
    ...members.map((member) => `${member.runtime}: ${deeds(member)}`),
    ...growth(samples),
  ]
}

function deeds({ home }: Member): string {
  const log = home.log()
  const said = (text: string): number =>
    log.filter(({ message }) => message.startsWith(text)).length
  const written = log.filter(({ message }) => message.startsWith('files: ')).length
  return `enrolled ${said('enrolled as')}, renewed ${said('the certificate was renewed')}, ${written} generations`
}

/** From the first quarter, when everything has been used once, to the end. */
function growth(samples: readonly Usage[]): string[] {
  const warm = samples[Math.floor(samples.length / 4)]
  const last = samples.at(-1)
  if (warm === undefined || last === undefined) return []
  const text = (one: Usage): string =>
    `${one.memory.toFixed(1)} MB and ${one.descriptors} descriptors`
  const line = `never killed: from ${text(warm)} to ${text(last)}`
  const grown = last.memory - warm.memory > GROWTH
  if (grown || last.descriptors - warm.descriptors > DESCRIPTORS) throw new Error(line)
  return [line]
}

function tails({ members, directory }: World): string {
  const logs = Object.values(members).map(({ runtime, home }) => {
    const lines = readFileSync(home.path('log'), 'utf8').split('\n').slice(-12)
    return `${runtime}:\n${lines.join('\n')}`
  })
  return `${logs.join('\n')}\n(everything is in ${directory} until this process ends)`
}
