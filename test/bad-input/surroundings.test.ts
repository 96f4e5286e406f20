import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { inStep } from '../e2e/support/agent-home.ts'
import type { AgentHome } from '../e2e/support/agent-home.ts'
import { seenIn } from '../e2e/support/bindings.ts'
import { finish, onExecutable as run, SLOW } from '../e2e/support/program.ts'
import { fakeWallClock, withClock } from './support/clock.ts'
import { openScene } from './support/scene.ts'
import type { Scene } from './support/scene.ts'

const YEARS = 365 * 24 * 3600

let scene: Scene

beforeAll(async () => {
  scene = await openScene(['odd', 'clock'])
}, SLOW)

afterAll(() => scene.close())

async function homeOf(runtime: string): Promise<AgentHome> {
  const home = scene.home()
  home.giveToken(await scene.token(runtime))
  return home
}

const sh = (script: string): string[] => ['sh', '-c', script, 'sh']

describe('an agent lives its usual life', () => {
  run.concurrent.each([
    ['without any variable', ['env', '-i'], {}],
    ['in a time zone that does not exist', [], { TZ: 'Nonexistent/Zone' }],
    ['in a time zone that is another file', [], { TZ: ':/etc/passwd' }],
    ['in a language that does not exist', [], { LANG: 'xx_YY.UTF-99', LC_ALL: 'xx_YY.UTF-99' }],
    ['where i has no dot', [], { LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8' }],
    ['with 1,024 open files', sh('ulimit -n 1024; exec "$@"'), {}],
    ['with 32 open files', sh('ulimit -n 32; exec "$@"'), {}],
    ['with a gigabyte of addresses', sh('ulimit -v 1000000; exec "$@"'), {}],
    ['without standard input and outputs', sh('exec "$@" <&- >&- 2>&-'), {}],
    ['while its log goes to a full disk', sh('exec "$@" >/dev/full 2>&1'), {}],
    ['while nobody reads its log any more', ['bash', '-c', 'exec "$@" > >(true) 2>&1', 'bash'], {}],
  ])(
    '%s',
    async (_what, wrap, env: Record<string, string>) => {
      const home = await homeOf('odd')
      const agent = home.start({ wrap, env })
      await scene.healed(agent, home, 'odd')
      expect((await home.run('renew')).code).toBe(0)
      expect((await agent.stop()).how).toBe(0)
      // What has no standard output must not write its log into the next file that it opens.
      for (const text of texts(home.path('state'))) expect(text).not.toContain('the agent starts')
      const args = ['sync', '--once', '--config', home.path('agent.yaml')]
      expect((await finish(args, { cwd: home.directory, wrap, env })).code).toBe(0)
    },
    SLOW,
  )
})

function texts(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    .map((path) => readFileSync(path, 'latin1'))
}

describe('a clock that is decades off', () => {
  withClock.each([
    ['in 1970', () => -Math.floor(Date.now() / 1000)],
    ['in 2090', () => 64 * YEARS],
  ])(
    '%s at start costs neither identity nor bindings, is told, and is over when it is set right',
    async (_what, offset) => {
      const home = await homeOf('clock')
      const first = home.start()
      await first.until('it is in step', inStep)
      await first.stop()
      const bindings = seenIn(home.path('out'))
      const clock = fakeWallClock(offset())
      const agent = home.start({ env: clock.env })
      const wrong = await agent.until(
        'it has come to rest with a problem',
        ({ problems, state }) => problems.length > 0 && state === 'idle',
      )
      expect(JSON.stringify(wrong.problems)).toMatch(/clock|not valid now|expired/)
      await Bun.sleep(1000)
      expect(seenIn(home.path('out'))).toEqual(bindings)
      clock.set(0)
      const healed = await agent.until('it is in step', inStep, 60_000)
      // The only token was spent by the first start: it may have renewed, never enrolled.
      expect(healed.token).toBe('spent')
      expect(seenIn(home.path('out'))).toEqual(bindings)
      await agent.stop()
    },
    2 * SLOW,
  )
})
