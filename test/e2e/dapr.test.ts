/** The real agent beside a real daprd: what is edited in Compass reaches the calls of an application. */
import { afterAll, beforeAll, expect } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { findDaprd } from '../../scripts/envtest.ts'
import { bindingName } from '../../src/model/names.ts'
import { startDaprd, startEcho } from '../daprd.ts'
import type { Daprd, Echo } from '../daprd.ts'
import { skipUnless } from '../skip.ts'
import { inStep, openHome, temporaryDirectory } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { parsed } from './support/landscape.ts'
import type { LandscapeFile } from './support/landscape.ts'
import { startPlane } from './support/plane-process.ts'
import type { PlaneProcess } from './support/plane-process.ts'
import { ensureExecutable, onExecutable, SLOW, until } from './support/program.ts'

const run =
  findDaprd() === undefined
    ? skipUnless(false, { why: 'daprd is not built', how: 'npm run envtest (with Go)' })
    : onExecutable

let echo: Echo
let daprd: Daprd | undefined
let plane: PlaneProcess
let home: AgentHome
let agent: Agent | undefined
let binding: string

const landscape = (password: string): LandscapeFile => ({
  runtimes: [{ name: 'one', formations: ['one'] }],
  applications: [
    {
      name: 'crm',
      formations: ['one'],
      bundles: [
        {
          name: 'Orders',
          auth: { basic: { username: 'user', password } },
          apis: [{ name: 'API', targetUrl: echo.url }],
        },
      ],
    },
  ],
})

beforeAll(async () => {
  if (findDaprd() === undefined) return
  await ensureExecutable()
  echo = await startEcho()
  plane = await startPlane({ directory: temporaryDirectory(), landscape: landscape('first') })
  home = openHome({ ca: plane.ca })
  mkdirSync(home.path('daprd'))
  daprd = await startDaprd({ directory: home.path('daprd') })
  home.configure({
    targets: [
      {
        kind: 'dapr',
        resources: 'daprd/resources',
        secrets: 'secrets',
        sidecars: [{ url: daprd.url }],
      },
    ],
  })
  const [application] = parsed(landscape('first')).applications
  binding = bindingName('mp-crm', application!.bundles[0]!.apis[0]!)
}, SLOW)

afterAll(async () => {
  agent?.signal('SIGKILL')
  await daprd?.stop()
  if (daprd === undefined) return
  await plane.close()
  await echo.close()
})

/** What the API hears of a call through the sidecar. */
const heard = async (): Promise<string> => (await daprd!.call(binding)).body
const login = (password: string): string => `Basic ${btoa(`user:${password}`)}`

run(
  'one token and one agent.yaml are enough for an application to call an API with its credentials',
  async () => {
    home.giveToken(await plane.token('one'))
    agent = home.start()
    await agent.until('it is in step', inStep)
    expect(await daprd!.components()).toContain(binding)
    expect(await heard()).toBe(login('first'))
  },
  SLOW,
)

run(
  'a password that is changed in Compass reaches calls, and so does one during which the agent is killed',
  async () => {
    await plane.serve(landscape('second'))
    await until('the new password', async () => (await heard()) === login('second'))
    for (const wait of [0, 20, 40, 60, 80, 120, 200, 400]) {
      const password = `after ${wait}`
      await plane.serve(landscape(password))
      await new Promise((resolve) => setTimeout(resolve, 700 + wait))
      agent!.signal('SIGKILL')
      await agent!.exited
      expect(await heard()).toStartWith('Basic ')
      agent = home.start()
      await until('the new password', async () => (await heard()) === login(password))
    }
    expect(echo.seen.filter(({ authorization }) => authorization === undefined)).toEqual([])
    expect(daprd!.exitCode).toBeUndefined()
  },
  2 * SLOW,
)

run(
  'nothing of a password is in the log, and the plan says that nothing is to be done',
  async () => {
    await agent!.until('it is in step', inStep)
    expect(JSON.stringify(home.log())).not.toContain('after 400')
    const { code, out } = await home.run('plan', '--json')
    expect(code).toBe(0)
    expect(out).not.toContain('"create"')
  },
  SLOW,
)
