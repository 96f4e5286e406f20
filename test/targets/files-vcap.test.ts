import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { bindingName } from '../../src/model/names.ts'
import { application, basic, bundle, desired, RUNTIME } from '../model/samples.ts'
import { Commands, hook } from './hooks.contract.ts'
import { Output } from './output.ts'
import { pass, summary } from './target.contract.ts'

let output: Output
beforeEach(() => {
  output = new Output()
})
afterEach(() => output.remove())

const landscape = (password: string) =>
  desired([
    application('a', {
      name: 'crm',
      bundles: [
        bundle('b1', { name: 'orders', auth: basic('user', password) }),
        bundle('b2', { name: 'customers' }),
      ],
    }),
  ])
const orders = bindingName('crm', { id: 'b1', name: 'orders' })
const customers = bindingName('crm', { id: 'b2', name: 'customers' })
const VCAP = 'current/vcap_services.json'
const file = (): string => output.path(VCAP)

type Service = { label: string; name: string; tags: string[]; credentials: Record<string, unknown> }
const services = (): Record<string, Service[]> =>
  JSON.parse(readFileSync(file(), 'utf8')) as Record<string, Service[]>
const passwordIn = (): unknown =>
  services()['ucl-api']?.find(({ name }) => name === orders)?.credentials['password']

describe('one file of all bindings', () => {
  test('is there only when it is asked for', async () => {
    await pass(output.open(), landscape('one'))
    expect(existsSync(file())).toBe(false)
  })

  test('holds what the bindings hold, JSON as JSON, by type, for the readers and no one else', async () => {
    const config = { vcap: true, types: [{ application: 'crm', bundle: 'orders', type: 'odata' }] }
    await pass(output.open({ config }), landscape('one'))
    const { odata, 'ucl-api': others, ...rest } = services()
    expect(rest).toEqual({})
    expect(others?.map(({ name }) => name)).toEqual([customers])
    expect(odata).toHaveLength(1)
    const [service] = odata!
    expect(service).toMatchObject({
      label: 'odata',
      name: orders,
      instance_name: orders,
      binding_name: null,
      syslog_drain_url: null,
      volume_mounts: [],
    })
    const own = JSON.parse(readFileSync(output.path(`current/json/${orders}.json`), 'utf8')) as {
      credentials: object
    }
    // The revision is a file that only a generation knows.
    expect({ ...service!.credentials }).toMatchObject(own.credentials)
    expect(statSync(file()).mode & 0o777).toBe(0o640)
  })

  test('follows a change of one binding, and keeps what is carried over', async () => {
    const target = output.open({ config: { vcap: true } })
    await pass(target, landscape('one'))
    await pass(target, landscape('two'))
    expect(passwordIn()).toBe('two')
    expect(services()['ucl-api']).toHaveLength(2)
    const before = output.generations
    expect(summary(await pass(target, landscape('two')))).toEqual([])
    expect(output.generations).toEqual(before)
  })

  test('comes and goes with the option, which is no change of any binding', async () => {
    const commands = new Commands()
    const onChange = [hook('all')]
    const open = (vcap: boolean) => output.open({ config: { vcap, onChange }, run: commands.run })
    await pass(open(false), landscape('one'))
    expect(commands.ran).toHaveLength(1)
    const on = open(true)
    expect(summary(await pass(on, landscape('one')))).toEqual([])
    expect(passwordIn()).toBe('one')
    const before = output.generations
    await pass(on, landscape('one'))
    expect(output.generations).toEqual(before)
    expect(summary(await pass(open(false), landscape('one')))).toEqual([])
    expect(existsSync(file())).toBe(false)
    expect(commands.ran).toHaveLength(1)
  })

  test.each([
    ['removed', () => rmSync(file())],
    ['changed', () => writeFileSync(file(), '{}')],
    ['touched', () => utimesSync(file(), 1, 1)],
    ['readable for all', () => chmodSync(file(), 0o644)],
  ])('is put right when it was %s, also after a restart', async (_, damage) => {
    const open = () => output.open({ config: { vcap: true } })
    await pass(open(), landscape('one'))
    damage()
    await pass(open(), landscape('one'))
    expect(passwordIn()).toBe('one')
    expect(statSync(file()).mode & 0o777).toBe(0o640)
  })

  test('still has what the guard keeps, as it is made from what is published', async () => {
    const target = output.open({ config: { vcap: true } })
    await pass(target, landscape('one'))
    const { signal } = new AbortController()
    const observed = await target.observe(RUNTIME, signal)
    const crm = application('a', {
      name: 'crm',
      bundles: [bundle('b2', { name: 'customers', auth: basic('user', 'new') })],
    })
    const { objects } = target.render(desired([crm]), observed)
    // The deletion of the other binding waits for a person, so it is no part of the plan.
    const object = objects.get('binding/b2')!
    await target.apply(
      { target: 'files', changes: [{ kind: 'update', ...object, object }] },
      signal,
    )
    expect(services()['ucl-api']).toHaveLength(2)
    expect(passwordIn()).toBe('one')
  })

  test('is read by @sap/xsenv', async () => {
    await pass(output.open({ config: { vcap: true } }), landscape('s3cret'))
    const script = `
      const { serviceCredentials, filterServices } = require('@sap/xsenv')
      console.log(JSON.stringify([
        serviceCredentials({ name: ${JSON.stringify(orders)} }).password,
        filterServices({ label: 'ucl-api' }).map(({ name }) => name).sort()]))`
    const { stdout, stderr } = Bun.spawnSync([process.execPath, '-e', script], {
      cwd: new URL('../..', import.meta.url).pathname,
      env: { VCAP_SERVICES_FILE_PATH: file() },
    })
    expect(stderr.toString()).toBe('')
    expect(JSON.parse(stdout.toString())).toEqual(['s3cret', [customers, orders].sort()])
  })
})
