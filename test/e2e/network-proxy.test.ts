import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { makePki } from '../runtime/pki.ts'
import type { Pki } from '../runtime/pki.ts'
import { freePort, inStep } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { seenIn } from './support/bindings.ts'
import { expectedFor } from './support/landscape.ts'
import { ensureExecutable, finish, SLOW, until } from './support/program.ts'
import type { Finished } from './support/program.ts'
import { openSite } from './support/site.ts'
import type { Site } from './support/site.ts'
import { needsSquid as run, openSquid, SQUID_ADDRESS } from './support/squid.ts'
import type { Squid } from './support/squid.ts'

/** What must be written as %40 and %3A in a URL. */
const PASSWORD = 'p@ss:canary'
const LOGIN = 'user:p%40ss%3Acanary'

let site: Site
let squid: Squid
let pki: Pki
const agents: Agent[] = []

beforeAll(async () => {
  await ensureExecutable()
  pki = await makePki()
  site = await openSite(['life', 'wrong', 'down', 'sick', 'around', 'forbidden'])
  squid = await openSquid({
    login: `user:${PASSWORD}`,
    // Names that nobody else knows.
    hosts: ['127.0.0.1 compass.test', '127.0.0.1 forbidden.test'],
    tls: { certificate: pki.server.certificate, key: pki.server.key.reveal() },
  })
  await squid.start()
}, SLOW)

afterAll(async () => {
  await stopAgents()
  await squid.stop()
  await site.close()
})

async function stopAgents(): Promise<void> {
  for (const agent of agents.splice(0)) if (agent.isRunning()) await agent.stop()
}

const address = (login = LOGIN): string => `http://${login}@127.0.0.1:${squid.port}`

function start(home: AgentHome, env: Record<string, string>): Agent {
  const agent = home.start({ env })
  agents.push(agent)
  return agent
}

function syncOnce(home: AgentHome, env: Record<string, string>): Promise<Finished> {
  const args = ['sync', '--once', '--config', home.path('agent.yaml')]
  return finish(args, { cwd: home.directory, env })
}

/** All that the agent has written. */
function written(directory: string): string {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    .map((path) => readFileSync(path, 'latin1'))
    .join('\n')
}

describe('behind squid', () => {
  let home: AgentHome

  beforeAll(async () => {
    await site.callIt('compass.test')
    home = await site.home('life')
  }, SLOW)

  run(
    'an agent lives its whole life through the proxy, nothing goes around it, and its password is told nowhere',
    async () => {
      site.seen()
      const port = await freePort()
      const labels = { eventGatewayUrl: 'https://gateway.test', consoleUrl: 'https://console.test' }
      home.configure({ labels, status: { listen: `127.0.0.1:${port}` } })
      const agent = start(home, { HTTPS_PROXY: address() })
      const { identity } = await agent.until('it is in step', inStep)
      expect(seenIn(home.path('out'))).toEqual(expectedFor('life', site.landscape))
      expect((await home.run('renew')).code).toBe(0)
      const renewed = await agent.status()
      expect(renewed?.identity?.fingerprint).not.toBe(identity!.fingerprint)
      expect((await home.run('sync', '--once')).code).toBe(0)
      const shown = await Promise.all(
        ['', 'status', 'metrics', 'livez', 'readyz'].map(async (path) =>
          (await fetch(`http://127.0.0.1:${port}/${path}`)).text(),
        ),
      )
      expect((await agent.stop()).how).toBe(0)
      const operations = (await site.plane.events()).flatMap((event) => event.operations)
      for (const wanted of ['configuration', 'sign', 'viewer', 'applications'] as const)
        expect(operations).toContain(wanted)
      const [runtime] = (await site.plane.runtimes()).filter(({ name }) => name === 'life')
      expect(Object.values(runtime!.labels)).toContain('https://gateway.test')

      const from = site.seen()
      expect(new Set(from)).toEqual(new Set([SQUID_ADDRESS]))
      await until('squid has told of all tunnels', () => squid.tunnels().length === from.length)
      for (const { status, user, to } of squid.tunnels()) {
        expect([status, user]).toEqual([200, 'user'])
        expect(to).toStartWith('compass.test:')
      }
      const told = shown.join('\n') + written(home.directory)
      expect(told).toContain('compass.test')
      for (const secret of ['canary', btoa(`user:${PASSWORD}`), 'p%40ss'])
        expect(told).not.toContain(secret)
    },
    SLOW,
  )

  run.each([
    ['https_proxy', () => ({ https_proxy: address(), HTTPS_PROXY: 'http://127.0.0.1:2' })],
    ['ALL_PROXY', () => ({ ALL_PROXY: address() })],
    ['a proxy without a scheme', () => ({ HTTPS_PROXY: address().slice('http://'.length) })],
    ['the name of the proxy', () => ({ HTTPS_PROXY: address().replace('127.0.0.1', 'localhost') })],
    ['its IPv6 address', () => ({ HTTPS_PROXY: address().replace('127.0.0.1', '[::1]') })],
  ])(
    '%s is enough',
    async (_what, env) => {
      expect((await syncOnce(home, env())).code).toBe(0)
      expect(new Set(site.seen())).toEqual(new Set([SQUID_ADDRESS]))
    },
    SLOW,
  )

  run(
    'proxy.url of agent.yaml wins over the environment, and may keep its password in a variable',
    async () => {
      home.configure({ proxy: { url: `http://user:\${PASSWORD}@127.0.0.1:${squid.port}` } })
      const env = { PASSWORD: 'p%40ss%3Acanary', HTTPS_PROXY: 'http://127.0.0.1:2', NO_PROXY: '*' }
      expect(await syncOnce(home, env)).toMatchObject({ code: 0, out: '' })
      expect(new Set(site.seen())).toEqual(new Set([SQUID_ADDRESS]))
    },
    SLOW,
  )

  run(
    'a proxy that is spoken to over TLS is believed when connector.ca vouches for it, and else is told nothing',
    async () => {
      const url = `https://${LOGIN}@localhost:${squid.tlsPort}`
      home.configure({ proxy: { url } })
      const before = squid.tunnels().length
      const refused = await syncOnce(home, {})
      expect(refused.code).not.toBe(0)
      expect(refused.err).toContain('[tls_untrusted]')
      expect(squid.tunnels().length).toBe(before)
      const ca = `${readFileSync(site.plane.ca, 'utf8')}\n${pki.ca}`
      writeFileSync(home.path('both.pem'), ca)
      const connector = { token: { file: 'token' }, ca: { file: 'both.pem' } }
      home.configure({ proxy: { url }, connector })
      expect(await syncOnce(home, {})).toMatchObject({ code: 0, out: '' })
      expect(new Set(site.seen())).toEqual(new Set([SQUID_ADDRESS]))
    },
    SLOW,
  )
})

describe('a proxy that does not let us through costs no token:', () => {
  beforeAll(() => site.callIt('compass.test'), SLOW)

  run.concurrent(
    'it wants other credentials',
    async () => {
      const home = await site.home('wrong')
      const agent = start(home, { HTTPS_PROXY: address('user:wrong-canary') })
      const problem = await problemOf(agent)
      expect(problem).toMatchObject({ code: 'proxy_failed', turn: 'operator' })
      expect(problem.message).toContain(`127.0.0.1:${squid.port}: the proxy refuses (407)`)
      await agent.stop()
      expect(written(home.directory)).not.toContain('wrong-canary')
      const right = start(home, { HTTPS_PROXY: address() })
      await right.until('it is in step', inStep)
    },
    SLOW,
  )

  run.concurrent(
    'it does not let anybody to this host',
    async () => {
      const home = await site.home('forbidden')
      const token = JSON.parse(atob(readFileSync(home.path('token'), 'utf8'))) as Token
      const elsewhere = token.connectorURL.replace('compass.test', 'forbidden.test')
      home.giveToken(btoa(JSON.stringify({ ...token, connectorURL: elsewhere })))
      const problem = await problemOf(start(home, { HTTPS_PROXY: address() }))
      expect(problem).toMatchObject({ code: 'proxy_failed', turn: 'operator' })
      expect(problem.message).toContain('the proxy refuses (403)')
    },
    SLOW,
  )

  run.concurrent.each([
    ['answers with a page that the gateway is bad', 'HTTP/1.1 502 Bad Gateway', 'unreachable'],
    ['answers with a page instead of a tunnel', 'HTTP/1.1 200 OK', undefined],
    ['answers with a redirect to its log-in', 'HTTP/1.1 302 Found\r\nLocation: /x', undefined],
    ['says nothing that is HTTP', '220 smtp.example', undefined],
    ['hangs up', '', undefined],
  ])(
    'it %s',
    async (_what, head, code) => {
      const page = '<html><body>canary</body></html>'
      const text = `${head}\r\nContent-Length: ${page.length}\r\n\r\n${page}`
      const sick = createServer((socket) => {
        socket.on('error', () => undefined)
        socket.once('data', () => (head === '' ? socket.end() : socket.end(text)))
      })
      await new Promise<void>((done) => sick.listen(0, '127.0.0.1', done))
      const home = await site.home('sick')
      const url = `http://${LOGIN}@127.0.0.1:${(sick.address() as AddressInfo).port}`
      const agent = start(home, { HTTPS_PROXY: url })
      const problem = await problemOf(agent)
      expect(problem.message).toStartWith('Cannot reach compass.test:')
      if (code !== undefined) expect(problem.code as string).toBe(code)
      expect(JSON.stringify(problem)).not.toContain('canary')
      await agent.stop()
      sick.close()
      const right = start(home, { HTTPS_PROXY: address() })
      await right.until('it is in step', inStep)
    },
    SLOW,
  )
})

type Token = { connectorURL: string }

async function problemOf(agent: Agent) {
  const { problems } = await agent.until(
    'it has come to rest with a problem',
    (status) => status.problems.length > 0 && status.state === 'idle',
  )
  expect(problems).toHaveLength(1)
  return problems[0]!
}

describe('a proxy that restarts', () => {
  run(
    'is named while it is down, and found again without anybody',
    async () => {
      await site.callIt('compass.test')
      const home = await site.home('down')
      await squid.stop()
      const agent = start(home, { HTTPS_PROXY: address() })
      const problem = await problemOf(agent)
      expect(problem).toMatchObject({ code: 'proxy_failed', turn: 'operator' })
      expect(problem.message).toContain(`the proxy 127.0.0.1:${squid.port}: the connection is`)
      await squid.start()
      await agent.until('it is in step', inStep)
    },
    SLOW,
  )
})

describe('NO_PROXY', () => {
  let home: AgentHome

  beforeAll(async () => {
    // An address of this machine that is no loopback address, which would never be proxied.
    await site.callIt('0.0.0.0')
    home = await site.home('around')
    await stopAgents()
    site.seen()
  }, SLOW)

  run(
    'leads a whole life around the proxy',
    async () => {
      const before = squid.tunnels().length
      const agent = start(home, { HTTPS_PROXY: address(), NO_PROXY: 'x.test,0.0.0.0/31' })
      await agent.until('it is in step', inStep)
      expect((await home.run('renew')).code).toBe(0)
      await agent.stop()
      expect(new Set(site.seen())).toEqual(new Set(['127.0.0.1']))
      expect(squid.tunnels().length).toBe(before)
    },
    SLOW,
  )

  run.each([
    ['no_proxy', { no_proxy: '0.0.0.0', NO_PROXY: 'x.test' }, '127.0.0.1'],
    ['*', { NO_PROXY: '*' }, '127.0.0.1'],
  ])(
    'counts as %s',
    async (_what, env: Record<string, string>, from) => {
      expect((await syncOnce(home, { HTTPS_PROXY: address(), ...env })).code).toBe(0)
      expect(new Set(site.seen())).toEqual(new Set([from]))
    },
    SLOW,
  )

  run(
    'of other blocks leads nothing around it',
    async () => {
      const env = { HTTPS_PROXY: address(), NO_PROXY: '10.0.0.0/8,::/0,0.0.0.0.test' }
      // Squid itself does not want to go to this address.
      expect((await syncOnce(home, env)).err).toContain(`through the proxy 127.0.0.1:${squid.port}`)
      expect(squid.tunnels().at(-1)?.to).toStartWith('0.0.0.0:')
      expect(site.seen()).toEqual([])
    },
    SLOW,
  )

  run(
    'names an IPv6 address or a block of them',
    async () => {
      await site.callIt('[::]')
      expect((await home.run('renew')).code).toBe(0)
      site.seen()
      for (const exception of ['::', '[::]', '::/127'])
        expect((await syncOnce(home, { HTTPS_PROXY: address(), NO_PROXY: exception })).code).toBe(0)
      expect(new Set(site.seen())).toEqual(new Set(['::1']))
    },
    SLOW,
  )
})
