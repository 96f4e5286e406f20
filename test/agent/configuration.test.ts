import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { AgentError } from '../../src/model/problem.ts'
import { HOUR, MINUTE, SECOND } from '../../src/model/time.ts'
import type { KnobSettings } from '../../src/devplane/knob-board.ts'
import type { Landscape } from '../../src/devplane/landscape.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { openLog } from '../../src/runtime/log.ts'
import { statusFile } from '../../src/server/status-file.ts'
import { openMemory } from '../../src/targets/memory.ts'
import type { MemoryTarget } from '../../src/targets/memory.ts'
import { Disk } from './disk.ts'
import { INTERVAL, World } from './harness.ts'
import type { AgentOptions, TestAgent } from './harness.ts'
import { openStores } from './stores.ts'

const DAPR = 'dapr.io/v1alpha1'

const component = (name: string, password = `never-shown-${name}`): Record<string, unknown> => ({
  apiVersion: DAPR,
  kind: 'Component',
  metadata: { name },
  spec: {
    type: 'bindings.http',
    version: 'v1',
    metadata: [{ name: 'password', value: password }],
  },
})

const APPLICATIONS = { applications: 2, bundles: 1, apis: 1, events: 0 }
const landscape = (...resources: unknown[]): Landscape => ({
  ...makeLandscape(APPLICATIONS),
  configurations: [{ name: 'all', resources }],
})

let world: World
beforeAll(async () => {
  world = await World.open(landscape(component('logging')))
  await world.identity()
})
afterEach(async () => {
  world.answersAtOnce = false
  await world.plane.reset()
  world.plane.replace(landscape(component('logging')))
})
afterAll(() => world[Symbol.asyncDispose]())

/** Another configuration from now on. */
function configure(...resources: unknown[]): void {
  world.edit((draft) => (draft.configurations = [{ name: 'all', resources }]))
}

const silent = openLog({ level: 'error', format: 'json', write: () => undefined })

/** An agent that is enrolled and in step, and does not keep the Runtime Director waiting unless it says so. */
async function inStep(options: AgentOptions = {}): Promise<TestAgent> {
  return world.healthy({ configuration: {}, ...options })
}

/** The server tells no changes by itself, so that time is all made up. */
async function noWait(knobs: KnobSettings = {}): Promise<void> {
  world.answersAtOnce = true
  await world.plane.set({ noWait: true, ...knobs })
}

/** Until the agent waits for news. */
async function listening(agent: TestAgent): Promise<void> {
  await world.clock.advance(4 * SECOND)
  await agent.until(({ sources }) => sources.some((one) => one.listening))
}

const documentsOf = ({ objects }: MemoryTarget): string[] =>
  [...objects.keys()].filter((key) => key.startsWith('config/')).sort()
const applicationsOf = ({ objects }: MemoryTarget): number =>
  [...objects.keys()].filter((key) => key.startsWith('application/')).length
const LOGGING = 'config/dapr.io/Component//logging'
const key = (name: string): string => `config/dapr.io/Component//${name}`

describe('a configuration', () => {
  test('reaches the targets beside the applications, and the status tells of it', async () => {
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    expect(documentsOf(memory)).toEqual([LOGGING])
    expect(applicationsOf(memory)).toBe(2)
    const { sources, configuration, problems } = agent.status
    expect(problems).toEqual([])
    expect(sources.find(({ name }) => name === 'runtime-director')).toMatchObject({
      documents: 1,
      refused: 0,
      failures: 0,
    })
    expect(sources.find(({ name }) => name === 'director')).not.toHaveProperty('documents')
    expect(configuration).toMatchObject({
      documents: [{ apiVersion: DAPR, kind: 'Component', name: 'logging', condition: 'synced' }],
      refused: [],
    })
  })

  test('that changes is applied at once, as the agent listens, and keeps nobody waiting', async () => {
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    await listening(agent)
    expect(agent.status).toMatchObject({ state: 'idle', running: [] })
    const began = world.clock.now()
    configure(component('logging'), component('tracing'))
    await agent.until(({ configuration }) => configuration?.documents.length === 2)
    await agent.atRest()
    expect(documentsOf(memory)).toEqual([LOGGING, key('tracing')])
    expect(world.clock.now() - began).toBeLessThan(SECOND)
  })

  test('whose server cannot wait is asked at the interval', async () => {
    await noWait()
    await using agent = await inStep()
    await world.clock.advance(2 * SECOND)
    const mark = world.mark()
    await world.clock.advance(10 * MINUTE)
    const asked = world.requests(mark).filter((one) => one === 'fetch').length
    expect(asked).toBeGreaterThanOrEqual(9)
    expect(asked).toBeLessThanOrEqual(11)
    await agent.stop()
  })

  test('is asked for at once when a person wants a sync, whoever listens', async () => {
    await using agent = await inStep()
    await listening(agent)
    const mark = world.mark()
    const before = performance.now()
    await agent.sync()
    expect(performance.now() - before).toBeLessThan(5000)
    expect(world.requests(mark)).toContain('fetch')
  })

  test('is listened for over the new certificate once there is one', async () => {
    await using agent = await inStep()
    await listening(agent)
    const mark = world.mark()
    await agent.ask({ kind: 'renew' })
    await listening(agent)
    configure(component('other'))
    await agent.until(({ configuration }) => configuration?.documents[0]?.name === 'other')
    const { fingerprint } = agent.status.identity!
    const fetches = world.plane.events(mark).filter(({ operations }) => operations[0] === 'fetch')
    expect(fetches.at(-1)?.fingerprint).toBe(fingerprint)
  })

  test('listened for does not keep the agent from ending', async () => {
    await using agent = await inStep()
    await listening(agent)
    const began = performance.now()
    await agent.stop()
    expect(performance.now() - began).toBeLessThan(1000)
    expect(agent.codes).toEqual([])
  })
})

describe('what did not change', () => {
  test.each([
    ['with a name', {}],
    ['without a name', { noEtag: true }],
    ['without a name and with keys in another order each time', { noEtag: true, keyOrder: true }],
  ] as const)(
    'costs no write, a thousand times (%s)',
    async (_, knobs) => {
      await noWait(knobs)
      using disk = new Disk(world)
      const stores = disk.stores()
      stores.identity = openStores(await world.identity()).identity
      await using agent = await inStep({
        stores,
        targets: [disk.target()],
        configuration: { interval: SECOND },
        settings: { interval: HOUR },
        reporters: [statusFile(disk.statePath(), silent)],
      })
      await world.clock.advance(2 * SECOND)
      const [before, mark] = [disk.traces(), world.mark()]
      while (world.plane.events(mark).filter((e) => e.operations[0] === 'fetch').length < 1000)
        await world.clock.advance(MINUTE)
      expect(disk.traces()).toEqual(before)
      expect(agent.codes).toEqual([])
    },
    60_000,
  )
})

describe('the slices are apart:', () => {
  const broken = [
    ['500', { status: { operation: 'runtimeDirector', value: 500 } }],
    ['404', { status: { operation: 'runtimeDirector', value: 404 } }],
    ['HTML', { html: { operation: 'runtimeDirector', value: 200 } }],
    ['cut JSON', { cut: { operation: 'runtimeDirector', value: 0.5 } }],
    ['an empty body', { cut: { operation: 'runtimeDirector', value: 0 } }],
    ['another runtime', { otherRuntime: true }],
    ['an unknown shape', { form: 'unknown' }],
    ['null', { form: 'null' }],
    ['nothing at all', { form: 'missing' }],
  ] as const

  test.each(broken)('a Runtime Director that answers with %s changes nothing', async (_, knobs) => {
    await noWait()
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    const { writes } = memory
    await world.plane.set({ ...knobs, noEtag: true })
    configure()
    await world.clock.advance(30 * MINUTE)
    expect(documentsOf(memory)).toEqual([LOGGING])
    expect(memory.writes).toBe(writes)
    const source = agent.status.sources.find(({ name }) => name === 'runtime-director')
    expect(source?.failures).toBeGreaterThan(0)
    expect(agent.status.sources.find(({ name }) => name === 'director')?.failures).toBe(0)
    // What is there is guarded and repaired all the same.
    memory.objects.delete(LOGGING)
    await world.clock.advance(INTERVAL)
    expect(documentsOf(memory)).toEqual([LOGGING])
    await agent.stop()
  })

  test('a Director that fails keeps no configuration from being applied, and loses no application', async () => {
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    await listening(agent)
    await world.plane.set({ status: { operation: 'director', value: 500 } })
    configure(component('logging'), component('tracing'))
    await agent.until(({ configuration }) => configuration?.documents.length === 2)
    await world.clock.advance(MINUTE)
    expect(documentsOf(memory)).toEqual([LOGGING, key('tracing')])
    expect(applicationsOf(memory)).toBe(2)
  })

  test('a Director that never answered at all keeps no configuration from being applied', async () => {
    await world.plane.set({ status: { operation: 'director', value: 500 } })
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    await world.clock.advance(MINUTE)
    expect(documentsOf(memory)).toEqual([LOGGING])
    expect(applicationsOf(memory)).toBe(0)
    await agent.stop()
  })

  test('a full disk keeps what was there, of both slices, until there is room', async () => {
    await noWait()
    const stores = openStores(await world.identity())
    const memory = openMemory('memory')
    await using agent = await inStep({ stores, targets: [memory] })
    await world.clock.advance(MINUTE)
    stores.configurations.failures = Infinity
    configure(component('logging'), component('tracing'))
    await world.clock.advance(MINUTE)
    expect(agent.codes).toEqual(['disk_full'])
    expect(documentsOf(memory)).toEqual([LOGGING])
    stores.configurations.failures = 0
    await world.clock.advance(5 * MINUTE)
    expect(agent.codes).toEqual([])
    expect(documentsOf(memory)).toEqual([LOGGING, key('tracing')])
  })

  test('a configuration that cannot be stored is used all the same, and said once', async () => {
    const stores = openStores(await world.identity())
    stores.configurations.save = () =>
      Promise.resolve(
        new AgentError('snapshot_too_large', 'Cannot keep the configuration').toProblem(),
      )
    const memory = openMemory('memory')
    await using agent = await inStep({ stores, targets: [memory] })
    expect(documentsOf(memory)).toEqual([LOGGING])
    expect(agent.codes).toEqual(['snapshot_too_large'])
    expect(agent.log.filter((line) => line.includes('snapshot_too_large'))).toHaveLength(1)
  })
})

describe('documents that go', () => {
  test('are removed as ordinary deletions while others stay', async () => {
    const memory = openMemory('memory')
    configure(component('a'), component('b'))
    await using agent = await inStep({ targets: [memory] })
    await listening(agent)
    configure(component('b'))
    await agent.until(({ configuration }) => configuration?.documents.length === 1)
    await agent.atRest()
    expect(documentsOf(memory)).toEqual([key('b')])
  })

  test('all at once wait until three fetches over ten minutes agree', async () => {
    await noWait()
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    await world.clock.advance(MINUTE)
    configure()
    await world.clock.advance(2 * MINUTE)
    expect(documentsOf(memory)).toEqual([LOGGING])
    expect(agent.status.targets[0]?.held).toMatchObject([
      { slice: 'configuration', kind: 'last', documents: 1 },
    ])
    await world.clock.advance(20 * MINUTE)
    expect(documentsOf(memory)).toEqual([])
    expect(applicationsOf(memory)).toBe(2)
    expect(agent.status.targets[0]?.held).toBeUndefined()
  })

  test('all at once go when a person approves', async () => {
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    await listening(agent)
    configure()
    await agent.until(({ targets }) => targets[0]?.held !== undefined)
    const { hash } = agent.status.targets[0]!.held![0]!
    await agent.ask({ kind: 'approve', hash })
    expect(documentsOf(memory)).toEqual([])
    expect(applicationsOf(memory)).toBe(2)
  })

  test('many at once wait for a person', async () => {
    const many = Array.from({ length: 30 }, (_, n) => component(`c-${n}`))
    configure(...many)
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    await listening(agent)
    configure(...many.slice(0, 20))
    await agent.until(({ targets }) => targets[0]?.held !== undefined)
    expect(agent.codes).toContain('deletions_held')
    expect(documentsOf(memory)).toHaveLength(30)
  })
})

describe('documents that are refused', () => {
  const foreign = {
    ...component('foreign'),
    metadata: { name: 'foreign', namespace: 'kube-system' },
  }
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'x' },
  }
  const bomb = { ...component('bomb'), spec: deep(100) }

  test('are named one by one, and the others are applied', async () => {
    configure(component('good'), foreign, binding, bomb, null)
    const memory = openMemory('memory')
    await using agent = await inStep({ targets: [memory] })
    expect(documentsOf(memory)).toEqual([key('good')])
    expect(agent.status.configuration?.refused.map(({ code, subject }) => [code, subject])).toEqual(
      [
        ['configuration_malformed', undefined],
        ['configuration_refused', 'ClusterRoleBinding x'],
        ['configuration_refused', 'Component kube-system/foreign'],
        ['configuration_too_large', 'Component bomb'],
      ],
    )
    expect(agent.codes).toEqual(agent.status.configuration!.refused.map(({ code }) => code))
    expect(agent.log.filter((line) => line.includes('ClusterRoleBinding'))).toHaveLength(1)
  })

  test('keep what is there of them where nobody can tell what was meant', async () => {
    const memory = openMemory('memory')
    configure(component('a'), component('b'))
    await using agent = await inStep({ targets: [memory] })
    await listening(agent)
    configure(component('b'), component('a'), component('a', 'another-password'))
    await agent.until(({ configuration }) => configuration?.refused.length === 1)
    await agent.atRest()
    expect(documentsOf(memory)).toEqual([key('a'), key('b')])
    expect(agent.codes).toEqual(['configuration_malformed'])
    // An item without a name may be any of them.
    await listening(agent)
    configure({ ...component('b'), metadata: {} })
    await agent.until(({ configuration }) => configuration?.documents.length === 0)
    await world.clock.advance(HOUR)
    expect(documentsOf(memory)).toEqual([key('a'), key('b')])
    await listening(agent)
    configure(component('b'))
    await agent.until(({ configuration }) => configuration?.documents.length === 1)
    await agent.atRest()
    expect(documentsOf(memory)).toEqual([key('b')])
  })

  test('by no row any more go, as ordinary deletions', async () => {
    const memory = openMemory('memory')
    configure(component('a'), component('b'))
    const stores = openStores(await world.identity())
    const first = await inStep({ stores, targets: [memory] })
    await first.stop()
    const allow = [{ apiVersion: DAPR, kind: 'Component', namespaces: [], names: ['b'] }]
    await using agent = await inStep({
      stores,
      targets: [memory],
      configuration: { rules: { allow, secrets: [] }, digest: 'others' },
    })
    expect(documentsOf(memory)).toEqual([key('b')])
    expect(agent.codes).toEqual(['configuration_refused'])
  })

  test('and that there is no target for any of it is said once', async () => {
    const memory = openMemory('memory')
    const other = Object.assign(memory, { slices: ['applications'] })
    await using agent = await inStep({ targets: [other] })
    expect(agent.codes).toEqual(['configuration_unused'])
    expect(documentsOf(memory)).toEqual([])
  })
})

describe('after a restart', () => {
  test('without the Runtime Director what is there is repaired from what was stored', async () => {
    const memory = openMemory('memory')
    const stores = openStores(await world.identity())
    const first = await inStep({ stores, targets: [memory] })
    await first.stop()
    await world.plane.set({ status: { operation: 'runtimeDirector', value: 500 } })
    memory.objects.delete(LOGGING)
    await using agent = await inStep({ stores, targets: [memory] })
    await world.clock.advance(MINUTE)
    expect(documentsOf(memory)).toEqual([LOGGING])
    await agent.stop()
  })

  test('what other rules let in is not used, and not removed, until it was fetched anew', async () => {
    const memory = openMemory('memory')
    const stores = openStores(await world.identity())
    const first = await inStep({ stores, targets: [memory] })
    await first.stop()
    await world.plane.set({ status: { operation: 'runtimeDirector', value: 500 } })
    const { writes } = memory
    await using agent = await inStep({ stores, targets: [memory], configuration: { digest: 'x' } })
    await world.clock.advance(HOUR)
    expect(memory.writes).toBe(writes)
    expect(agent.status.configuration).toBeUndefined()
    await world.plane.reset()
    await world.clock.advance(10 * MINUTE)
    expect(agent.codes).toEqual([])
    expect(documentsOf(memory)).toEqual([LOGGING])
  })

  test('without the section nothing of it is removed', async () => {
    const memory = openMemory('memory')
    const stores = openStores(await world.identity())
    const first = await inStep({ stores, targets: [memory] })
    await first.stop()
    await using agent = await world.healthy({ stores, targets: [memory] })
    await world.clock.advance(HOUR)
    expect(documentsOf(memory)).toEqual([LOGGING])
    expect(agent.status.sources.map(({ name }) => name)).toEqual(['director'])
  })

  test('damaged, it is a problem until it is fetched again', async () => {
    const memory = openMemory('memory')
    const stores = openStores(await world.identity())
    const first = await inStep({ stores, targets: [memory] })
    await first.stop()
    stores.configurations.text = '{'
    await world.plane.set({ status: { operation: 'runtimeDirector', value: 500 } })
    await using agent = await inStep({ stores, targets: [memory] })
    expect(agent.codes).toContain('snapshot_damaged')
    expect(documentsOf(memory)).toEqual([LOGGING])
    await world.plane.reset()
    await world.clock.advance(10 * MINUTE)
    expect(agent.codes).toEqual([])
  })
})

describe('a secret in a document', () => {
  test('is in no log line, status or metric, and on disk only in private files', async () => {
    using disk = new Disk(world)
    const stores = disk.stores()
    stores.identity = openStores(await world.identity()).identity
    configure(component('a', 'hidden-password-1'), { ...component('b'), kind: 'Refused' })
    await using agent = await inStep({ stores, targets: [disk.target()] })
    await listening(agent)
    configure(component('a', 'hidden-password-2'))
    await agent.until(({ configuration }) => configuration?.refused.length === 0)
    await agent.atRest()
    const file = disk.files().get('config/component/a.yaml')
    expect(file).toContain('hidden-password-2')
    await agent.stop()
    expect(agent.said()).not.toContain('hidden-password')
  })
})

describe('what came of it is told', () => {
  const told = (): unknown => world.plane.runtimes()[0]?.report?.report

  test('as applied, on change and hourly', async () => {
    await noWait()
    await using agent = await inStep()
    await world.clock.advance(MINUTE)
    expect(told()).toEqual({ etag: expect.any(String), state: 'applied', problems: [] })
    expect(agent.status.configuration?.reported).toMatchObject({ state: 'applied' })
    const mark = world.mark()
    await world.clock.advance(30 * MINUTE)
    const reports = (): number => world.requests(mark).filter((one) => one === 'report').length
    expect(reports()).toBe(0)
    await world.clock.advance(HOUR)
    expect(reports()).toBe(1)
  })

  test('as partly with what was refused', async () => {
    configure(component('a'), { ...component('b'), kind: 'Deployment', apiVersion: 'apps/v1' })
    await using agent = await inStep()
    await agent.until(({ configuration }) => configuration?.reported !== undefined)
    expect(told()).toMatchObject({
      state: 'partly',
      problems: [{ code: 'configuration_refused', subject: 'Deployment b' }],
    })
  })

  test('as failed when a target cannot be written, and as applied once it can', async () => {
    const memory = openMemory('memory')
    const apply = memory.apply.bind(memory)
    let fails = true
    memory.apply = (plan, signal) =>
      fails && plan.changes.length > 0
        ? Promise.reject(new AgentError('disk_full', 'Cannot write: no space is left'))
        : apply(plan, signal)
    await using agent = await inStep({ targets: [memory] })
    await agent.until(({ configuration }) => configuration?.reported?.state === 'failed')
    expect(told()).toMatchObject({ state: 'failed', problems: [{ code: 'disk_full' }] })
    fails = false
    await world.clock.advance(2 * MINUTE)
    await agent.until(({ configuration }) => configuration?.reported?.state === 'applied')
    expect(told()).toMatchObject({ state: 'applied', problems: [] })
  })

  test('to nobody who takes no reports, quietly', async () => {
    await noWait({ noReports: true })
    await using agent = await inStep()
    const mark = world.mark()
    await world.clock.advance(3 * HOUR)
    expect(world.requests(mark).filter((one) => one === 'report')).toEqual([])
    expect(agent.codes).toEqual([])
  })

  test('again and again where that fails, which holds up nothing else', async () => {
    await noWait({ status: { operation: 'report', value: 503 } })
    await using agent = await inStep()
    await world.clock.advance(10 * MINUTE)
    expect(agent.codes).toEqual(['server_failed'])
    expect(agent.status.failing.report?.code).toBe('server_failed')
    await world.plane.set({ status: false })
    await world.clock.advance(10 * MINUTE)
    expect(agent.codes).toEqual([])
    expect(agent.status.configuration?.reported?.state).toBe('applied')
  })
})

test('a runtime that is not admitted says whose turn it is', async () => {
  await world.plane.set({ refuse: { operation: 'runtimeDirector' } })
  await using agent = await inStep()
  expect(agent.status.problems).toMatchObject([
    { code: 'runtime_director_refused', turn: 'operator' },
  ])
  expect(agent.status.problems[0]?.hint).toContain('agent runtime-director admit RUNTIME CN')
})

function deep(levels: number): object {
  let value: object = {}
  for (let level = 0; level < levels; level++) value = { a: value }
  return value
}
