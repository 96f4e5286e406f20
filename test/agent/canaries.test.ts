import { expect, test } from 'bun:test'
import { planTarget } from '../../src/agent/apply.ts'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import { landscapeOf } from '../../src/devplane/landscape.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { initialGuardState } from '../../src/model/guard.ts'
import { HOUR, MINUTE } from '../../src/model/time.ts'
import { renderPage } from '../../src/server/page.ts'
import { Disk } from './disk.ts'
import { World } from './harness.ts'
import type { TestAgent } from './harness.ts'

/*
 * Every agent of this folder proves at its end that it said no secret (harness.ts). Here stands that this proof can
 * fail, and one life with everything in it that could bring a secret to light.
 */

/** Secrets in every place that has one, with characters that formats escape. */
function world(): Promise<World> {
  const { applications } = makeLandscape({ applications: 3, bundles: 3, apis: 1, events: 1 })
  const [one, two] = [applications[0]!.bundles, applications[1]!.bundles]
  one[0]!.auth = {
    credential: { type: 'basic', username: 'canary-user', password: 'canary "pass"\\word\n' },
    headers: { 'X-Canary': ['canary-header-1', 'canary-header-2'] },
    queryParams: { key: ['canary-query'] },
    csrf: {
      tokenUrl: 'https://csrf.example/',
      credential: { type: 'basic', username: 'canary-csrf-user', password: 'canary-csrf-pass' },
      headers: { 'X-Csrf': ['canary-csrf-header'] },
    },
  }
  one[1]!.auth = {
    credential: {
      type: 'certificate_oauth',
      clientId: 'canary-certificate-client',
      certificate: 'canary-certificate',
      tokenUrl: 'https://t.example/',
    },
  }
  two[0]!.auth = { headers: { 'X-Blank': [' canary with blanks around '] } }
  return World.open(landscapeOf(applications))
}

const TROUBLE: KnobSettings[] = [
  { errorBesideData: 10 },
  { cut: 0.9 },
  { html: 200 },
  { status: 500 },
  { hollow: 'object' },
  { error: 22 },
  { scopes: [] },
  { emptyPage: true },
  { nullCredentials: true },
  { certificate: 'otherName' },
]

async function plannedBy(agent: TestAgent, disk: Disk): Promise<string> {
  const { snapshot } = await agent.stores.snapshots.load()
  const planned = await planTarget(
    {
      target: disk.target('empty'),
      snapshot: snapshot!,
      guardState: initialGuardState,
      guard: {
        ordinary: { count: 5, percent: 20 },
        massDeletion: 'hold',
        credentialsGrace: 24 * HOUR,
      },
      approvals: [],
      now: agent.clock.now(),
    },
    new AbortController().signal,
  )
  return JSON.stringify(planned)
}

test('a whole life in trouble says no secret: log at debug, status, page, metrics, plan, state', async () => {
  await using own = await world()
  using disk = new Disk(own)
  await own.plane.set({ lost: { operation: 'sign' } })
  await using agent = await own.start({
    stores: disk.stores(),
    targets: [disk.target()],
    token: `${await own.token()}x`,
  })
  await own.clock.advance(MINUTE)
  agent.token = await own.token()
  await own.clock.advance(MINUTE)
  await own.plane.reset()
  agent.token = (await own.issueToken()).raw
  await own.clock.advance(MINUTE)
  await agent.atRest()
  expect(agent.status.identity?.condition).toBe('valid')
  expect(agent.codes).toEqual(['credentials_unsupported', 'value_suspect'])
  const planned = await plannedBy(agent, disk)
  expect(planned).toContain('binding/')
  for (const knobs of TROUBLE) {
    await own.plane.set(knobs)
    await agent.sync()
    await agent.ask({ kind: 'renew' })
    await own.plane.reset()
    await own.clock.advance(MINUTE)
  }
  own.edit(({ applications }) => {
    applications[0]!.bundles[0]!.auth = { headers: { 'X-Canary': ['canary-rotated'] } }
    applications.splice(1, 1)
  })
  await agent.sync()
  expect(agent.log.length).toBeGreaterThan(50)
  expect(own.secrets.size).toBeGreaterThan(50)
  const pages: string[] = []
  for (const status of agent.statuses) pages.push(String(await renderPage(status, status.at)))
  expect(own.secrets.foundIn([planned, ...pages, agent.said()].join('\n'))).toEqual([])
})

test('the proof itself fails when a password, a token or a line of a key is said', async () => {
  await using own = await world()
  const token = await own.issueToken()
  const { key } = await own.identity()
  const { secrets } = own
  expect(secrets.foundIn('{"message":"canary-user logs in"}')).toHaveLength(1)
  expect(secrets.foundIn(JSON.stringify({ said: 'canary "pass"\\word\n' }))).toHaveLength(1)
  expect(secrets.foundIn(`Cannot use ${token.token}`)).toHaveLength(1)
  expect(secrets.foundIn(token.rawEncoded).length).toBeGreaterThan(0)
  expect(secrets.foundIn(key.reveal().split('\n')[5]!)).toHaveLength(1)
  expect(secrets.foundIn('Cannot use the credentials of mp-application-0000')).toEqual([])
  await using agent = await own.healthy()
  agent.log.push('canary-header-1')
  expect(await agent.stop().catch(String)).toContain('secrets were said: canary…')
})
