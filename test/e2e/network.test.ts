import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { onlyMessage } from '../bad-input/support/message.ts'
import { makePki } from '../runtime/pki.ts'
import type { Pki } from '../runtime/pki.ts'
import { skipUnless } from '../skip.ts'
import { inStep } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { seenIn } from './support/bindings.ts'
import { expectedFor } from './support/landscape.ts'
import { ensureExecutable, onExecutable as run, SLOW } from './support/program.ts'
import type { StartOptions } from './support/program.ts'
import { openSite } from './support/site.ts'
import type { Site } from './support/site.ts'

/** Not there: whoever goes through it fails. */
const NOWHERE = 'http://127.0.0.1:2'

const NAMES = ['unshare', '--mount', 'true']
const withNames = skipUnless(
  process.platform === 'linux' && Bun.which('unshare') !== null && Bun.spawnSync(NAMES).success,
  { why: 'this user may not give a program names of its own', how: 'run the tests as root' },
)

let site: Site
let pki: Pki
const agents: Agent[] = []

beforeAll(async () => {
  await ensureExecutable()
  pki = await makePki()
  site = await openSite(['six', 'both', 'around', 'ca'])
}, SLOW)

afterAll(async () => {
  for (const agent of agents) if (agent.isRunning()) await agent.stop()
  await site.close()
})

function start(home: AgentHome, options: Partial<StartOptions> = {}): Agent {
  const agent = home.start(options)
  agents.push(agent)
  return agent
}

/** Enrols, mirrors, renews. */
async function live(home: AgentHome, runtime: string, options: Partial<StartOptions>) {
  site.seen()
  const agent = start(home, options)
  const { identity } = await agent.until('it is in step', inStep)
  expect(seenIn(home.path('out'))).toEqual(expectedFor(runtime, site.landscape))
  expect((await home.run('renew')).code).toBe(0)
  expect((await agent.status())?.identity?.fingerprint).not.toBe(identity!.fingerprint)
  await agent.stop()
  return new Set(site.seen())
}

describe('IPv6', () => {
  run(
    'is all that an agent needs, and its loopback address is never proxied',
    async () => {
      await site.callIt('[::1]')
      const home = await site.home('six')
      expect(await live(home, 'six', { env: { HTTPS_PROXY: NOWHERE } })).toEqual(new Set(['::1']))
    },
    SLOW,
  )

  withNames.each([
    ['v4', '127.0.0.1'],
    ['v6', '::1'],
  ] as const)(
    'a name with an address of each family is reached when only %s answers',
    async (family, from) => {
      await site.callIt('both.test', family)
      const home = await site.home('both')
      const wrap = knowing(home, '::1 both.test', '127.0.0.1 both.test')
      expect(await live(home, 'both', { wrap })).toEqual(new Set([from]))
    },
    SLOW,
  )
})

withNames(
  'a name of NO_PROXY is reached without the proxy that is down',
  async () => {
    await site.callIt('compass.test')
    const home = await site.home('around')
    const wrap = knowing(home, '127.0.0.1 compass.test')
    const env = { HTTPS_PROXY: NOWHERE, NO_PROXY: 'localhost,.test' }
    expect(await live(home, 'around', { wrap, env })).toEqual(new Set(['127.0.0.1']))
  },
  SLOW,
)

/** What starts a program that knows these names. */
function knowing(home: AgentHome, ...hosts: string[]): string[] {
  writeFileSync(home.path('hosts'), `${hosts.join('\n')}\n`)
  const script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
  return ['unshare', '--mount', 'sh', '-c', script, 'sh', home.path('hosts')]
}

describe('connector.ca', () => {
  let home: AgentHome

  beforeAll(async () => {
    await site.callIt('127.0.0.1')
    home = await site.home('ca')
    home.configure({ connector: { token: { file: 'token' }, ca: { file: 'ca.pem' } } })
  }, SLOW)

  run(
    'that is missing ends a start with 2, and costs no token',
    async () => {
      const ended = await home.run('run')
      expect(ended.code).toBe(2)
      const { code, text } = onlyMessage(ended)
      expect(code).toBe('config_invalid')
      expect(text).toBe(`Cannot use ${home.path('ca.pem')} as connector.ca: it is missing or empty`)
    },
    SLOW,
  )

  run(
    'is read again when a server is not believed: a new authority needs no restart',
    async () => {
      copyFileSync(site.plane.ca, home.path('ca.pem'))
      const before = start(home)
      await before.until('it is in step', inStep)
      await before.stop()
      writeFileSync(home.path('ca.pem'), pki.otherCa)
      const agent = start(home)
      const { problems } = await agent.until(
        'it does not believe the server',
        (status) => status.problems.length > 0,
      )
      expect(problems.map(({ code }) => code as string)).toEqual(['tls_untrusted'])
      // Whoever replaces a file carelessly leaves none for a moment.
      rmSync(home.path('ca.pem'))
      expect((await home.run('sync', '--once')).code).toBe(3)
      copyFileSync(site.plane.ca, home.path('ca.pem'))
      expect((await home.run('sync', '--once')).code).toBe(0)
      await agent.until('it is in step', inStep)
    },
    SLOW,
  )
})
