/**
 * The real Runtime Director and the real agent, each a process of the executable: a runtime that nobody admitted, its
 * admission, a configuration that is published, edited and rolled back, and what the server hears of it.
 */
import { afterAll, beforeAll, expect } from 'bun:test'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { openPlane } from '../../src/devplane/plane.ts'
import type { Plane } from '../../src/devplane/plane.ts'
import { createCa, issueCertificate } from '../../src/identity/x509.ts'
import { sha256 } from '../../src/model/digest.ts'
import { DAY } from '../../src/model/time.ts'
import { generateRsaKey } from '../../src/runtime/keys.ts'
import { freePort, openHome, temporaryDirectory } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import {
  ensureExecutable,
  finish,
  onExecutable as run,
  SLOW,
  start,
  until,
} from './support/program.ts'
import type { Finished, Running } from './support/program.ts'

const directory = temporaryDirectory()
const file = (...parts: string[]): string => join(directory, ...parts)
const log = file('director.log')
let plane: Plane
let port: number
let server: Running | undefined
let home: AgentHome
let agent: Agent | undefined

beforeAll(async () => {
  await ensureExecutable()
  plane = await openPlane({
    landscape: makeLandscape({ applications: 1, bundles: 1, apis: 1, events: 0 }),
  })
  port = await freePort()
  for (const path of ['desired/runtimes', 'desired/configurations', 'secrets'])
    mkdirSync(file(path), { recursive: true, mode: 0o700 })
  const ca = await certificates()
  desire(['url'])
  home = openHome({ ca: file('trusted.pem') })
  writeFileSync(file('trusted.pem'), `${plane.caPem}\n${ca}`)
  home.configure({
    configuration: {
      url: `https://127.0.0.1:${port}`,
      interval: '1s',
      allow: [{ apiVersion: 'dapr.io/v1alpha1', kind: 'Component', namespaces: ['apps'] }],
    },
  })
  home.giveToken((await plane.issueToken()).rawEncoded)
}, SLOW)

afterAll(async () => {
  agent?.signal('SIGKILL')
  server?.signal('SIGKILL')
  await plane.close()
})

/** director.yaml and the certificate of the server; gives the CA that it is of. */
async function certificates(): Promise<string> {
  const now = Date.now()
  const dates = { notBefore: now - DAY, notAfter: now + DAY }
  const [ca, keys] = await Promise.all([
    createCa({ commonName: 'Runtime Director', organization: 'Test', ...dates }),
    generateRsaKey(2048),
  ])
  const certificate = await issueCertificate({
    ca,
    subject: [{ type: 'CN', value: 'runtime-director' }],
    publicKey: keys.publicKeyPem,
    ...dates,
    usage: 'server',
    names: ['127.0.0.1'],
  })
  writeFileSync(file('server.pem'), certificate)
  writeFileSync(file('server.key'), keys.privateKeyPem.reveal(), { mode: 0o600 })
  writeFileSync(file('clients.pem'), plane.authorities.client.certificate)
  writeFileSync(file('secrets/logging-password'), 'password-of-the-logging-service', {
    mode: 0o600,
  })
  const config = {
    version: 1,
    directory: 'desired',
    secrets: 'secrets',
    state: 'director-state',
    listen: `127.0.0.1:${port}`,
    tls: { certificate: 'server.pem', key: 'server.key' },
    clients: { ca: 'clients.pem' },
    admin: {
      listen: 'off',
      tokens: [{ name: 'me', role: 'publisher', sha256: sha256('unused-token-of-this-test') }],
    },
  }
  writeFileSync(file('director.yaml'), JSON.stringify(config))
  return ca.certificate
}

/** A logging service with credentials, under these names of its address. */
function desire(urls: string[]): void {
  const { id } = plane.landscape.runtimes[0]!
  writeFileSync(file(`desired/runtimes/${id}.yaml`), JSON.stringify({ id, groups: ['vm'] }))
  const resources = urls.map((value, index) => ({
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'Component',
    metadata: { name: `logging-${index}`, namespace: 'apps' },
    spec: {
      type: 'bindings.http',
      version: 'v1',
      metadata: [
        { name: 'url', value: `https://logging.example/${value}` },
        { name: 'password', value: { secretRef: 'logging-password' } },
      ],
    },
  }))
  writeFileSync(
    file('desired/configurations/logging.yaml'),
    JSON.stringify({ match: { groups: ['vm'] }, resources }),
  )
}

async function director(...args: string[]): Promise<Finished> {
  const done = await finish(['runtime-director', ...args, '--config', 'director.yaml'], {
    cwd: directory,
  })
  expect([done.code, done.err]).toEqual([0, ''])
  return done
}

const published = (name: string): string =>
  readFileSync(home.path('out/current/config/component/apps', `${name}.yaml`), 'utf8')
const statusOf = async (): Promise<string> => (await director('status', '--json')).out

run(
  'a runtime that nobody admitted is pending, says so, and changes nothing',
  async () => {
    await director('publish')
    server = start(['runtime-director', '--config', 'director.yaml'], { cwd: directory, log })
    agent = home.start()
    const status = await agent.until('it is refused', ({ problems }) =>
      problems.some(({ code }) => code === 'runtime_director_refused'),
    )
    expect(status.configuration).toBeUndefined()
    const { subject } = status.identity!
    const cn = /CN=([^,]+)/.exec(subject)![1]!
    await until('it is pending', async () => (await statusOf()).includes(cn))
  },
  SLOW,
)

run(
  'admitted, it gets its configuration, with the password, and the server hears that it is applied',
  async () => {
    const { identity } = (await agent!.status())!
    const cn = /CN=([^,]+)/.exec(identity!.subject)![1]!
    await director('admit', plane.landscape.runtimes[0]!.id, cn)
    const status = await agent!.until(
      'it is told as applied',
      ({ configuration }) => configuration?.reported?.state === 'applied',
    )
    expect(status.problems).toEqual([])
    expect(published('logging-0')).toContain('value: "password-of-the-logging-service"')
    await until('the server has the report', async () => (await statusOf()).includes('"applied"'))
  },
  SLOW,
)

run(
  'what is published reaches it within seconds, and so does a rollback',
  async () => {
    await agent!.until('it listens', ({ sources }) => sources.some(({ listening }) => listening))
    desire(['changed', 'second'])
    const began = performance.now()
    await director('publish', '--at-once')
    await until('the change is there', () => published('logging-0').includes('/changed'))
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(published('logging-1')).toContain('/second')
    await director('rollback', '1')
    await until('it is as it was', () => published('logging-0').includes('example/url'))
    await until('what was added is gone', () => {
      try {
        return published('logging-1') === ''
      } catch {
        return true
      }
    })
    await agent!.until(
      'that is told, too',
      ({ configuration }) =>
        configuration?.documents.length === 1 && configuration.reported?.state === 'applied',
    )
  },
  SLOW,
)

run(
  'a server that is away for a while changes nothing, and is heard again',
  async () => {
    await server!.stop()
    desire(['after'])
    await director('publish', '--at-once')
    expect(published('logging-0')).toContain('example/url')
    server = start(['runtime-director', '--config', 'director.yaml'], { cwd: directory, log })
    await until('the change is there', () => published('logging-0').includes('/after'))
  },
  SLOW,
)

run(
  'no log of either and no status holds the password',
  async () => {
    const status = JSON.stringify(await agent!.status())
    await agent!.stop()
    await server!.stop()
    const texts = [status, readFileSync(log, 'utf8'), readFileSync(home.path('log'), 'utf8')]
    for (const text of texts) expect(text).not.toContain('password-of-the-logging-service')
    expect(home.log().filter(({ level }) => level === 'error')).toEqual([])
  },
  SLOW,
)
