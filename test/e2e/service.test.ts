/** As systemd runs it: notified over a real socket, reloaded by SIGHUP. */
import { afterAll, afterEach, beforeAll, describe, expect } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { openDatagrams } from '../runtime/datagrams.ts'
import type { Datagrams } from '../runtime/datagrams.ts'
import { openScene } from '../bad-input/support/scene.ts'
import type { Scene } from '../bad-input/support/scene.ts'
import { skipUnless } from '../skip.ts'
import { inStep } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { onExecutable, SLOW, until } from './support/program.ts'

const run =
  process.platform === 'linux'
    ? onExecutable
    : skipUnless(false, {
        why: 'only Linux has systemd',
        how: 'run the tests on Linux',
        allowedInCi: true,
      })

let scene: Scene
let manager: Datagrams | undefined

beforeAll(async () => {
  scene = await openScene(['one'])
}, SLOW)

afterEach(async () => {
  manager?.close()
  manager = undefined
  await scene.plane.reset()
})
afterAll(() => scene.close())

type Service = {
  home: AgentHome
  agent: Agent
  /** All lines that the service manager heard so far. */
  heard: () => string[]
  configure: (change?: Record<string, unknown>) => void
}

function service(): Service {
  const home = scene.home()
  const configure = (change: Record<string, unknown> = {}): void =>
    home.configure({
      connector: { token: { file: 'token' }, ca: { file: scene.ca } },
      director: { interval: '1h' },
      ...change,
    })
  configure()
  const socket = openDatagrams(home.path('notify'))
  manager = socket
  const lines: string[] = []
  const env = { NOTIFY_SOCKET: home.path('notify'), WATCHDOG_USEC: '4000000' }
  return {
    home,
    agent: home.start({ env }),
    configure,
    heard() {
      lines.push(...socket.read().flatMap((message) => message.split('\n')))
      return lines
    },
  }
}

const hears = (one: Service, line: RegExp): Promise<string> =>
  until(`it says ${String(line)}`, () => one.heard().find((said) => line.test(said)))

const count = (lines: string[], wanted: string): number =>
  lines.filter((line) => line === wanted).length

async function enrolled(): Promise<Service> {
  const one = service()
  one.home.giveToken(await scene.token('one'))
  await one.agent.until('it is in step', inStep)
  return one
}

const certificate = (home: AgentHome): string =>
  readFileSync(home.path('state/identity/current/chain.pem'), 'utf8')

const signings = (): number =>
  scene.plane.events().filter(({ operations }) => operations.includes('sign')).length

describe('a service of systemd', () => {
  run(
    'is ready without a token, tells what is missing and then what there is, is watched, and says when it ends',
    async () => {
      const one = service()
      await hears(one, /^READY=1$/)
      // Whoever waits for READY can ask at once.
      expect((await one.home.run('status')).code).toBe(0)
      await hears(one, /^STATUS=Idle: waiting for a one-time token; problem: /)
      one.home.giveToken(await scene.token('one'))
      await hears(one, /^STATUS=Idle, \d+ applications, certificate valid for /)
      const before = count(one.heard(), 'WATCHDOG=1')
      await until('it is alive', () => count(one.heard(), 'WATCHDOG=1') > before)
      expect((await one.agent.stop()).how).toBe(0)
      expect(one.heard().slice(-2)).toEqual(['STOPPING=1', 'STATUS=Stopping'])
      expect(count(one.heard(), 'READY=1')).toBe(1)
    },
    SLOW,
  )

  run(
    'works when its socket is gone',
    async () => {
      const one = service()
      manager?.close()
      manager = undefined
      one.home.giveToken(await scene.token('one'))
      await one.agent.until('it is in step', inStep)
      expect((await one.agent.stop()).how).toBe(0)
    },
    SLOW,
  )
})

describe('SIGHUP', () => {
  run(
    'brings a new agent.yaml into force in the same process, within five seconds, with the identity that there is',
    async () => {
      const one = await enrolled()
      const before = certificate(one.home)
      await scene.plane.set({ delay: { value: 60_000, operation: 'applications' } })
      // The old term hangs in a call when its time comes.
      const asked = one.home.run('sync')
      const { startedAt: started } = await one.agent.until(
        'it asks the Director',
        ({ state }) => state === 'sync',
      )
      one.configure({ targets: [{ kind: 'files', directory: 'other' }] })
      // The call that hangs stays as it is; the next one does not.
      await scene.plane.reset()
      const at = performance.now()
      one.agent.signal('SIGHUP')
      await one.agent.until(
        'the new one is in force',
        (status) => status.startedAt > started && inStep(status),
      )
      expect(performance.now() - at).toBeLessThan(5000)
      expect(existsSync(one.home.path('other/current'))).toBe(true)
      // Who had asked for something was answered.
      expect((await asked).code).not.toBeNull()
      expect(certificate(one.home)).toBe(before)
      const heard = one.heard()
      const reloading = heard.indexOf('RELOADING=1')
      expect(heard[reloading + 1]).toMatch(/^MONOTONIC_USEC=\d+$/)
      expect(heard.indexOf('READY=1', reloading)).toBeGreaterThan(reloading)
      expect(heard).not.toContain('STOPPING=1')
      expect((await one.agent.stop()).how).toBe(0)
      expect(existsSync(one.home.path('state/agent.sock'))).toBe(false)
    },
    SLOW,
  )

  run(
    'leaves the old agent.yaml in force when the new one is bad, says so, and takes the next good one',
    async () => {
      const one = await enrolled()
      for (const [bad, why] of [
        ['targets: 7\n', 'want a list of targets'],
        [
          'version: 1\nconnector: {ca: {file: nowhere.pem}}\nidentity: {directory: state}\n',
          'connector.ca',
        ],
        ['version: 1\nidentity: {directory: elsewhere}\n', 'Cannot change where the state is'],
      ] as const) {
        writeFileSync(one.home.path('agent.yaml'), bad)
        one.agent.signal('SIGHUP')
        const shown = await one.agent.until(`it refuses for ${why}`, ({ problems }) =>
          problems.some(({ message }) => message.toLowerCase().includes(why.toLowerCase())),
        )
        expect(shown.problems[0]).toMatchObject({ code: 'config_invalid', turn: 'operator' })
        expect(shown.problems[0]?.message).toContain('the one from before stays in force')
        const line = one.home.log().findLast(({ level }) => level === 'error')
        expect(line?.message).toBe(shown.problems[0]!.message)
      }
      await until('systemd heard of it', () =>
        one.heard().some((line) => /^STATUS=Idle.*problem: Cannot take the new conf/.test(line)),
      )
      // It is at work all the same.
      one.configure()
      expect((await one.home.run('sync')).code).toBe(0)
      one.agent.signal('SIGHUP')
      await one.agent.until('nothing is wrong', ({ problems }) => problems.length === 0)
      expect((await one.agent.stop()).how).toBe(0)
    },
    SLOW,
  )

  run(
    'in a hail loses nothing: one process, one identity, one lock, and the last agent.yaml',
    async () => {
      const one = await enrolled()
      const [before, signed] = [certificate(one.home), signings()]
      const intruders: Promise<{ code: number | null }>[] = []
      for (let i = 0; i < 20; i++) {
        one.configure({ labels: { custom: { round: String(i) } } })
        one.agent.signal('SIGHUP')
        if (i % 5 === 0) intruders.push(one.home.run('connect'))
        await Bun.sleep(i * 7)
      }
      // Who would act without an agent found the lock taken, whenever it came.
      for (const { code } of await Promise.all(intruders)) expect(code).toBe(4)
      await one.agent.until(
        'the last one is in force',
        (status) => inStep(status) && status.labels.some(({ wanted }) => wanted === '19'),
      )
      expect(certificate(one.home)).toBe(before)
      expect(signings()).toBe(signed)
      expect((await one.agent.stop()).how).toBe(0)
      expect(await one.home.run('pause')).toMatchObject({ code: 0 })
    },
    SLOW,
  )
})

describe('the sandbox of the unit', () => {
  const traced = Bun.which('strace') !== null && process.platform === 'linux'
  const inSandbox = traced
    ? onExecutable
    : skipUnless(false, { why: 'strace is not installed', how: 'apt-get install strace' })

  inSandbox(
    'forbids nothing that publishing needs: the agent sets no owner, and no set-group-id bit, where directories are prepared',
    async () => {
      const home = scene.home()
      mkdirSync(home.path('out'))
      chmodSync(home.path('out'), 0o2750)
      home.configure({
        connector: { token: { file: 'token' }, ca: { file: scene.ca } },
        targets: [{ kind: 'files', directory: 'out', group: String(process.getgid?.()) }],
      })
      home.giveToken(await scene.token('one'))
      const calls = 'chown,fchown,lchown,fchownat,chmod,fchmod,fchmodat,mkdir,mkdirat'
      // -D: the agent stays our child, and strace is its grandchild.
      const wrap = [
        'strace',
        '-D',
        '-f',
        '-y',
        '-qq',
        '-e',
        `trace=${calls}`,
        '-o',
        home.path('trace'),
      ]
      const agent = home.start({ wrap })
      await agent.until('it is in step', inStep)
      expect((await agent.stop()).how).toBe(0)
      const lines = readFileSync(home.path('trace'), 'utf8').split('\n')
      expect(
        lines.filter((line) => line.includes('mkdir') && line.includes('/out/')).length,
      ).toBeGreaterThan(2)
      // SQLite gives its lock file an owner, but only where it runs as root.
      expect(
        lines.filter((line) => line.includes('chown') && !line.includes('/state/lock')),
      ).toEqual([])
      expect(lines.filter((line) => /chmod.*, 0[1-7]\d{3}\)/.test(line))).toEqual([])
    },
    SLOW,
  )
})
