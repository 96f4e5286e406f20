import { afterAll, afterEach, beforeAll, describe, expect } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import type { Status } from '../../src/model/status.ts'
import { onlyMessage } from '../bad-input/support/message.ts'
import { inStep } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { onExecutable as run, SLOW, start, until } from './support/program.ts'
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

describe('what was asked for and is cut off by the end', () => {
  /** One request of the kind gets no answer for a minute. */
  const late = (operation: 'applications' | 'configuration') =>
    scene.plane.set({ delay: { value: 60_000, operation, count: 1 } })

  /** Until that request has come. */
  const waiting = () =>
    until('the request has come', async () => {
      const answer = await fetch(`${scene.plane.adminUrl}/knobs`)
      const { active } = (await answer.json()) as { active: Record<string, unknown> }
      return active['delay'] === undefined
    })

  run(
    'ends the command that waits for a running agent with 1, and says what was not done',
    async () => {
      const [agent, home] = await enrolled({ director: { interval: '1h' } })
      await late('applications')
      const command = home.run('sync', '--once')
      await waiting()
      expect((await agent.stop()).how).toBe(0)
      const ended = await command
      expect(ended.code).toBe(1)
      const { code, text } = onlyMessage(ended)
      expect(code).toBe('interrupted')
      expect(text).toBe(
        'Cannot finish what was asked for (sync): the agent was told to stop, during: director',
      )
    },
    SLOW,
  )

  run.each([
    ['sync', 'SIGTERM'],
    ['sync', 'SIGINT'],
    ['renew', 'SIGTERM'],
  ] as const)(
    'by the command itself: %s ends with 1 after %s, keeps the identity, and frees the lock',
    async (verb, signal) => {
      const [agent, home] = await enrolled()
      const { identity } = (await agent.status())!
      await agent.stop()
      await late(verb === 'sync' ? 'applications' : 'configuration')
      const log = home.path('command.log')
      const args = [verb, '--config', home.path('agent.yaml')]
      const command = start(args, { cwd: home.directory, log })
      await waiting()
      command.signal(signal)
      expect(await command.exited).toBe(1)
      const { code, text } = onlyMessage({ code: 1, out: '', err: readFileSync(log, 'utf8') })
      expect(code).toBe('interrupted')
      expect(text).toStartWith(`Cannot finish what was asked for (${verb}): the agent was told to`)
      await scene.plane.reset()
      expect((await home.run('sync', '--once')).code).toBe(0)
      const shown = JSON.parse((await home.run('status', '--json')).out) as Status
      expect(shown.identity?.fingerprint).toBe(identity!.fingerprint)
    },
    SLOW,
  )

  run(
    'does not say of a connect that it is connected',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('one'))
      await late('configuration')
      const log = home.path('command.log')
      const args = ['connect', '--config', home.path('agent.yaml')]
      const command = start(args, { cwd: home.directory, log })
      await waiting()
      command.signal('SIGTERM')
      expect(await command.exited).toBe(1)
      expect(onlyMessage({ code: 1, out: '', err: readFileSync(log, 'utf8') }).code).toBe(
        'interrupted',
      )
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
