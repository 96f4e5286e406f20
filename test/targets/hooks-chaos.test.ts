/** Root's hooks over many rotations, where either side is killed at random between any two of its steps. */
import { afterAll, expect, test } from 'bun:test'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../src/runtime/clock.ts'
import { writeAtomic } from '../../src/runtime/files.ts'
import { holdDirectory } from '../../src/runtime/held-directory.ts'
import { runRequests } from '../../src/targets/hook-helper.ts'
import { openRootHooks } from '../../src/targets/hooks-by-root.ts'
import { hook } from './hooks.contract.ts'

const ROTATIONS = 300

const base = fs.mkdtempSync(join(fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'agent-chaos-'))
afterAll(() => fs.rmSync(base, { recursive: true }))
const path = (name: string): string => join(base, name)
fs.mkdirSync(path('outcomes'))

class Killed extends Error {}

let seed = 42
/** mulberry32: the same run each time. */
function chance(of: number): boolean {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 < of
}

/** Dies before a step with this probability, and takes no step after that. */
function mortal(of: number): () => void {
  let dead = false
  return () => {
    dead ||= chance(of)
    if (dead) throw new Killed()
  }
}

const { signal } = new AbortController()
/** Names that were told to each command that ended well. */
const told = new Map<string, string[]>()
let [clockNow, kills] = [0, 0]

/** Root's side, once, as systemd starts it. */
async function help(): Promise<void> {
  const requests = holdDirectory(path('hooks'))
  if (requests === undefined) return
  const step = mortal(0.1)
  const before =
    <Args extends unknown[], Result>(work: (...args: Args) => Result) =>
    (...args: Args): Result => {
      step()
      return work(...args)
    }
  try {
    await runRequests(
      {
        requests: {
          names: before(() => requests.names()),
          read: before((name, limit) => requests.read(name, limit)),
          remove: before((name, file) => requests.remove(name, file)),
          close: () => undefined,
        },
        outcomes: path('outcomes'),
        hooksOf: () => hooks,
        run: before(([program = ''], { env }) => {
          const names = (env?.['RUNTIME_AGENT_CHANGED'] ?? '').split(' ')
          const code = chance(0.1) ? 1 : 0
          if (code === 0) told.set(program, [...(told.get(program) ?? []), ...names])
          return Promise.resolve({ code, output: '' })
        }),
        write: before((file, text) => writeAtomic(file, text)),
        say: () => undefined,
      },
      signal,
    )
  } catch (thrown) {
    if (!(thrown instanceof Killed)) throw thrown
    kills += 1
  } finally {
    requests.close()
  }
}

const hooks = [hook('orders', ['orders-*']), hook('other', ['other-*'])]

/** The agent's side, started anew. */
function start() {
  const step = mortal(0.05)
  const clock: Clock = {
    now: () => (clockNow += 1),
    async sleep() {
      step()
      if (!chance(0.2)) await help()
    },
  }
  return openRootHooks({
    journal: path('journal'),
    target: 'files',
    hooks,
    requests: path('hooks'),
    outcomes: path('outcomes'),
    patience: 1000,
    clock,
  })
}

test(`of ${ROTATIONS} rotations no command is lost, and none runs for what did not change`, async () => {
  let agent = start()
  const owed: string[] = []
  for (let generation = 1; generation <= ROTATIONS; generation += 1) {
    const name = chance(0.8) ? `orders-${generation}` : `neither-${generation}`
    if (name.startsWith('orders')) owed.push(name)
    await agent.prepare({ current: generation - 1, next: generation, names: [name] })
    if (chance(0.2)) agent = start()
    // Several rotations may come before the loop gets there again.
    if (chance(0.3) && generation < ROTATIONS) continue
    for (let done = false; !done;) {
      try {
        done = (await agent.run(generation, signal)).length === 0
      } catch (thrown) {
        if (!(thrown instanceof Killed)) throw thrown
        kills += 1
        agent = start()
      }
      // The loop comes back after a while; systemd has seen what is asked for meanwhile.
      await help()
    }
    expect(told.get('orders') ?? []).toEqual(expect.arrayContaining(owed.splice(0)))
    told.delete('orders')
  }
  expect(fs.existsSync(path('journal'))).toBe(false)
  expect(fs.readdirSync(path('hooks'))).toEqual([])
  expect([...told.keys()]).toEqual([])
  expect(kills).toBeGreaterThan(ROTATIONS / 10)
}, 600_000)
