import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { createServer } from 'node:net'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { freePort } from '../e2e/support/agent-home.ts'
import { seenIn } from '../e2e/support/bindings.ts'
import { SLOW, onExecutable as run, until } from '../e2e/support/program.ts'
import { openScene, startWrong } from './support/scene.ts'
import type { Scene } from './support/scene.ts'

const NAMES = [
  'foreign',
  'file',
  'below',
  'open',
  'another',
  'damaged',
  'port',
  'socket',
  'identity',
  'dead',
  'group',
]

let scene: Scene

beforeAll(async () => {
  scene = await openScene(NAMES)
}, SLOW)

afterAll(() => scene.close())

describe('an output directory that is not ours', () => {
  run.concurrent(
    'is left as it is, named, and used once it is empty',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('foreign'))
      mkdirSync(home.path('out'))
      writeFileSync(home.path('out/thesis.txt'), 'ten years of work')
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'output_foreign', turn: 'operator' })
      expect(problem.message).toContain(home.path('out'))
      expect(readdirSync(home.path('out'))).toEqual(['thesis.txt'])
      expect(readFileSync(home.path('out/thesis.txt'), 'utf8')).toBe('ten years of work')
      rmSync(home.path('out/thesis.txt'))
      expect((await home.run('sync', '--once')).code).toBe(0)
      await scene.healed(agent, home, 'foreign')
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'but a file is left as it is',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('file'))
      writeFileSync(home.path('out'), 'precious')
      const { agent, problem } = await startWrong(home)
      expect(problem.turn).toBe('operator')
      expect(problem.message).toContain(home.path('out'))
      expect(readFileSync(home.path('out'), 'utf8')).toBe('precious')
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'but of another agent is not taken over by us, nor ours by it',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('another'))
      const first = home.start()
      await scene.healed(first, home, 'another')
      await first.stop()
      const before = readdirSync(home.path('out'))
      home.configure({
        name: 'second',
        connector: { token: { file: 'token' }, ca: { file: scene.ca } },
      })
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'output_foreign', turn: 'operator' })
      expect(readdirSync(home.path('out'))).toEqual(before)
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'by a symlink that leads below the state directory, is refused',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('below'))
      mkdirSync(home.path('state/inner'), { recursive: true, mode: 0o700 })
      symlinkSync(home.path('state/inner'), home.path('out'))
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'output_unsafe', turn: 'operator' })
      expect(readdirSync(home.path('state/inner'))).toEqual([])
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'alone, as everybody may write to it, is refused',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('open'))
      mkdirSync(home.path('out'))
      chmodSync(home.path('out'), 0o777)
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'output_unsafe', turn: 'operator' })
      expect(readdirSync(home.path('out'))).toEqual([])
      chmodSync(home.path('out'), 0o755)
      expect((await home.run('sync', '--once')).code).toBe(0)
      await scene.healed(agent, home, 'open')
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'as its manifest is damaged, keeps all that is there until a person moves it away',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('damaged'))
      const first = home.start()
      await scene.healed(first, home, 'damaged')
      await first.stop()
      writeFileSync(home.path('out/current/MANIFEST.json'), '{"cut')
      const before = seenIn(home.path('out'))
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'output_damaged', turn: 'operator' })
      expect(seenIn(home.path('out'))).toEqual(before)
      renameSync(home.path('out'), home.path('moved'))
      expect((await home.run('sync', '--once')).code).toBe(0)
      await scene.healed(agent, home, 'damaged')
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'by a group that does not exist, is not made at all',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('group'))
      home.configure({
        connector: { token: { file: 'token' }, ca: { file: scene.ca } },
        targets: [{ kind: 'files', directory: 'out', group: 'no-such-group' }],
      })
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'group_unknown', turn: 'operator' })
      expect(problem.message).toContain('no-such-group')
      expect(existsSync(home.path('out'))).toBe(false)
      await agent.stop()
    },
    SLOW,
  )
})

describe('an address that is taken', () => {
  run.concurrent(
    'keeps no agent from its work: it is named in the status, and opened once it is free',
    async () => {
      const port = await freePort()
      const taken = createServer()
      await new Promise<void>((done) => taken.listen(port, '127.0.0.1', done))
      const home = scene.home()
      home.giveToken(await scene.token('port'))
      const connector = { token: { file: 'token' }, ca: { file: scene.ca } }
      home.configure({ connector, status: { listen: `127.0.0.1:${port}` } })
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'listen_failed', turn: 'operator' })
      expect(problem.message).toContain(String(port))
      await agent.until('the bindings are there', ({ targets }) => targets[0]?.objects === 6)
      expect(home.log().filter(({ code }) => code === 'listen_failed')).toHaveLength(1)
      await new Promise((done) => taken.close(done))
      await scene.healed(agent, home, 'port')
      expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'by a socket that a killed agent left is ours',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('dead'))
      const killed = home.start()
      await scene.healed(killed, home, 'dead')
      await until('its status is on disk', () => existsSync(home.path('state/status.json')))
      killed.signal('SIGKILL')
      await killed.exited
      expect(existsSync(home.path('state/agent.sock'))).toBe(true)
      const left = await home.run('status')
      expect([left.code, left.err]).toEqual([0, ''])
      expect(left.out).toContain('no agent runs')
      const agent = home.start()
      await scene.healed(agent, home, 'dead')
      expect((await home.run('sync', '--once')).err).toBe('agent: in step\n')
      await agent.stop()
    },
    SLOW,
  )
})

describe('an identity that cannot be read', () => {
  run.concurrent(
    'is named, kept as it is, and replaced by a new token, while the bindings stay',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('identity'))
      const first = home.start()
      await scene.healed(first, home, 'identity')
      await first.stop()
      for (const name of ['key.pem', 'chain.pem'])
        writeFileSync(home.path('state/identity/current', name), 'damaged')
      const agent = home.start()
      const { problems } = await agent.until('it says so', (seen) => seen.problems.length > 0)
      expect(problems[0]).toMatchObject({ code: 'identity_unreadable', turn: 'operator' })
      expect(readFileSync(home.path('state/identity/current/key.pem'), 'utf8')).toBe('damaged')
      home.giveToken(await scene.token('identity'))
      await scene.healed(agent, home, 'identity', 9000)
      await agent.stop()
    },
    SLOW,
  )
})
