import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from 'node:fs'
import type { Status } from '../../src/model/status.ts'
import { freePort, inStep, openHome, temporaryDirectory } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { generations, LIBRARIES, readWith, seenIn } from './support/bindings.ts'
import { expectedFor, landscapeFor } from './support/landscape.ts'
import { startPlane } from './support/plane-process.ts'
import type { PlaneProcess } from './support/plane-process.ts'
import { ensureExecutable, finish, onExecutable as run, SLOW } from './support/program.ts'

const landscape = landscapeFor(['one'], 3)
const expected = expectedFor('one', landscape)
const labels = { eventGatewayUrl: 'https://gateway.example', consoleUrl: 'https://console.example' }

let plane: PlaneProcess
let home: AgentHome
let agent: Agent
let page: string

beforeAll(async () => {
  await ensureExecutable()
  plane = await startPlane({ directory: temporaryDirectory(), landscape })
  home = openHome({ ca: plane.ca })
  const port = await freePort()
  page = `http://127.0.0.1:${port}`
  home.configure({ labels, status: { listen: `127.0.0.1:${port}` } })
}, SLOW)

afterAll(async () => {
  agent.signal('SIGKILL')
  await plane.close()
})

/** What the commands print with --json, as far as it is looked at. */
type Answer = Omit<Status, 'targets'> & { status: Status; targets: unknown[] }

async function json(
  command: string,
  ...args: string[]
): Promise<{ code: number | null; value: Answer }> {
  const { code, out } = await home.run(command, ...args, '--json')
  return { code, value: JSON.parse(out) as Answer }
}

describe('one token and one agent.yaml', () => {
  run(
    'become an identity, all bindings and the labels, and nothing else was typed',
    async () => {
      home.giveToken(await plane.token('one'))
      agent = home.start()
      const status = await agent.until('it is in step', inStep)
      expect(seenIn(home.path('out'))).toEqual(expected)
      const [runtime] = await plane.runtimes()
      expect(status.runtimeId).toBe(runtime!.id)
      expect(runtime!.labels).toMatchObject({
        runtime_eventServiceUrl: labels.eventGatewayUrl,
        runtime_consoleUrl: labels.consoleUrl,
      })
      expect(status.token).toBe('spent')
    },
    SLOW,
  )

  run.each(LIBRARIES)(
    'give bindings that %s reads',
    async (library) => {
      const read = await readWith(library, home.path('out'))
      expect(read.every(({ type }) => type === 'ucl-api')).toBe(true)
      const passwords = (of: { password?: string }[]) => of.map(({ password }) => password).sort()
      expect(read.map(({ id }) => id!).sort()).toEqual(Object.keys(expected))
      expect(passwords(read)).toEqual(passwords(Object.values(expected)))
    },
    SLOW,
  )

  run(
    'keep keys and state from everybody else, and the bindings from all but their readers',
    () => {
      const mode = (...parts: string[]) => (statSync(home.path(...parts)).mode & 0o7777).toString(8)
      expect(mode('state')).toBe('700')
      expect(mode('state', 'identity')).toBe('700')
      expect(mode('out')).toBe('2750')
      for (const name of readdirSync(home.path('state', 'identity', 'current')))
        expect(mode('state', 'identity', 'current', name)).toBe('600')
      for (const name of ['lock', 'agent.sock', 'snapshot.json', 'state.json', 'digest.key'])
        expect(mode('state', name)).toBe('600')
      const [binding] = readdirSync(home.path('out/current/bindings'))
      expect(mode('out/current/bindings', binding!, 'type')).toBe('640')
    },
  )
})

describe('a running agent', () => {
  run(
    'answers probes, metrics and a page on its port, and nothing that would change it',
    async () => {
      const get = async (path: string) => {
        const answer = await fetch(`${page}${path}`)
        return { status: answer.status, text: await answer.text() }
      }
      expect(await get('/livez')).toEqual({ status: 200, text: 'ok\n' })
      const ready = await get('/readyz')
      expect([ready.status, JSON.parse(ready.text)]).toEqual([
        200,
        { ready: true, degraded: false, reasons: [] },
      ])
      expect((await get('/metrics')).text).toMatch(
        /^agent_source_applications{source="director"} 3$/m,
      )
      const shown = await get('/')
      expect(shown.text).toContain('one-app-2')
      expect(shown.text).not.toContain('one app 2 one')
      expect((await fetch(`${page}/sync`, { method: 'POST' })).status).toBe(405)
      expect((await fetch(page, { headers: { host: 'evil.example' } })).status).toBe(421)
    },
  )

  run('is shown by `agent status`, as text and as JSON', async () => {
    const { code, value } = await json('status')
    expect(code).toBe(0)
    expect(value).toMatchObject({ pid: agent.pid, problems: [], token: 'spent' })
    const { out } = await home.run('status')
    expect(out).toContain('(running)')
    expect(out).toMatch(/^to files +9 objects, in step/m)
    expect((await home.run('status', '--check')).code).toBe(0)
    expect((await home.run('status', '--wait=identity')).code).toBe(0)
  })

  run('has nothing to plan, and `sync --once` writes nothing', async () => {
    const before = generations(home.path('out'))
    const { code, value } = await json('plan')
    expect(code).toBe(0)
    expect(value.targets).toEqual([
      { target: 'files', objects: 9, changes: [], held: [], waiting: [], problems: [] },
    ])
    const synced = await json('sync', '--once')
    expect([synced.code, synced.value.problems]).toEqual([0, []])
    expect(generations(home.path('out'))).toEqual(before)
  })

  run(
    'stops changing anything while it is paused, and goes on when it is resumed',
    async () => {
      const paused = await json('pause')
      expect([paused.code, paused.value.status.paused]).toEqual([0, true])
      const rotated = structuredClone(landscape)
      rotated.applications[0]!.bundles[0]!.auth!.basic.password = 'rotated'
      await plane.serve(rotated)
      await home.run('sync', '--once')
      expect(seenIn(home.path('out'))).toEqual(expected)
      expect((await json('resume')).code).toBe(0)
      await agent.until('the password is there', () =>
        Object.values(seenIn(home.path('out'))).some(({ password }) => password === 'rotated'),
      )
      expect(seenIn(home.path('out'))).toEqual(expectedFor('one', rotated))
      await plane.serve(landscape)
      await agent.until('the old password is back', () =>
        Bun.deepEquals(seenIn(home.path('out')), expected),
      )
    },
    SLOW,
  )

  run(
    'renews when it is told to: a new certificate of a new key, and the old one goes away',
    async () => {
      const before = (await agent.status())!.identity!.fingerprint
      const key = readFileSync(home.path('state/identity/current/key.pem'), 'utf8')
      const { code, value } = await json('renew')
      expect(code).toBe(0)
      const after = value.status.identity!.fingerprint
      expect(after).not.toBe(before)
      expect(readFileSync(home.path('state/identity/current/key.pem'), 'utf8')).not.toBe(key)
      await home.run('sync', '--once')
      const used = (await plane.events()).at(-1)!.fingerprint
      expect(used).toBe(after)
    },
    SLOW,
  )

  run('cannot reconnect with a token that is spent, and says whose turn it is', async () => {
    const { code, value } = await json('reconnect')
    expect(code).toBe(3)
    expect(value.problems[0]).toMatchObject({ code: 'token_missing', turn: 'operator' })
  })

  run(
    'reconnects with a new token',
    async () => {
      const before = (await agent.status())!.identity!.fingerprint
      home.giveToken(await plane.token('one'))
      await agent.until('the token is seen', ({ token }) => token === 'unspent')
      const { code, value } = await json('reconnect')
      expect([code, value.problems]).toEqual([0, []])
      expect(value.status.identity!.fingerprint).not.toBe(before)
      expect(value.status.token).toBe('spent')
    },
    SLOW,
  )

  run(
    'keeps others out: a second one ends with 4 and one message, and the first goes on',
    async () => {
      const second = await home.run('run')
      expect(second.code).toBe(4)
      expect(second.err).toMatch(
        /^agent: error: Cannot use the state directory .*: another agent holds its lock \[already_running\]\n/,
      )
      expect(second.err.trimEnd().split('\n')).toHaveLength(2)
      expect((await agent.status())?.pid).toBe(agent.pid)
    },
  )
})

run(
  'no token, key or password is in its log, status, page, metrics, plan or command line',
  async () => {
    const token = readFileSync(home.path('token'), 'utf8')
    const { token: inside } = JSON.parse(atob(token)) as { token: string }
    const [, line] = readFileSync(home.path('state/identity/current/key.pem'), 'utf8').split('\n')
    const passwords = Object.values(expected).flatMap(({ password }) => password ?? [])
    const shown = [
      readFileSync(home.path('log'), 'utf8'),
      readFileSync(home.path('state/status.json'), 'utf8'),
      readFileSync(`/proc/${agent.pid}/cmdline`, 'utf8'),
      await (await fetch(page)).text(),
      await (await fetch(`${page}/metrics`)).text(),
      (await home.run('status', '--json')).out,
      (await home.run('plan', '--json')).out,
    ].join('\n')
    for (const secret of [token.slice(0, 60), inside, line!, 'PRIVATE KEY', ...passwords])
      expect(shown).not.toContain(secret)
    expect(shown).toContain('enrolled as runtime')
  },
)

describe('a stopped agent', () => {
  run(
    'has ended with 0 within five seconds and left neither socket nor lock nor half a file',
    async () => {
      const { how, after } = await agent.stop()
      expect(how).toBe(0)
      expect(after).toBeLessThan(5000)
      expect(existsSync(home.path('state/agent.sock'))).toBe(false)
      const names = [...readdirSync(home.path('state')), ...readdirSync(home.path('out'))]
      expect(names.filter((name) => /tmp|new-|old-|probe|journal/.test(name))).toEqual([])
      const { code, out } = await home.run('status')
      expect(code).toBe(0)
      expect(out).toContain('no agent runs; as of')
      expect((await home.run('status', '--check')).code).toBe(1)
    },
  )

  run(
    'is stood in for by `sync --once`, which takes the lock and goes on from the same state',
    async () => {
      const { code, err } = await home.run('sync', '--once')
      expect([code, err]).toEqual([0, 'agent: in step\n'])
      expect(existsSync(home.path('state/agent.sock'))).toBe(false)
    },
  )

  run(
    'can be paused: nobody is asked for it, and the next start changes nothing until it is resumed',
    async () => {
      const last = (await plane.events()).at(-1)!.sequence
      const paused = await json('pause')
      expect([paused.code, paused.value.status.paused]).toEqual([0, true])
      expect((await home.run('status', '--json')).out).toContain('"paused": true')
      const started = home.start()
      const status = await started.until('it is at rest', ({ state }) => state === 'idle')
      expect([status.paused, status.why]).toEqual([true, 'paused by an operator'])
      expect(await plane.events(last)).toEqual([])
      await started.stop()
      expect((await home.run('resume')).code).toBe(0)
    },
    SLOW,
  )

  run(
    'goes on where it was: no new generation, nothing signed, no token spent, nothing rewritten',
    async () => {
      const stamps = () =>
        [
          'out/.runtime-agent.json',
          'out/current',
          'state/snapshot.json',
          'state/identity/current',
          'state/digest.key',
        ].map((path) => lstatSync(home.path(path)).mtimeMs)
      const before = { generations: generations(home.path('out')), stamps: stamps() }
      home.giveToken(await plane.token('one'))
      const last = (await plane.events()).at(-1)!.sequence
      agent = home.start()
      const status = await agent.until('it is in step', inStep)
      expect(status.token).toBe('unspent')
      expect({ generations: generations(home.path('out')), stamps: stamps() }).toEqual(before)
      const asked = (await plane.events(last)).flatMap(({ operations }) => operations)
      expect(new Set(asked)).toEqual(new Set(['runtime', 'applications']))
    },
    SLOW,
  )

  run('ends on SIGINT as on SIGTERM, also when it has only just started', async () => {
    agent.signal('SIGINT')
    expect(await agent.exited).toBe(0)
    const fresh = home.start()
    await Bun.sleep(30)
    const { how, after } = await fresh.stop()
    expect([0, 'SIGTERM']).toContain(how)
    expect(after).toBeLessThan(5000)
  })
})

describe('commands that need no agent', () => {
  run('check, schema and version print JSON and end with 0', async () => {
    const check = await json('check')
    expect([check.code, check.value]).toMatchObject([
      0,
      { ok: true, warnings: [], targets: [{ name: 'files', kind: 'files' }] },
    ])
    for (const args of [['schema'], ['schema', '--json'], ['version', '--json']]) {
      const { code, out, err } = await finish(args, { cwd: home.directory })
      expect([code, err]).toEqual([0, ''])
      expect(typeof JSON.parse(out)).toBe('object')
    }
  })
})
