import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { landscapeOf } from '../../src/devplane/landscape.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import { AgentError } from '../../src/model/problem.ts'
import {
  anonymous,
  CONFIGURATION,
  csrFor,
  post,
  SIGN,
  testKey,
  withIdentity,
  type Json,
} from './client.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'devplane-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const codeOf = (thrown: unknown): unknown => (thrown instanceof AgentError ? thrown.code : thrown)

type Urls = Pick<Plane, 'tokenUrl' | 'mtlsConnectorUrl' | 'directorUrl' | 'adminUrl' | 'caPem'>

/** Starts a plane in a child and waits until it listens. */
async function start(): Promise<{ child: ChildProcess; urls: Urls; kill: () => Promise<void> }> {
  const script = new URL('plane-child.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })
  const line = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve)
    child.once('exit', (code) => reject(new Error(`the plane ended with ${code}`)))
  })
  const kill = (): Promise<void> =>
    new Promise((resolve) => {
      child.once('exit', () => resolve())
      child.kill('SIGKILL')
    })
  return { child, urls: JSON.parse(line) as Urls, kill }
}

const admin = async (urls: Urls, path: string, body: unknown): Promise<Json> =>
  (await fetch(urls.adminUrl + path, { method: 'POST', body: JSON.stringify(body) })).json()

describe('a plane with a directory', () => {
  test('goes on after kill -9: same URLs and CA, spent tokens spent, certificates known, labels kept', async () => {
    const { urls, kill } = await start()
    const first = await admin(urls, '/token', {})
    const unused = await admin(urls, '/token', {})
    const session = anonymous(urls as Plane)
    const ask = (token: string, body: unknown): ReturnType<typeof post> =>
      post(session, urls.tokenUrl, body, { 'connector-token': token })
    const configured = (await ask(first.token, { query: CONFIGURATION })).json.data.result
    await kill()

    const second = await start()
    expect(second.urls).toEqual(urls)
    expect((await ask(first.token, { query: CONFIGURATION })).status).toBe(400)
    const csr = await csrFor(configured.certificateSigningRequestInfo.subject)
    const signed = await ask(configured.token.token, { query: SIGN, variables: { csr } })
    const chain = atob(signed.json.data.result.certificateChain)
    const me = withIdentity(urls as Plane, (await testKey()).privateKeyPem, chain)
    const viewer = await post(me, urls.directorUrl, { query: '{ result: viewer { id } }' })
    const id = viewer.json.data.result.id as string
    await post(me, urls.directorUrl, {
      query: `mutation { setRuntimeLabel(runtimeID: "${id}", key: "k", value: "kept") { key } }`,
    })
    await second.kill()

    const third = await start()
    const query = `{ result: runtime(id: "${id}") { labels } }`
    expect((await post(me, urls.directorUrl, { query })).json.data.result.labels.k).toBe('kept')
    await admin(urls, '/revoke', {})
    await third.kill()

    const fourth = await start()
    expect((await post(me, urls.mtlsConnectorUrl, { query: CONFIGURATION })).status).toBe(400)
    expect((await ask(unused.token, { query: CONFIGURATION })).status).toBe(200)
    await fourth.kill()
    await session.close()
    await me.close()
  }, 30_000)

  test('keeps its secrets to its user', async () => {
    const plane = await openPlane({ landscape: landscapeOf([]), directory })
    const { token } = await plane.issueToken()
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(statSync(join(directory, 'plane.json')).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(directory, 'plane.json'), 'utf8')).not.toContain(token)
    await plane.close()
  })

  test('is alone in it, until it is closed', async () => {
    const plane = await openPlane({ landscape: landscapeOf([]), directory })
    const second = openPlane({ landscape: landscapeOf([]), directory })
    expect(await second.catch(codeOf)).toBe('already_running')
    const { tokenUrl } = plane
    await plane.close()
    const again = await openPlane({ landscape: landscapeOf([]), directory })
    expect(again.tokenUrl).toBe(tokenUrl)
    await again.close()
  })

  test('refuses a state that it did not write', async () => {
    writeFileSync(join(directory, 'plane.json'), '{"version": 7}')
    const opened = openPlane({ landscape: landscapeOf([]), directory })
    const thrown = await opened.catch((error: unknown) => error)
    expect(thrown).toMatchObject({ code: 'state_unusable' })
    expect((thrown as AgentError).message).toEndWith('it is not a state of this version')
  })

  test('says so when its port is taken, and leaves nothing running', async () => {
    const other = await openPlane({ landscape: landscapeOf([]) })
    const token = Number(new URL(other.tokenUrl).port)
    const opened = openPlane({ landscape: landscapeOf([]), directory, ports: { token } })
    expect(await opened.catch(codeOf)).toBe('listen_failed')
    await (await openPlane({ landscape: landscapeOf([]), directory })).close()
    await other.close()
  })

  test('keeps what the admin endpoint changed about the landscape', async () => {
    const before = await openPlane({ landscape: landscapeOf([]), directory })
    await admin(before, '/applications', { name: 'Added' })
    await before.close()
    const after = await openPlane({ landscape: landscapeOf([]), directory })
    expect(after.landscape.applications.map(({ name }) => name)).toEqual(['Added'])
    await after.close()
  })
})

describe('a landscape file', () => {
  const until = async (holds: () => boolean): Promise<void> => {
    const end = Date.now() + 5000
    while (!holds() && Date.now() < end) await Bun.sleep(20)
    expect(holds()).toBe(true)
  }

  test('is followed; one with problems changes nothing and is told once', async () => {
    const file = join(directory, 'landscape.yaml')
    const warned: unknown[] = []
    const log = {
      debug() {},
      info() {},
      warn: (_: string, fields?: unknown) => warned.push(fields),
      error() {},
    }
    writeFileSync(file, 'applications: [{name: one}]')
    const plane = await openPlane({ landscape: { file }, log })
    const names = (): string => plane.landscape.applications.map(({ name }) => name).join()
    expect(names()).toBe('one')
    writeFileSync(file, 'applications: [{name: one}, {name: two}]')
    await until(() => names() === 'one,two')
    writeFileSync(file, 'applications: [{nam: three}]')
    await until(() => warned.length > 0)
    expect(warned).toEqual([
      { problem: `${file}:1:16: applications[0]: name is missing` },
      { problem: `${file}:1:17: applications[0]: unknown key "nam", did you mean "name"?` },
    ])
    expect(names()).toBe('one,two')
    rmSync(file)
    writeFileSync(file, 'applications: []')
    await until(() => names() === '')
    await plane.close()
  })

  test('that is missing or broken is a named problem', async () => {
    const file = join(directory, 'landscape.yaml')
    const code = (): Promise<unknown> => openPlane({ landscape: { file } }).catch(codeOf)
    expect(await code()).toBe('config_missing')
    writeFileSync(file, 'x: 1')
    expect(await code()).toBe('config_invalid')
  })
})
