import { afterAll, afterEach, beforeAll, describe, expect } from 'bun:test'
import { closeSync, openSync, readdirSync, readlinkSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { inStep } from '../e2e/support/agent-home.ts'
import type { Agent, AgentHome } from '../e2e/support/agent-home.ts'
import { seenIn } from '../e2e/support/bindings.ts'
import { SLOW } from '../e2e/support/program.ts'
import { onlyMessage } from './support/message.ts'
import { smallDisk, withSmallDisk as run } from './support/privilege.ts'
import type { SmallDisk } from './support/privilege.ts'
import { onlyProblem, openScene } from './support/scene.ts'
import type { Scene } from './support/scene.ts'

let scene: Scene
let disk: SmallDisk | undefined
let agent: Agent | undefined

beforeAll(async () => {
  scene = await openScene(['fresh', 'full', 'changed', 'output', 'readonly', 'again'])
}, SLOW)

afterEach(async () => {
  if (agent?.isRunning()) await agent.stop()
  disk?.close()
})

afterAll(() => scene.close())

/** A home whose state or output is on a disk of 512 KiB. */
function homeOn(part: 'state' | 'out'): AgentHome {
  const home = scene.home()
  disk = smallDisk(home.path('disk'), 512)
  home.configure({
    connector: { token: { file: 'token' }, ca: { file: scene.ca } },
    ...(part === 'state' ? { identity: { directory: 'disk/state' } } : {}),
    targets: [{ kind: 'files', directory: part === 'out' ? 'disk/out' : 'out' }],
  })
  return home
}

function ballast(home: AgentHome): string {
  return home.path('disk/ballast')
}

/** Not one more byte fits. */
function fill(home: AgentHome): void {
  const file = openSync(ballast(home), 'a')
  for (const block of [65_536, 4096, 1]) {
    try {
      for (;;) writeSync(file, new Uint8Array(block))
    } catch {
      // Smaller ones may still fit.
    }
  }
  closeSync(file)
}

function free(home: AgentHome): void {
  rmSync(ballast(home))
}

/** Everything below a directory that is neither a generation nor has its final name. */
function leftovers(directory: string): string[] {
  return readdirSync(directory, { recursive: true })
    .map(String)
    .filter((name) => /\.tmp$|\.(new|old)-|probe|(^|\/)\.[0-9a-f]{6,}/.test(name))
}

function started(home: AgentHome, state?: string): Agent {
  agent = home.start({}, state)
  return agent
}

async function enrolled(home: AgentHome, runtime: string, state?: string): Promise<Agent> {
  home.giveToken(await scene.token(runtime))
  const fresh = started(home, state)
  await fresh.until('it is in step', inStep)
  return fresh
}

function sent(operation: string): number {
  return scene.plane.events().filter(({ operations }) => operations.includes(operation as never))
    .length
}

describe('a state directory on a full disk', () => {
  run(
    'ends a first start with 1, in one message',
    async () => {
      const home = homeOn('state')
      fill(home)
      const ended = await home.run('run')
      expect([ended.code, onlyMessage(ended)]).toMatchObject([1, { code: 'state_unusable' }])
      expect(onlyMessage(ended).text).toContain('full')
    },
    SLOW,
  )

  run(
    'costs no token: it is not even sent before it is known that its answer can be kept',
    async () => {
      const home = homeOn('state')
      const fresh = started(home, 'disk/state')
      await fresh.until('it waits', ({ state }) => state === 'idle')
      fill(home)
      const token = await scene.token('full')
      home.giveToken(token)
      await fresh.until(
        'it has seen the token',
        ({ problems }) => problems[0]?.code === 'disk_full',
      )
      const problem = await onlyProblem(fresh, home)
      expect(problem).toMatchObject({ code: 'disk_full', turn: 'operator' })
      expect(problem.message).toContain(home.path('disk/state'))
      expect([sent('configuration'), sent('sign')]).toEqual([0, 0])
      expect(leftovers(home.path('disk'))).toEqual([])
      free(home)
      // With a changed token it does not wait for its next try; the first one is still good.
      home.giveToken(await scene.token('full'))
      await scene.healed(fresh, home, 'full', 9000)
      const other = scene.home()
      other.giveToken(token)
      const second = other.start()
      await scene.healed(second, other, 'full')
      await second.stop()
    },
    SLOW,
  )

  run(
    'keeps the identity when a renewal cannot be stored, and renews when there is space',
    async () => {
      const home = homeOn('state')
      const running = await enrolled(home, 'full', 'disk/state')
      const { identity } = (await running.status())!
      const current = readlinkSync(home.path('disk/state/identity/current'))
      fill(home)
      const refused = await home.run('renew')
      expect([refused.code, onlyMessage(refused)]).toMatchObject([3, { code: 'disk_full' }])
      expect(readlinkSync(home.path('disk/state/identity/current'))).toBe(current)
      expect(leftovers(home.path('disk'))).toEqual([])
      // What is there is enough to start again, and to go on.
      expect((await running.stop()).how).toBe(0)
      const again = started(home, 'disk/state')
      const status = await again.until('it is in step', inStep)
      expect(status.identity!.fingerprint).toBe(identity!.fingerprint)
      free(home)
      expect((await home.run('renew')).code).toBe(0)
      expect((await again.status())!.identity!.fingerprint).not.toBe(identity!.fingerprint)
    },
    SLOW,
  )

  run(
    'keeps what is published when a change cannot be stored, and takes it over when there is space',
    async () => {
      const home = homeOn('state')
      const running = await enrolled(home, 'changed', 'disk/state')
      const before = seenIn(home.path('out'))
      fill(home)
      change('changed', 'a password that is new')
      expect((await home.run('sync', '--once')).code).toBe(3)
      expect(await onlyProblem(running, home)).toMatchObject({ code: 'disk_full' })
      expect(seenIn(home.path('out'))).toEqual(before)
      free(home)
      // By itself: nobody tells it. What is fetched again comes a moment before it is published.
      const isNew = (): boolean =>
        JSON.stringify(seenIn(home.path('out'))).includes('a password that is new')
      await running.until('it is in step anew', (status) => isNew() && inStep(status), 45_000)
      expect(leftovers(home.path('disk'))).toEqual([])
    },
    SLOW,
  )
})

describe('an output directory on a full disk', () => {
  run(
    'shows readers the last whole generation, and the next one when there is space',
    async () => {
      const home = homeOn('out')
      const running = await enrolled(home, 'output')
      const out = home.path('disk/out')
      const before = { seen: seenIn(out), current: readlinkSync(join(out, 'current')) }
      fill(home)
      change('output', 'x'.repeat(20_000))
      expect((await home.run('sync', '--once')).code).toBe(3)
      const problem = await onlyProblem(running, home)
      expect(problem).toMatchObject({ code: 'disk_full', turn: 'operator' })
      expect(problem.message).toContain(out)
      expect({ seen: seenIn(out), current: readlinkSync(join(out, 'current')) }).toEqual(before)
      expect(leftovers(home.path('disk'))).toEqual([])
      free(home)
      expect((await home.run('sync', '--once')).code).toBe(0)
      expect(JSON.stringify(seenIn(out))).toContain('x'.repeat(20_000))
      await running.until('it is in step', inStep)
    },
    SLOW,
  )
})

describe('a disk that is remounted for reading only', () => {
  run(
    'is named, shows readers what was there, and takes the change when it is writable again',
    async () => {
      const home = homeOn('out')
      const running = await enrolled(home, 'readonly')
      const out = home.path('disk/out')
      const before = seenIn(out)
      disk!.remountReadOnly(true)
      change('readonly', 'a password that is new')
      expect((await home.run('sync', '--once')).code).toBe(3)
      const problem = await onlyProblem(running, home)
      expect(problem).toMatchObject({ code: 'disk_failed', turn: 'operator' })
      expect(problem.message).toContain('EROFS')
      expect(seenIn(out)).toEqual(before)
      disk!.remountReadOnly(false)
      expect((await home.run('sync', '--once')).code).toBe(0)
      expect(JSON.stringify(seenIn(out))).toContain('a password that is new')
    },
    SLOW,
  )

  run(
    'ends a start with 1 when the lock cannot be taken there',
    async () => {
      const home = homeOn('state')
      disk!.remountReadOnly(true)
      const ended = await home.run('run')
      expect([ended.code, onlyMessage(ended)]).toMatchObject([1, { code: 'state_unusable' }])
      expect(onlyMessage(ended).text).toContain('EROFS')
    },
    SLOW,
  )
})

/** Gives the first bundle of this runtime another password. */
function change(runtime: string, password: string): void {
  scene.plane.edit((draft) => {
    const application = draft.applications.find(({ formations }) => formations.includes(runtime))
    const credential = application?.bundles[0]?.auth?.credential
    if (credential?.type === 'basic') credential.password = password
    return draft
  })
}
