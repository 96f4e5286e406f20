import { afterAll, beforeAll, expect } from 'bun:test'
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Status } from '../../src/model/status.ts'
import { freePort, inStep, temporaryDirectory } from './support/agent-home.ts'
import { generations, readBindings } from './support/bindings.ts'
import { ensureExecutable, onExecutable as run, SLOW, start, until } from './support/program.ts'
import type { Running } from './support/program.ts'

const directory = temporaryDirectory()
const state = join(directory, '.runtime-agent-dev')
const out = join(state, 'out')
const log = join(directory, 'log')
let page: string
let dev: Running | undefined

beforeAll(async () => {
  await ensureExecutable()
  const port = await freePort()
  page = `http://127.0.0.1:${port}`
  // All as it comes, but for the port, which other tests on this machine may want.
  const plane = start(['dev', '--plane-only'], { cwd: directory, log })
  const config = join(state, 'agent.yaml')
  await until('agent.yaml is there', () => existsSync(config))
  plane.signal('SIGTERM')
  await plane.exited
  const text = readFileSync(config, 'utf8')
  writeFileSync(config, text.replace('127.0.0.1:8090', `127.0.0.1:${port}`))
}, SLOW)

afterAll(() => dev?.signal('SIGKILL'))

async function status(): Promise<Status | undefined> {
  const answer = await fetch(`${page}/status`).catch(() => undefined)
  return answer?.ok ? ((await answer.json()) as Status) : undefined
}

function settled(fits: (status: Status) => boolean = () => true): Promise<Status> {
  return until('it is in step', async () => {
    const seen = await status()
    return seen !== undefined && inStep(seen) && fits(seen) ? seen : undefined
  })
}

run(
  'agent dev alone shows it all: enrolled, the sample on disk, labels, a page, and where to look',
  async () => {
    dev = start(['dev', '--lifetime', '10s'], { cwd: directory, log })
    const seen = await settled()
    expect(seen.applications.map(({ name }) => name).sort()).toEqual([
      'mp-commerce-cloud',
      'mp-crm',
      'mp-erp-production',
      'mp-public-holidays',
    ])
    const types = Object.values(readBindings(out)).map((binding) => binding['credentials-type'])
    expect(types.sort()).toEqual(['basic_auth', 'no_auth', 'oauth', 'oauth', 'request_parameters'])
    expect(seen.labels.map(({ inStep: done }) => done)).toEqual([true, true])
    expect(await (await fetch(page)).text()).toContain('mp-commerce-cloud')
    const told = readFileSync(log, 'utf8')
    for (const hint of [page, 'out/current/bindings', 'landscape.yaml', 'agent.yaml', 'admin'])
      expect(told).toContain(hint)
    expect(told).toContain('out/current/config')
    expect(seen.configuration?.documents.map(({ name }) => name)).toEqual(['logging'])
    expect(readFileSync(join(out, 'current/config/component/logging.yaml'), 'utf8')).toContain(
      'value: "sample-logging-token"',
    )
  },
  SLOW,
)

run(
  'an edited landscape file is on disk within seconds',
  async () => {
    const file = join(state, 'landscape.yaml')
    const text = readFileSync(file, 'utf8').replace('sample-erp-password', 'edited-by-hand')
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
    await until('the password is there', () =>
      Object.values(readBindings(out)).some(({ password }) => password === 'edited-by-hand'),
    )
  },
  SLOW,
)

run(
  'an edited configuration of the Runtime Director is on disk within seconds, and it is told of it',
  async () => {
    const file = join(state, 'landscape.yaml')
    const text = readFileSync(file, 'utf8').replace('sample-logging-token', 'token-edited-by-hand')
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
    await until('the token is there', () =>
      readFileSync(join(out, 'current/config/component/logging.yaml'), 'utf8').includes(
        'token-edited-by-hand',
      ),
    )
    await until('it is told', () => readFileSync(log, 'utf8').includes('plane   report'))
    expect(readFileSync(log, 'utf8')).not.toContain('token-edited-by-hand')
  },
  SLOW,
)

run(
  'the certificate renews itself while one watches',
  async () => {
    const { identity } = await settled()
    await settled((seen) => seen.identity!.fingerprint !== identity!.fingerprint)
    expect(readFileSync(log, 'utf8')).toContain('the certificate was renewed')
  },
  SLOW,
)

run(
  'Ctrl-C stops both cleanly, and a second start goes on where it was',
  async () => {
    const before = {
      generations: generations(out),
      token: readFileSync(join(state, 'token'), 'utf8'),
    }
    const began = performance.now()
    dev!.signal('SIGINT')
    expect(await dev!.exited).toBe(0)
    expect(performance.now() - began).toBeLessThan(5000)
    dev = start(['dev', '--lifetime', '10s'], { cwd: directory, log })
    await settled()
    expect(generations(out)).toEqual(before.generations)
    expect(readFileSync(join(state, 'token'), 'utf8')).toBe(before.token)
    expect(readdirSync(directory).sort()).toEqual(['.runtime-agent-dev', 'log'])
    expect((await dev.stop()).how).toBe(0)
  },
  SLOW,
)
