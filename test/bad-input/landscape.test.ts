import { afterAll, beforeAll, expect } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { deriveId, landscapeOf } from '../../src/devplane/landscape.ts'
import type { Landscape, LandscapeApplication } from '../../src/devplane/landscape.ts'
import { openPlane } from '../../src/devplane/plane.ts'
import type { Plane } from '../../src/devplane/plane.ts'
import { freePort, openHome, temporaryDirectory } from '../e2e/support/agent-home.ts'
import type { Agent, AgentHome } from '../e2e/support/agent-home.ts'
import { readBindings } from '../e2e/support/bindings.ts'
import { ensureExecutable, onExecutable as run, SLOW } from '../e2e/support/program.ts'

/** What people and machines have called things. A NUL cannot be stored by Compass, but whoever answers may send one. */
const ODD = [
  '../x',
  '/etc/passwd',
  '..',
  '.',
  '',
  ' ',
  'n'.repeat(300),
  '🦊🔥',
  'a\0b',
  'con',
  'aux.txt',
  '.metadata',
  'ucl-',
  'Ünïcödé',
  '__proto__',
  'constructor',
  '-rf',
  '--help',
  '%2e%2e%2f',
  'a/../../b',
  'tab\tline\nreturn\r',
  '$(reboot)',
  '`reboot`',
  '"; rm -rf / #',
  "' OR 1=1",
  '<script>alert(1)</script>',
  '{{7*7}}',
  '\u001b[2J\u001b]0;owned\u0007',
  '\u009b31m',
  '\u202egnp.exe',
  'e\u0301',
  'é',
  'ＡＢＣ',
  'null',
  'true',
  '1e9',
  '*',
  '?',
  'C:\\Windows',
  'x'.repeat(64),
] as const
const COUNT = 200

function oddName(index: number): string {
  const [first, second] = [ODD[index % ODD.length]!, ODD[Math.floor(index / ODD.length)]!]
  return index < ODD.length ? first : `${first}${second}${index}`
}

function oddApplication(index: number): LandscapeApplication {
  const name = oddName(index)
  const id = deriveId('odd', String(index))
  const bundle = {
    id: deriveId('bundle', id),
    name,
    description: name,
    auth: {
      credential: { type: 'basic' as const, username: name, password: `${index} ${name}` },
      headers: { [`X-${index}`]: [name] },
    },
    apis: [{ id: deriveId('api', id), name, description: name, targetUrl: name }],
    events: [{ id: deriveId('event', id), name }],
  }
  return {
    id,
    name,
    providerName: name,
    description: name,
    labels: { odd: name },
    formations: ['default'],
    hidden: false,
    authIds: [],
    bundles: [bundle],
  }
}

/** A runtime that wants the names as they are, not as the Director makes them harmless. */
function landscape(): Landscape {
  const plain = landscapeOf(Array.from({ length: COUNT }, (_, index) => oddApplication(index)))
  const [runtime] = plain.runtimes
  return { ...plain, runtimes: [{ ...runtime!, labels: { isNormalized: 'false' } }] }
}

let plane: Plane
let home: AgentHome
let agent: Agent
let page: string

beforeAll(async () => {
  await ensureExecutable()
  plane = await openPlane({ landscape: landscape() })
  const ca = join(temporaryDirectory(), 'ca.pem')
  writeFileSync(ca, plane.caPem)
  home = openHome({ ca })
  const port = await freePort()
  page = `http://127.0.0.1:${port}/`
  home.configure({
    connector: { token: { file: 'token' }, ca: { file: ca } },
    status: { listen: `127.0.0.1:${port}` },
  })
  home.giveToken((await plane.issueToken()).rawEncoded)
  agent = home.start()
  await agent.until(
    'every binding is there',
    ({ targets }) => (targets[0]?.objects ?? 0) >= COUNT * 2,
  )
}, SLOW)

afterAll(async () => {
  agent.signal('SIGKILL')
  await plane.close()
})

run(
  'a hostile landscape of 200 applications gives 200 bindings, each in its place and with its own password',
  () => {
    const bindings = Object.entries(readBindings(home.path('out')))
    expect(bindings).toHaveLength(COUNT)
    for (const [name] of bindings) expect(name).toMatch(/^ucl-[a-z0-9][a-z0-9-]{1,58}[a-z0-9]$/)
    const passwords = bindings.map(([, binding]) => [
      binding['ucl-application-id'],
      binding['password'],
    ])
    const wanted = plane.landscape.applications.map(({ id }, index) => [
      id,
      `${index} ${oddName(index)}`,
    ])
    expect(passwords.sort()).toEqual(wanted.sort())
  },
)

run('nothing is written anywhere else', () => {
  expect(readdirSync(home.directory).sort()).toEqual(['agent.yaml', 'log', 'out', 'state', 'token'])
  const generation = home.path('out/current')
  expect(readdirSync(generation).sort()).toEqual([
    'MANIFEST.json',
    'applications',
    'bindings',
    'env',
    'json',
  ])
  for (const part of ['applications', 'env', 'json'])
    for (const name of readdirSync(join(generation, part)))
      expect(name).toMatch(/^[a-z0-9-]+\.(json|env)$/)
  for (const name of readdirSync(join(generation, 'json')))
    JSON.parse(readFileSync(join(generation, 'json', name), 'utf8'))
})

run(
  'the second pass changes nothing, and what cannot be held somewhere is a problem of that application alone',
  async () => {
    const { code, out } = await home.run('plan', '--json')
    expect(code).toBe(0)
    const [target] = JSON.parse(out).targets
    expect(target.changes).toEqual([])
    expect(
      [...new Set(target.problems.map((problem: { code: string }) => problem.code))].sort(),
    ).toEqual(['application_invalid', 'value_suspect'])
    expect((await home.run('sync', '--once')).code).toBe(5)
    const status = (await agent.status())!
    const conditions = Map.groupBy(status.applications, ({ condition }) => condition)
    expect([...conditions.keys()].sort()).toEqual(['problem', 'synced'])
    expect(conditions.get('synced')!.length).toBeGreaterThan(COUNT / 2)
  },
)

const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/

run.each(['status', 'plan', 'sync --once', 'status --json', 'plan --json'])(
  'no name steers a terminal: agent %s',
  async (line) => {
    const [command = '', ...rest] = line.split(' ')
    const { out, err } = await home.run(command, ...rest)
    expect(out + err).not.toMatch(CONTROL)
    if (rest.includes('--json')) JSON.parse(out)
  },
)

run('no name steers a browser, a metric or a line of the log', async () => {
  const shown = await (await fetch(page)).text()
  expect(shown).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
  expect(shown).not.toContain('<script>')
  const metrics = await (await fetch(`${page}metrics`)).text()
  for (const line of metrics.trimEnd().split('\n'))
    expect(line).toMatch(/^(# (HELP|TYPE) )?[a-z_]+[ {]/)
  for (const { level, message } of home.log())
    expect([typeof level, typeof message]).toEqual(['string', 'string'])
  expect(readFileSync(home.path('log'), 'utf8').replaceAll('\n', '')).not.toMatch(CONTROL)
})

run(
  'nothing is lost when all of them are renamed and rotated at once',
  async () => {
    const before = Object.keys(readBindings(home.path('out'))).sort()
    plane.edit((draft) => ({
      ...draft,
      applications: draft.applications.map((application, index) => ({
        ...application,
        name: oddName(COUNT - index),
      })),
    }))
    await home.run('sync', '--once')
    const after = readBindings(home.path('out'))
    expect(Object.keys(after).sort()).toEqual(before)
    expect(
      (await agent.status())!.problems.filter(({ code }) => code.startsWith('deletions')),
    ).toEqual([])
  },
  SLOW,
)
