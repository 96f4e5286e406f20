import { afterAll, afterEach, beforeAll, describe, expect } from 'bun:test'
import { existsSync } from 'node:fs'
import { inStep } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { onExecutable as run, SLOW, until } from './support/program.ts'
import { openScene } from '../bad-input/support/scene.ts'
import type { Scene } from '../bad-input/support/scene.ts'

let scene: Scene

beforeAll(async () => {
  scene = await openScene(['one'])
}, SLOW)

afterEach(() => scene.plane.reset())
afterAll(() => scene.close())

/** Ended by SIGTERM: with 0, soon, and with lock and socket free for the next one. */
async function ends(agent: Agent, home: AgentHome): Promise<void> {
  const { how, after } = await agent.stop()
  expect(how).toBe(0)
  expect(after).toBeLessThan(5000)
  expect(existsSync(home.path('state/agent.sock'))).toBe(false)
  // Whoever acts without an agent takes the lock; a pause changes nothing else, and asks nobody.
  expect(await home.run('pause')).toEqual({ code: 0, out: '', err: 'agent: paused\n' })
}

async function enrolled(change: Record<string, unknown> = {}): Promise<[Agent, AgentHome]> {
  const home = scene.home()
  home.configure({ connector: { token: { file: 'token' }, ca: { file: scene.ca } }, ...change })
  home.giveToken(await scene.token('one'))
  const agent = home.start()
  await agent.until('it is in step', inStep)
  return [agent, home]
}

async function asked(operation: string): Promise<void> {
  const before = scene.plane.events().length
  await until(`${operation} is asked for`, () =>
    scene.plane.events(before).some(({ operations }) => operations.includes(operation as never)),
  )
}

describe('SIGTERM ends the agent within five seconds with 0', () => {
  run(
    'while it waits for a token',
    async () => {
      const home = scene.home()
      const agent = home.start()
      await agent.until('it waits', ({ state }) => state === 'idle')
      await ends(agent, home)
    },
    SLOW,
  )

  run(
    'while the Connector does not answer, and the next start goes on',
    async () => {
      await scene.plane.set({ delay: { value: 60_000, operation: 'configuration' } })
      const home = scene.home()
      home.giveToken(await scene.token('one'))
      const agent = home.start()
      await agent.until('it connects', ({ state }) => state === 'connect')
      await ends(agent, home)
    },
    SLOW,
  )

  run(
    'while the Director does not answer',
    async () => {
      const [agent, home] = await enrolled()
      await scene.plane.set({ delay: { value: 60_000, operation: 'applications' } })
      await agent.until('it asks the Director', ({ state }) => state === 'sync')
      await ends(agent, home)
    },
    SLOW,
  )

  run(
    'while a body trickles in',
    async () => {
      const [agent, home] = await enrolled()
      await scene.plane.set({ trickle: { value: 500, operation: 'applications' } })
      await asked('applications')
      await ends(agent, home)
    },
    SLOW,
  )

  run(
    'while a command of onChange runs, which ends too',
    async () => {
      const onChange = [
        { command: ['sh', '-c', 'echo $$ > hook.pid; exec sleep 60'], timeout: '60s' },
      ]
      const home = scene.home()
      home.configure({
        connector: { token: { file: 'token' }, ca: { file: scene.ca } },
        targets: [{ kind: 'files', directory: 'out', onChange }],
      })
      home.giveToken(await scene.token('one'))
      const agent = home.start()
      const hook = await until('the command runs', async () => {
        const text = await Bun.file(home.path('hook.pid'))
          .text()
          .catch(() => '')
        return text.endsWith('\n') ? text.trim() : undefined
      })
      await ends(agent, home)
      expect(existsSync(`/proc/${hook}`)).toBe(false)
    },
    SLOW,
  )
})

run(
  'two signals end it at once, as a person who presses Ctrl-C twice wants',
  async () => {
    const [agent] = await enrolled()
    await scene.plane.set({ delay: { value: 60_000, operation: 'applications' } })
    await agent.until('it asks the Director', ({ state }) => state === 'sync')
    agent.signal('SIGINT')
    agent.signal('SIGINT')
    expect(['0', '130']).toContain(String(await agent.exited))
  },
  SLOW,
)
