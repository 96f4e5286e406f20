import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { writeFileSync } from 'node:fs'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import { OTHER_TENANT } from '../../src/devplane/landscape.ts'
import { createCa } from '../../src/identity/x509.ts'
import { HOUR } from '../../src/model/time.ts'
import { freePort, inStep } from '../e2e/support/agent-home.ts'
import type { Agent, AgentHome } from '../e2e/support/agent-home.ts'
import { seenIn } from '../e2e/support/bindings.ts'
import { onExecutable as run, SLOW } from '../e2e/support/program.ts'
import { onlyProblem, openScene, startWrong } from './support/scene.ts'
import type { Scene } from './support/scene.ts'

let scene: Scene

beforeAll(async () => {
  scene = await openScene([
    'ca',
    'closed',
    'dns',
    'silent',
    'proxy',
    'tenant',
    'unknown',
    'knobs',
    'fresh',
  ])
}, SLOW)

afterAll(() => scene.close())

type Connector = Record<string, unknown>

const usual = (): Connector => ({ token: { file: 'token' }, ca: { file: scene.ca } })

/** Runs with a mistake in agent.yaml, then without: the token must have survived the first. */
async function wrongThenRight(runtime: string, wrong: Record<string, unknown>, plain = false) {
  const home = scene.home()
  const { rawEncoded, token } = await scene.plane.issueToken({ runtime })
  home.giveToken(plain ? token : rawEncoded)
  home.configure({ connector: usual(), ...wrong })
  const { agent, problem } = await startWrong(home)
  expect((await agent.stop()).how).toBe(0)
  home.configure({ connector: { ...usual(), ...(plain ? { url: scene.plane.tokenUrl } : {}) } })
  const right = home.start()
  await scene.healed(right, home, runtime)
  await right.stop()
  return problem
}

describe('a server that is not the right one costs neither token nor life:', () => {
  run.concurrent(
    'nobody vouches for it',
    async () => {
      const problem = await wrongThenRight('ca', { connector: { token: { file: 'token' } } })
      expect(problem).toMatchObject({ code: 'tls_untrusted', turn: 'operator' })
      expect(problem.hint).toContain('connector.ca')
    },
    SLOW,
  )

  run.concurrent(
    'connector.ca names another authority',
    async () => {
      const other = await createCa({
        commonName: 'Other',
        organization: 'Other',
        notBefore: Date.now() - HOUR,
        notAfter: Date.now() + HOUR,
      })
      const home = scene.home()
      writeFileSync(home.path('other.pem'), other.certificate)
      home.configure({ connector: { ...usual(), ca: { file: 'other.pem' } } })
      home.giveToken(await scene.token('ca'))
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'tls_untrusted', turn: 'operator' })
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'nobody listens there',
    async () => {
      const url = `https://127.0.0.1:${await freePort()}/connector/graphql`
      const problem = await wrongThenRight('closed', { connector: { ...usual(), url } }, true)
      expect(problem.code).toBe('unreachable')
      expect(problem.message).toContain(new URL(url).host)
    },
    SLOW,
  )

  run.concurrent(
    'its name is unknown',
    async () => {
      const url = 'https://connector.invalid/connector/graphql'
      const problem = await wrongThenRight('dns', { connector: { ...usual(), url } }, true)
      expect(problem.code).toBe('unreachable')
      expect(problem.message).toContain('connector.invalid')
    },
    SLOW,
  )

  run.concurrent(
    'it speaks no TLS',
    async () => {
      const server = createServer((socket) => socket.end('220 smtp.example ready\r\n'))
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
      const { port } = server.address() as AddressInfo
      const url = `https://127.0.0.1:${port}/connector/graphql`
      const problem = await wrongThenRight('silent', { connector: { ...usual(), url } }, true)
      expect(['tls_failed', 'unreachable']).toContain(problem.code)
      server.close()
    },
    SLOW,
  )

  run.concurrent(
    'the proxy is dead',
    async () => {
      const proxy = { url: `http://someone:secret@127.0.0.1:${await freePort()}` }
      // A loopback address is never proxied.
      const url = 'https://connector.invalid/connector/graphql'
      const wrong = { proxy, connector: { ...usual(), url } }
      const problem = await wrongThenRight('proxy', wrong, true)
      expect(['proxy_failed', 'unreachable']).toContain(problem.code)
      expect(problem.message).toContain(new URL(proxy.url).host)
      expect(JSON.stringify(problem)).not.toContain('secret')
    },
    SLOW,
  )
})

describe('a wrong tenant', () => {
  run.concurrent.each([
    ['that exists', 'tenant', OTHER_TENANT, 'tenant_wrong'],
    ['that nobody knows', 'unknown', '11111111-2222-3333-4444-555555555555', 'director_failed'],
  ])(
    '%s is named, and nothing of it is mirrored',
    async (_what, runtime, tenant, code) => {
      const home = scene.home()
      home.giveToken(await scene.token(runtime))
      home.configure({ connector: usual(), runtime: { tenant } })
      const { agent, problem } = await startWrong(home)
      expect(problem.code as string).toBe(code)
      expect(problem.hint).toContain('runtime.tenant')
      await agent.stop()
      home.configure({ connector: usual() })
      const right = home.start()
      // What was signed already is proved and used: no second token is needed.
      await scene.healed(right, home, runtime)
      await right.stop()
    },
    SLOW,
  )
})

describe('a control plane in trouble', () => {
  let home: AgentHome
  let agent: Agent

  beforeAll(async () => {
    home = scene.home()
    home.giveToken(await scene.token('knobs'))
    agent = home.start()
    await agent.until('it is in step', inStep)
  }, SLOW)

  afterAll(() => agent.stop())

  const TROUBLE: [string, KnobSettings, string][] = [
    ['an expired server certificate', { serverLifetime: -60_000 }, 'tls_server_expired'],
    ['a certificate for another name', { serverNames: ['other.example'] }, 'tls_name_mismatch'],
    ['a captive portal', { html: 200 }, 'answer_malformed'],
    ['a redirect', { redirect: true }, 'redirect_refused'],
    ['a rate limit', { tooMany: true }, 'too_many_requests'],
    ['a gateway without a Director behind it', { directorDown: true }, 'server_failed'],
    ['a body that is cut', { cut: true }, 'answer_malformed'],
  ]
  run.each(TROUBLE)(
    '%s is named, keeps what is deployed, and is over when it is over',
    async (_name, knobs, code) => {
      const before = seenIn(home.path('out'))
      await scene.plane.set(knobs)
      await home.run('sync', '--once')
      expect(await onlyProblem(agent, home)).toMatchObject({ code })
      expect(seenIn(home.path('out'))).toEqual(before)
      await scene.plane.reset()
      expect((await home.run('sync', '--once')).code).toBe(0)
      await agent.until('it is in step again', inStep)
    },
    SLOW,
  )

  run(
    'a revoked certificate is named, never thrown away, and replaced by a new token at once',
    async () => {
      const { identity } = (await agent.status())!
      await scene.plane.revoke({ fingerprint: identity!.fingerprint })
      await home.run('sync', '--once')
      expect(await onlyProblem(agent, home)).toMatchObject({ code: 'identity_refused' })
      expect((await agent.status())!.identity!.fingerprint).toBe(identity!.fingerprint)
      home.giveToken(await scene.token('knobs'))
      const healed = await scene.healed(agent, home, 'knobs', 9000)
      expect(healed.identity!.fingerprint).not.toBe(identity!.fingerprint)
    },
    SLOW,
  )
})
