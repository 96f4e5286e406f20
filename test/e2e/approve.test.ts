import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { statSync } from 'node:fs'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import { inStep, openHome, temporaryDirectory } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { readBindings, seenIn } from './support/bindings.ts'
import { expectedFor, landscapeFor } from './support/landscape.ts'
import type { LandscapeFile } from './support/landscape.ts'
import { startPlane } from './support/plane-process.ts'
import type { PlaneProcess } from './support/plane-process.ts'
import { ensureExecutable, onExecutable as run, SLOW } from './support/program.ts'

const full = landscapeFor(['one'], 12)

/** The landscape with the first so many of its applications. */
function first(count: number, of = full): LandscapeFile {
  return { ...of, applications: of.applications.slice(0, count) }
}

let plane: PlaneProcess
let home: AgentHome
let agent: Agent
/** What the plane serves, and what has to be there: they differ while deletions are held. */
let served = full

beforeAll(async () => {
  await ensureExecutable()
  plane = await startPlane({ directory: temporaryDirectory(), landscape: full })
  home = openHome({ ca: plane.ca })
  home.giveToken(await plane.token('one'))
  agent = home.start()
  await agent.until('it is in step', inStep)
}, SLOW)

afterAll(async () => {
  agent.signal('SIGKILL')
  await plane.close()
})

async function serve(next: LandscapeFile): Promise<void> {
  served = next
  await plane.serve(next)
}

function output(): unknown {
  return seenIn(home.path('out'))
}

async function heldHash(): Promise<string> {
  const status = await agent.until(
    'deletions are held',
    ({ targets }) => targets[0]?.held !== undefined,
  )
  return status.targets[0]!.held![0]!.hash
}

describe('what the Director no longer has', () => {
  run(
    'goes in the same pass when it is one application of twelve, with exactly its bindings',
    async () => {
      await serve(first(11))
      const synced = await home.run('sync', '--once')
      expect([synced.code, synced.err]).toEqual([0, 'agent: in step\n'])
      expect(output()).toEqual(expectedFor('one', served))
    },
    SLOW,
  )

  run(
    'and a rotated password rewrites its one binding: all other files stay the same files',
    async () => {
      const inodes = () =>
        Object.entries(readBindings(home.path('out'))).map(([name, { password }]) => [
          password === 'rotated',
          statSync(home.path('out/current/bindings', name, 'type')).ino,
        ])
      const before = new Set(inodes().map(([, inode]) => inode))
      const rotated = structuredClone(served)
      rotated.applications[3]!.bundles[0]!.auth!.basic.password = 'rotated'
      await serve(rotated)
      expect((await home.run('sync', '--once')).code).toBe(0)
      expect(output()).toEqual(expectedFor('one', served))
      expect(inodes().filter(([, inode]) => !before.has(inode))).toEqual([
        [true, expect.any(Number)],
      ])
    },
    SLOW,
  )

  run(
    'is kept when it is most of what there is: held under a hash, for a person',
    async () => {
      const before = output()
      await serve(first(3, served))
      const synced = await home.run('sync', '--once')
      expect(synced.code).toBe(3)
      const hash = await heldHash()
      expect(synced.err).toContain(`agent approve ${hash}`)
      expect(output()).toEqual(before)
      const planned = await home.run('plan')
      expect(planned.code).toBe(0)
      expect(planned.err).toContain(`8 of 11 applications of files would go`)
      expect(planned.err).toContain(`agent approve ${hash}`)
      expect(planned.out.match(/^ {2}held - /gm)).toHaveLength(3 * 8)
      const { targets } = JSON.parse((await home.run('plan', '--json')).out)
      expect(targets[0].held[0]).toMatchObject({ hash, kind: 'mass', applications: 8 })
    },
    SLOW,
  )

  run(
    'is still kept after the agent was killed and started again, under the same hash',
    async () => {
      const hash = await heldHash()
      agent.signal('SIGKILL')
      await agent.exited
      agent = home.start()
      expect(await heldHash()).toBe(hash)
      expect(Object.keys(output() as object)).toHaveLength(22)
    },
    SLOW,
  )

  run('stays when another hash is approved', async () => {
    const { code, err } = await home.run('approve', '000000000000')
    expect(code).toBe(3)
    expect(err).toMatch(
      /^agent: error: Cannot approve 000000000000: nothing is held under it \[approval_unknown\]/,
    )
    const odd = await home.run('approve', 'yes please')
    expect(odd.code).toBe(2)
    expect(Object.keys(output() as object)).toHaveLength(22)
  })

  run(
    'goes when exactly this hash is approved, and what is left is what is served',
    async () => {
      const { code, out } = await home.run('approve', await heldHash(), '--json')
      expect([code, JSON.parse(out).problems]).toEqual([0, []])
      expect(output()).toEqual(expectedFor('one', served))
      expect((await home.run('status', '--json')).out).not.toContain('"held"')
    },
    SLOW,
  )

  run(
    'cannot be approved twice',
    async () => {
      await serve(full)
      expect((await home.run('sync', '--once')).code).toBe(0)
      await serve(first(3))
      expect((await home.run('sync', '--once')).code).toBe(3)
      expect(Object.keys(output() as object)).toHaveLength(24)
      const status = await agent.until(
        'it is held again',
        ({ targets }) => targets[0]?.held !== undefined,
      )
      expect(status.problems).toMatchObject([{ code: 'deletions_held', turn: 'operator' }])
    },
    SLOW,
  )

  run(
    'is approved without a running agent too',
    async () => {
      const hash = await heldHash()
      await agent.stop()
      const { code, err } = await home.run('approve', hash)
      expect([code, err]).toEqual([0, 'agent: approved and done\n'])
      expect(output()).toEqual(expectedFor('one', served))
      agent = home.start()
      await agent.until('it is in step', inStep)
    },
    SLOW,
  )
})

describe('an answer that says less than there is', () => {
  const lies: [string, KnobSettings, string][] = [
    ['an empty page', { emptyPage: true }, 'deletions_waiting'],
    ['null credentials everywhere', { nullCredentials: true }, 'credentials_held'],
    [
      'an empty object',
      { hollow: { value: 'object', operation: 'applications' } },
      'answer_malformed',
    ],
    ['rows that move', { shift: true, totalCount: true, errorBesideData: 10 }, 'director_failed'],
  ]
  run.each(lies)(
    '%s deletes nothing',
    async (_name, knobs, code) => {
      const before = output()
      await plane.knobs(knobs)
      await home.run('sync', '--once')
      const status = await agent.until(`it says ${code}`, ({ problems }) => problems.length > 0)
      expect(status.problems.map((problem) => problem.code as string)).toEqual([code])
      expect(output()).toEqual(before)
      await plane.reset()
      await agent.until('it is in step again', inStep)
      expect(output()).toEqual(before)
    },
    SLOW,
  )
})
