/** The agent as a user without rights, `agent hooks run` beside it as root, and this test in place of systemd. */
import { afterAll, afterEach, beforeAll, expect } from 'bun:test'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { openScene } from '../bad-input/support/scene.ts'
import type { Scene } from '../bad-input/support/scene.ts'
import { asNobody, giveToNobody, withoutRights as run } from '../bad-input/support/privilege.ts'
import { inStep, openHome, temporaryDirectory } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { landscapeFor, parsed } from './support/landscape.ts'
import type { LandscapeFile } from './support/landscape.ts'
import { executable, SLOW, until } from './support/program.ts'

let scene: Scene
let landscape: LandscapeFile
beforeAll(async () => {
  scene = await openScene(['one'])
}, SLOW)
afterAll(() => scene.close())

const open = new Set<Machine>()
afterEach(async () => {
  for (const machine of open) await machine.close()
  open.clear()
})

/** A directory where root's files and those of the agent lie as on a machine. */
class Machine {
  readonly base = temporaryDirectory()
  readonly home: AgentHome
  agent: Agent | undefined
  #helper: Bun.Subprocess | undefined
  #closed = false
  #systemd: Promise<void> | undefined
  readonly log: string[] = []

  constructor(commands: readonly { bindings?: string[]; command: string[] }[]) {
    fs.chmodSync(this.base, 0o755)
    for (const name of ['etc', 'var', 'outcomes']) fs.mkdirSync(this.path(name), { mode: 0o755 })
    giveToNobody(this.path('var'))
    this.home = openHome({ ca: scene.ca, directory: this.path('etc') })
    const ca = this.path('etc/ca.pem')
    fs.copyFileSync(scene.ca, ca)
    this.home.configure({
      connector: { token: { file: 'token' }, ca: { file: ca } },
      identity: { directory: this.path('var/state') },
      targets: [{ kind: 'files', directory: this.path('var/out'), onChange: commands }],
    })
    open.add(this)
  }

  path(...parts: string[]): string {
    return join(this.base, ...parts)
  }

  async start(): Promise<Agent> {
    if (!fs.existsSync(this.path('etc/token'))) {
      this.home.giveToken(await scene.token('one'))
      fs.chmodSync(this.path('etc/token'), 0o644)
    }
    const env = { RUNTIME_AGENT_HOOKS: this.path('outcomes') }
    this.agent = this.home.start({ wrap: asNobody, cwd: '/', env }, '../var/state')
    this.#systemd ??= this.#watch()
    return this.agent
  }

  /** DirectoryNotEmpty= */
  async #watch(): Promise<void> {
    const requests = this.path('var/state/hooks')
    const isAsked = (): boolean =>
      fs.existsSync(requests) && fs.readdirSync(requests).some((name) => !name.startsWith('.'))
    while (!this.#closed) {
      await Bun.sleep(20)
      if (!isAsked()) continue
      const where = ['--requests', requests, '--outcomes', this.path('outcomes')]
      const config = ['--config', this.path('etc/agent.yaml')]
      this.#helper = Bun.spawn([executable(), 'hooks', 'run', ...config, ...where], {
        cwd: '/',
        env: { PATH: process.env['PATH'] ?? '' },
        stderr: 'pipe',
      })
      this.log.push(await new Response(this.#helper.stderr as ReadableStream).text())
      await this.#helper.exited
      this.#helper = undefined
    }
  }

  killHelper(): void {
    this.#helper?.kill('SIGKILL')
  }

  lines(name: string): string[] {
    const path = this.path('var', name)
    return fs.existsSync(path) ? fs.readFileSync(path, 'utf8').trim().split('\n') : []
  }

  /** A command that adds a line to a file, and what else a shell is to do. */
  noting(name: string, more = ''): string[] {
    const line = 'echo "$(id -u) $RUNTIME_AGENT_CHANGED"'
    return ['sh', '-c', `${line} >> ${this.path('var', name)}; ${more}`]
  }

  /** Nothing is due any more. */
  async forgets(): Promise<void> {
    const journal = this.path('var/state/hooks-files.json')
    await until('the agent knows that all is done', () => !fs.existsSync(journal))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.agent?.signal('SIGKILL')
    await this.agent?.exited
    this.killHelper()
    await this.#systemd
  }
}

const machine = (
  commands: (here: Machine) => { bindings?: string[]; command: string[] }[],
): Machine => {
  const here = new Machine([])
  const targets = [{ kind: 'files', directory: here.path('var/out'), onChange: commands(here) }]
  const before = JSON.parse(fs.readFileSync(here.path('etc/agent.yaml'), 'utf8')) as object
  here.home.configure({ ...before, targets })
  landscape = landscapeFor(['one'])
  scene.plane.replace(parsed(landscape))
  return here
}

function rotate(password: string): void {
  landscape.applications[0]!.bundles[0]!.auth!.basic.password = password
  scene.plane.replace(parsed(landscape))
}

const me = String(process.getuid?.())

run(
  'one rotation has each command run once that is for the binding, as another user than the agent, and no other',
  async () => {
    const here = machine((m) => [
      { bindings: ['ucl-*app-0-orders-*'], command: m.noting('orders') },
      { bindings: ['ucl-*app-1-*'], command: m.noting('other') },
      { command: m.noting('all') },
    ])
    const agent = await here.start()
    await agent.until('it is in step', inStep)
    expect(here.lines('orders')).toHaveLength(1)
    expect(here.lines('other')).toHaveLength(1)
    rotate('new')
    await until('the command has run again', () => here.lines('all').length === 2)
    await here.forgets()
    expect(here.lines('orders')).toEqual([
      expect.stringMatching(/^\d+ ucl-[a-z-]*app-0-orders-[0-9a-f]{8}$/),
      expect.stringMatching(/^\d+ ucl-[a-z-]*app-0-orders-[0-9a-f]{8}$/),
    ])
    expect(here.lines('orders')[1]).toStartWith(`${me} `)
    expect(here.lines('other')).toHaveLength(1)
    expect(here.lines('all')[1]).toBe(here.lines('orders')[1])
    expect(fs.readdirSync(here.path('var/state/hooks'))).toEqual([])
  },
  SLOW,
)

run(
  'a command that fails is shown, what it printed is in the log of the service only, and it runs again',
  async () => {
    const here = machine((m) => [
      { command: m.noting('ran', `echo CANARY; test -e ${m.path('var/mended')}`) },
    ])
    const agent = await here.start()
    const { problems } = await agent.until('it shows the problem', (s) => s.problems.length > 0)
    expect(problems).toMatchObject([
      { code: 'hook_failed', message: 'Cannot run sh after a change: it ended with code 1' },
    ])
    expect(here.log.join('')).toContain('\nCANARY')
    fs.writeFileSync(here.path('var/mended'), '')
    await here.home.run('sync', '--once')
    await agent.until('it is in step', inStep)
    expect(here.lines('ran')).toHaveLength(2)
    expect(fs.readFileSync(here.home.path('log'), 'utf8')).not.toContain('CANARY')
  },
  SLOW,
)

run(
  'kill -9 of either side loses no command, and repeats only one whose end nobody has noted',
  async () => {
    const wait = (m: Machine): string => `while ! test -e ${m.path('var/go')}; do sleep 0.02; done`
    const here = machine((m) => [{ command: m.noting('ran', wait(m)) }])
    const first = await here.start()
    await until('the command runs', () => here.lines('ran').length === 1)
    here.killHelper()
    await until('it runs again', () => here.lines('ran').length === 2)
    // The agent dies while it waits; root goes on.
    first.signal('SIGKILL')
    await first.exited
    fs.writeFileSync(here.path('var/go'), '')
    await until('root is done', () => fs.readdirSync(here.path('var/state/hooks')).length === 0)
    const second = await here.start()
    await second.until('it is in step', inStep)
    await here.forgets()
    expect(here.lines('ran')).toHaveLength(2)
  },
  SLOW,
)

run(
  'nothing is run of an agent.yaml that others may change, and everything once they may not',
  async () => {
    const here = machine((m) => [{ command: m.noting('ran') }])
    fs.chmodSync(here.path('etc/agent.yaml'), 0o666)
    const agent = await here.start()
    const { problems } = await agent.until('it shows the problem', (s) => s.problems.length > 0)
    expect(problems).toMatchObject([{ code: 'hook_failed' }])
    expect(problems[0]!.message).toEndWith('refused it: its log says why')
    await until('the log says why', () =>
      here.log.some((text) =>
        text.includes(`other users can change ${here.path('etc/agent.yaml')}`),
      ),
    )
    expect(here.lines('ran')).toEqual([])
    fs.chmodSync(here.path('etc/agent.yaml'), 0o644)
    await here.home.run('sync', '--once')
    await agent.until('it is in step', inStep)
    expect(here.lines('ran')).toHaveLength(1)
  },
  SLOW,
)
