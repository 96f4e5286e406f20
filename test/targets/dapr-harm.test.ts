/** The ways in which daprd dies, hangs or goes blind (observed-dapr.md b to h): none of them comes through us. */
import { afterEach, beforeEach, describe, expect } from 'bun:test'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConfigObject } from '../../src/model/config-value.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { needsDaprd, startDaprd, startEcho } from '../daprd.ts'
import type { Daprd, DaprdOptions, Echo } from '../daprd.ts'
import { basic, desired } from '../model/samples.ts'
import { findDaprd } from '../../scripts/envtest.ts'
import { skipUnless } from '../skip.ts'
import {
  hurried,
  calls,
  component,
  configured,
  DaprPlace,
  nameOf,
  run,
  STORE,
  until,
} from './dapr-place.ts'
import type { DaprSettings } from './dapr-place.ts'

const needsRoot = skipUnless(process.getuid?.() === 0 && findDaprd() !== undefined, {
  why: 'daprd cannot be started as another user',
  how: 'run as root, after npm run envtest',
})

let place: DaprPlace
let echo: Echo
let daprd: Daprd
let extra: Daprd | undefined
beforeEach(async () => {
  place = new DaprPlace()
  echo = await startEcho()
})
afterEach(async () => {
  await daprd.stop()
  await extra?.stop()
  extra = undefined
  await echo.close()
  place.remove()
})

async function start(options: Partial<DaprdOptions> = {}): Promise<Daprd> {
  daprd = await startDaprd({ directory: place.base, ...options })
  return daprd
}

const open = (settings: DaprSettings = {}) => place.open(settings, [daprd.url])
const resource = (name: string) => join(place.resources, name)
const json = (...documents: ConfigObject[]) =>
  documents.map((one) => JSON.stringify(one)).join('\n---\n')

/** Alive in the same process, not restarted, and calls go out with the password. */
async function unharmed(password = 'pass'): Promise<void> {
  expect(daprd.exitCode).toBeUndefined()
  expect(daprd.log().includes('triggering SIGHUP')).toBe(false)
  expect(await daprd.call(nameOf('login'))).toEqual({
    status: 200,
    body: `Basic ${btoa(`user:${password}`)}`,
  })
}

/** Of what was thrown. */
const codeOf = (thrown: unknown): string | undefined =>
  thrown instanceof AgentError ? thrown.code : undefined
const login = (password = 'pass') => calls(echo.url, { login: basic('user', password) })

describe('(b) two of one name', () => {
  needsDaprd('that somebody else has defined already are not written, the others are', async () => {
    writeFileSync(resource('foreign.yaml'), json(component('logging', { type: 'state.in-memory' })))
    await start()
    const want = configured([component('logging'), component('metrics')], login())
    const pass = await run(open(), want)
    expect(pass.problems).toEqual(['name_taken'])
    expect(await daprd.components()).toEqual([STORE, 'logging', 'metrics', nameOf('login')].sort())
    await unharmed()
  })

  needsDaprd(
    'that come from two documents of the Runtime Director are one, and one is named',
    async () => {
      await start()
      const other = { ...component('logging'), metadata: { name: 'logging', namespace: 'apps' } }
      const pass = await run(open(), configured([component('logging'), other], login()))
      expect(pass.problems).toEqual(['name_taken'])
      await unharmed()
    },
  )

  needsDaprd('that somebody writes between the look and the rename are held', async () => {
    await start()
    const target = open()
    const { signal } = new AbortController()
    const want = configured([component('late')], login())
    const observed = await target.observe(want.runtimeId, signal)
    const rendered = target.render(want, observed)
    writeFileSync(resource('foreign.yaml'), json(component('late')))
    const changes = [...rendered.objects.values()].map((object) => ({
      ...{ kind: 'create' as const, key: object.key, owner: object.owner, name: object.name },
      object,
    }))
    const results = await target.apply({ target: target.name, changes }, signal)
    expect(results.map(({ key, outcome }) => [key, outcome])).toEqual([
      ['component/login-api', 'applied'],
      ['config/dapr.io/v1alpha1/Component//late', 'held'],
    ])
    await unharmed()
  })

  needsDaprd('among the files of others hold everything until they are mended', async () => {
    await start()
    const target = open()
    await run(target, login())
    // It came while daprd was not looking: the next change of anything would end it.
    await daprd.stop()
    await start()
    const files = ['a.yaml', 'b.yaml'].map(resource)
    const before = place.text
    const frozen = readFileSync(place.file)
    for (const file of files) writeFileSync(file, json(component('twice')))
    expect(frozen.toString()).toBe(before)
    const refused = await run(target, login('rotated')).catch(codeOf)
    expect(refused).toBe('dapr_resources_unfit')
    expect(place.text).toBe(before)
    rmSync(files[1]!)
    await daprd.stop()
    await start()
    await run(target, login('rotated'))
    await unharmed('rotated')
  })
})

describe('(c) what cannot be read', () => {
  needsDaprd('of somebody else stops nothing of ours', async () => {
    writeFileSync(resource('broken.yaml'), 'apiVersion: dapr.io/v1alpha1\nkind: [Component\n')
    await start()
    expect((await run(open(), login())).after).toEqual([])
    await unharmed()
  })

  needsDaprd('of ours, as somebody cut it, is put right in the next pass', async () => {
    await start()
    const target = open()
    await run(target, login())
    writeFileSync(place.file, place.text.slice(0, place.text.length - 150))
    await run(target, login())
    await until('the binding', async () => (await daprd.components()).includes(nameOf('login')))
    await unharmed()
  })
})

describe('(d) what does not start', () => {
  needsDaprd(
    'goes back to the version before, and is left alone until it is another one',
    async () => {
      await start()
      const target = open({ clock: hurried })
      const logging = (responseTimeout: string) =>
        component('logging', {
          metadata: [
            { name: 'url', value: echo.url },
            { name: 'responseTimeout', value: responseTimeout },
          ],
        })
      await run(target, configured([logging('5s')], login()))
      const key = 'config/dapr.io/v1alpha1/Component//logging'
      const bad = configured([logging('nonsense')], login('rotated'))
      // The rotation in the same pass stays; what is refused may have been in bad company, and is tried twice.
      expect((await run(target, bad)).results).toEqual([
        ['component/login-api', 'applied', undefined],
        [key, 'reverted', 'dapr_rejected'],
      ])
      await unharmed('rotated')
      expect((await daprd.call('logging')).status).toBe(200)
      expect((await run(target, bad)).results).toEqual([[key, 'reverted', 'dapr_rejected']])
      const mark = daprd.logMark()
      expect((await run(open({ clock: hurried }), bad)).results).toEqual([
        [key, 'held', 'dapr_rejected'],
      ])
      expect(daprd.log(mark)).toBe('')
      expect((await run(target, configured([logging('7s')], login('rotated')))).results).toEqual([
        [key, 'applied', undefined],
      ])
      await unharmed('rotated')
    },
    90_000,
  )

  needsDaprd(
    'of a type that is not compiled in is taken out again, and daprd lives',
    async () => {
      await start()
      const target = open({ clock: hurried, config: { types: ['state.*'] } })
      const pass = await run(
        target,
        configured([component('redis', { type: 'state.redis' })], login()),
      )
      expect(pass.results.map(([, outcome]) => outcome)).toEqual(['applied', 'reverted'])
      expect(place.text).not.toContain('redis')
      await unharmed()
    },
    60_000,
  )

  needsDaprd('a type that the target does not let in is never written', async () => {
    await start()
    const bad = [
      component('files', { type: 'bindings.localstorage' }),
      component('env', { type: 'secretstores.local.env' }),
    ]
    expect((await run(open({ clock: hurried }), configured(bad, login()))).problems).toEqual([
      'document_refused',
      'document_refused',
    ])
    expect(place.text).not.toContain('localstorage')
    await unharmed()
  })

  needsDaprd(
    'a reference to a secret that is nowhere is refused: daprd would send an empty password',
    async () => {
      await start()
      const lost = component('lost', {
        metadata: [
          { name: 'url', value: echo.url },
          { name: 'securityToken', secretKeyRef: { name: 'nowhere', key: 'x' } },
        ],
      })
      const stored = { ...lost, metadata: { name: 'stored' }, auth: { secretStore: 'absent' } }
      const pass = await run(open({ clock: hurried }), configured([lost, stored], login()))
      expect(pass.problems).toEqual(['document_refused', 'document_refused'])
      await unharmed()
    },
  )

  needsRoot(
    'secrets that daprd may not read are found out before anything refers to them',
    async () => {
      chmodSync(place.base, 0o755)
      await start({ as: { uid: 65534, gid: 65534 } })
      // Nobody is not in the group of root.
      const refused = await run(open({ clock: hurried }), login())
      expect(refused.results).toEqual([['component/login-api', 'held', 'dapr_rejected']])
      expect(await daprd.components()).toEqual([])
      await run(open({ clock: hurried, config: { group: '65534' } }), login())
      await unharmed()
    },
    60_000,
  )

  needsRoot(
    'a new group that daprd is not in changes nothing for the calls',
    async () => {
      chmodSync(place.base, 0o755)
      await start({ as: { uid: 65534, gid: 65534 } })
      await run(open({ clock: hurried, config: { group: '65534' } }), login())
      const refused = await run(open({ clock: hurried, config: { group: '0' } }), login('rotated'))
      expect(refused.results).toEqual([['component/login-api', 'held', 'dapr_rejected']])
      await unharmed('pass')
      await run(open({ clock: hurried, config: { group: '65534' } }), login('rotated'))
      await unharmed('rotated')
    },
    60_000,
  )
})

describe('(e) restarts', () => {
  needsDaprd('a change of anything else restarts no HTTPEndpoint', async () => {
    await start()
    const endpoint = {
      apiVersion: 'dapr.io/v1alpha1',
      kind: 'HTTPEndpoint',
      metadata: { name: 'plain' },
      spec: { baseUrl: echo.url },
    }
    const target = open()
    await run(target, configured([endpoint], login()))
    await until('the restart', () => daprd.log().includes('triggering SIGHUP'))
    await until(
      'the endpoint',
      async () => (await daprd.invoke('plain').catch(() => undefined))?.status === 200,
    )
    const mark = daprd.logMark()
    for (const password of ['one', 'two'])
      await run(target, configured([endpoint], login(password)))
    expect(daprd.log(mark).includes('SIGHUP')).toBe(false)
    expect((await daprd.call(nameOf('login'))).body).toBe(`Basic ${btoa('user:two')}`)
  })

  needsDaprd(
    'an HTTPEndpoint with secrets, which restarts daprd at each change, is refused',
    async () => {
      await start()
      const endpoint = {
        apiVersion: 'dapr.io/v1alpha1',
        kind: 'HTTPEndpoint',
        metadata: { name: 'secretive' },
        spec: { baseUrl: echo.url, headers: [{ name: 'X-Key', value: new Secret('s') }] },
      }
      expect((await run(open(), configured([endpoint], login()))).problems).toEqual([
        'document_refused',
      ])
      await unharmed()
    },
  )

  needsDaprd(
    'a Configuration is never put among the resources; one of somebody else is named',
    async () => {
      await start()
      const own = {
        apiVersion: 'dapr.io/v1alpha1',
        kind: 'Configuration',
        metadata: { name: 'c' },
        spec: {},
      }
      expect((await run(open(), configured([own], login()))).problems).toEqual(['document_refused'])
      await unharmed()
      expect(place.text).not.toContain('Configuration')
      writeFileSync(resource('theirs.yaml'), json(own))
      expect((await run(open(), login())).after).toContain('dapr_restarts')
    },
  )
})

describe('(h) a document of 64 KiB', () => {
  needsDaprd('is refused, and daprd goes on', async () => {
    await start()
    const large = component('large', {
      metadata: [{ name: 'url', value: `${echo.url}/${'x'.repeat(61_000)}` }],
    })
    const fits = component('fits', {
      metadata: [{ name: 'url', value: `${echo.url}/${'x'.repeat(58_000)}` }],
    })
    const pass = await run(open(), configured([large, fits], login()))
    expect(pass.problems).toEqual(['document_refused'])
    expect(await daprd.components()).toContain('fits')
    await unharmed()
  })

  needsDaprd(
    'of somebody else, with which daprd would hang at our change, holds everything',
    async () => {
      await start()
      const target = open()
      await run(target, login())
      await daprd.stop()
      writeFileSync(resource('huge.yaml'), `# ${'x'.repeat(66_000)}\n${json(component('huge'))}`)
      const refused = await run(target, login('rotated')).catch(codeOf)
      expect(refused).toBe('dapr_resources_unfit')
      rmSync(resource('huge.yaml'))
      await start()
      await run(target, login('rotated'))
      await unharmed('rotated')
    },
  )
})

describe('what is there', () => {
  needsDaprd('of others is never touched, whatever comes and goes of ours', async () => {
    const foreign = json(component('theirs'))
    writeFileSync(resource('foreign.yaml'), foreign)
    writeFileSync(resource('notes.txt'), 'mine')
    await start()
    const target = open()
    await run(target, login())
    await run(target, desired([]))
    expect(readFileSync(resource('foreign.yaml'), 'utf8')).toBe(foreign)
    expect(readFileSync(resource('notes.txt'), 'utf8')).toBe('mine')
    expect(await daprd.components()).toContain('theirs')
  })
})
