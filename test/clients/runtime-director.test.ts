import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { openRuntimeDirector } from '../../src/clients/runtime-director.ts'
import type { Given, Question, Report } from '../../src/clients/runtime-director.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import { landscapeOf } from '../../src/devplane/landscape.ts'
import { AgentError } from '../../src/model/problem.ts'
import { enrol, type Enrolled } from '../devplane/client.ts'

const DOCUMENT = {
  apiVersion: 'dapr.io/v1alpha1',
  kind: 'Component',
  metadata: { name: 'logging' },
  spec: { metadata: [{ name: 'password', value: 'never-shown' }] },
}
const landscape = {
  ...landscapeOf([]),
  configurations: [{ name: 'all', resources: [DOCUMENT] }],
}
const RUNTIME = landscape.runtimes[0]!.id

let plane: Plane
let me: Enrolled

beforeAll(async () => {
  plane = await openPlane({ landscape })
  me = await enrol(plane)
})
afterAll(async () => {
  await me.session.close()
  await plane.close()
})
beforeEach(async () => {
  await plane.reset()
  plane.replace(landscape)
})

type Some = { maxBytes?: number; url?: string; signal?: AbortSignal; runtime?: string }

const client = ({ maxBytes = 1024 * 1024, url = plane.runtimeDirectorUrl }: Some = {}) =>
  openRuntimeDirector({ url, maxBytes, fetch: me.session.fetch, now: () => Date.now() })

function ask(question: Question = {}, some: Some = {}): Promise<Given> {
  const call = { requestId: 'r', signal: some.signal ?? new AbortController().signal }
  return client(some).configuration(some.runtime ?? RUNTIME, question, call)
}

async function failure(some: Some = {}): Promise<AgentError> {
  const thrown: unknown = await ask({}, some).catch((error: unknown) => error)
  if (thrown instanceof AgentError) return thrown
  throw new Error(`it did not fail: ${JSON.stringify(thrown)}`)
}

async function etag(): Promise<string> {
  const given = await ask()
  if (given === 'unchanged' || given.etag === undefined) throw new Error('there is no ETag')
  return given.etag
}

describe('the configuration', () => {
  test('comes with its name, and is unchanged when asked for by it', async () => {
    expect(await ask()).toEqual({ data: DOCUMENT, etag: expect.stringMatching(/^"[0-9a-f]{64}"$/) })
    expect(await ask({ etag: await etag() })).toBe('unchanged')
  })

  test('of a server without names is just data', async () => {
    await plane.set({ noEtag: true })
    expect(await ask({ etag: '"x"' })).toEqual({ data: DOCUMENT })
  })

  test('that changes while the server waits comes within a second', async () => {
    const asked = ask({ etag: await etag(), wait: 50_000 })
    await new Promise((done) => setTimeout(done, 100))
    const began = performance.now()
    plane.edit((draft) => (draft.configurations = []))
    expect(await asked).toMatchObject({ data: [] })
    expect(performance.now() - began).toBeLessThan(1000)
  })

  test('that does not change is unchanged when the wait is over', async () => {
    const began = performance.now()
    expect(await ask({ etag: await etag(), wait: 1000 })).toBe('unchanged')
    expect(performance.now() - began).toBeGreaterThan(950)
  })

  test('is not waited for any more once nobody wants it', async () => {
    const stop = new AbortController()
    const asked = ask({ etag: await etag(), wait: 50_000 }, { signal: stop.signal })
    setTimeout(() => stop.abort(new Error('no more')), 50)
    expect(await asked.catch((error: unknown) => String(error))).toContain('no more')
  })

  test('below a path, and with a slash at the end of the address, is found all the same', async () => {
    await ask({}, { url: `${plane.runtimeDirectorUrl}/` })
    expect(plane.events().at(-1)?.path).toBe(`/runtimes/${RUNTIME}`)
    // What is below it is not served here: only that nothing is asked for above it counts.
    const { code } = await failure({ url: `${plane.runtimeDirectorUrl}/below` })
    expect(code).toBe('runtime_unknown')
  })
})

describe('what is no whole answer for this runtime is named and changes nothing:', () => {
  const knob = { operation: 'runtimeDirector' } as const
  test.each([
    ['404', { status: { ...knob, value: 404 } }, 'runtime_unknown'],
    ['500', { status: { ...knob, value: 500 } }, 'server_failed'],
    ['401', { status: { ...knob, value: 401 } }, 'runtime_director_refused'],
    ['403', { refuse: knob }, 'runtime_director_refused'],
    ['304 that nobody asked for', { status: { ...knob, value: 304 } }, 'answer_malformed'],
    ['429', { tooMany: { ...knob, value: 7 } }, 'too_many_requests'],
    ['a redirect', { redirect: knob }, 'redirect_refused'],
    ['an HTML page', { html: { ...knob, value: 200 } }, 'answer_malformed'],
    ['an empty body', { cut: { ...knob, value: 0 } }, 'answer_malformed'],
    ['cut JSON', { cut: { ...knob, value: 0.5 } }, 'answer_malformed'],
    ['a connection that is cut', { cutConnection: { ...knob, value: 0.5 } }, 'unreachable'],
    ['no answer', { lost: knob }, 'unreachable'],
    ['an endless body', { endless: { ...knob, value: 64 } }, 'configuration_too_large'],
    ['another runtime', { otherRuntime: true }, 'answer_malformed'],
  ] as const)('%s', async (_, knobs, code) => {
    await plane.set(knobs)
    const error = await failure()
    expect(error.code).toBe(code)
    expect(`${error.message} ${JSON.stringify(error.detail)}`).not.toContain('never-shown')
  })

  test('an answer beyond maxBytes', async () => {
    const error = await failure({ maxBytes: 100 })
    expect(error.code).toBe('configuration_too_large')
    expect(error.message).toContain('100 bytes of configuration.maxBytes')
  })

  test('JSON of a depth that no stack bears is no crash', async () => {
    const text = `{"id":"${RUNTIME}","data":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
    const fetch = () => Promise.resolve(new Response(text))
    const bomb = openRuntimeDirector({
      url: 'https://127.0.0.1:9',
      maxBytes: 1024 * 1024,
      fetch,
      now: () => 0,
    })
    const signal = new AbortController().signal
    const outcome = await bomb
      .configuration(RUNTIME, {}, { requestId: 'r', signal })
      .then(() => 'read')
      .catch((thrown: unknown) => (thrown instanceof AgentError ? thrown.code : 'crash'))
    expect(['read', 'answer_malformed']).toContain(outcome)
  })

  test('somebody else is not told what is ours', async () => {
    expect((await failure({ runtime: 'another-runtime' })).code).toBe('runtime_unknown')
  })
})

describe('a report', () => {
  const report: Report = { etag: '"e"', state: 'applied', problems: [] }
  const send = () =>
    client().report(RUNTIME, report, { requestId: 'r', signal: new AbortController().signal })

  test('is taken', async () => {
    expect(await send()).toBe(true)
    expect(plane.runtimes()[0]?.report?.report).toEqual(report)
  })

  test('is not taken by a proof of concept, which is no failure', async () => {
    await plane.set({ noReports: true })
    expect(await send()).toBe(false)
  })

  test('that fails is named', async () => {
    await plane.set({ status: { operation: 'report', value: 503 } })
    expect(await send().catch((error: unknown) => (error as AgentError).code)).toBe('server_failed')
  })
})
