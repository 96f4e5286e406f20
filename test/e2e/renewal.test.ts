import { afterAll, beforeAll, expect } from 'bun:test'
import { inStep, openHome, temporaryDirectory } from './support/agent-home.ts'
import type { Agent, AgentHome } from './support/agent-home.ts'
import { seenIn } from './support/bindings.ts'
import { expectedFor, landscapeFor } from './support/landscape.ts'
import { startPlane } from './support/plane-process.ts'
import type { PlaneProcess } from './support/plane-process.ts'
import { ensureExecutable, onExecutable as run, SLOW } from './support/program.ts'

const landscape = landscapeFor(['one'])
const expected = expectedFor('one', landscape)

let plane: PlaneProcess
let home: AgentHome
let agent: Agent

beforeAll(async () => {
  await ensureExecutable()
  // The shortest life that `agent dev` allows: it is renewed after about seven seconds.
  plane = await startPlane({ directory: temporaryDirectory(), landscape, lifetime: '10s' })
  home = openHome({ ca: plane.ca })
  home.giveToken(await plane.token('one'))
  agent = home.start()
  await agent.until('it is in step', inStep)
}, SLOW)

afterAll(async () => {
  agent.signal('SIGKILL')
  await plane.close()
})

/** Fingerprint of the certificate of the latest request. */
async function presented(): Promise<string | undefined> {
  return (await plane.events()).at(-1)?.fingerprint
}

run(
  'a short-lived certificate renews itself well before its end, with one signing call, and the server sees only the new one',
  async () => {
    const { identity: before } = (await agent.status())!
    const { identity: after } = await agent.until(
      'the certificate is another one',
      ({ identity }) => identity?.fingerprint !== before!.fingerprint,
    )
    const now = Date.now()
    expect(before!.notAfter - now).toBeGreaterThan(1000)
    expect(before!.notAfter - now).toBeLessThan(5000)
    const seen = await plane.events()
    expect(seen.filter(({ operations }) => operations.includes('sign'))).toHaveLength(2)
    await home.run('sync', '--once')
    expect(await presented()).toBe(after!.fingerprint)
  },
  SLOW,
)

run(
  'an agent that slept past the end of its certificate keeps everything, asks for a token, and heals within five seconds of one',
  async () => {
    const { identity } = (await agent.status())!
    agent.signal('SIGSTOP')
    await Bun.sleep(identity!.notAfter - Date.now() + 1000)
    agent.signal('SIGCONT')
    const status = await agent.until(
      'it waits for a token',
      ({ identity: held, state }) => held?.condition === 'expired' && state === 'idle',
    )
    expect(status.why).toBe('waiting for a one-time token')
    expect(status.problems[0]).toMatchObject({ turn: 'operator' })
    expect(seenIn(home.path('out'))).toEqual(expected)
    const asked = await home.run('sync', '--once')
    expect(asked.code).toBe(3)
    home.giveToken(await plane.token('one'))
    const given = performance.now()
    await agent.until('it is in step', inStep)
    expect(performance.now() - given).toBeLessThan(6000)
    expect(seenIn(home.path('out'))).toEqual(expected)
    expect(home.log().filter(({ level }) => level === 'error')).toEqual([])
  },
  SLOW,
)
