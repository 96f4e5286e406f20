import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, realpathSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { bindingName } from '../../src/model/names.ts'
import { application, bundle, desired, headers, numbers, oauth } from '../model/samples.ts'
import { skipUnless, slow } from '../skip.ts'
import { Output, readBindings } from './output.ts'
import type { Bindings } from './output.ts'
import { pass } from './target.contract.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))

let output: Output
beforeEach(() => {
  output = new Output()
})
afterEach(() => output.remove())

function rotate(rotations: number, pause: number): ChildProcess {
  const program = fileURLToPath(new URL('rotate.ts', import.meta.url))
  const args = [program, output.base, String(rotations), String(pause)]
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
}

const PASSWORD = /^begin (\d+) x{5000} end$/

/** Fails on a binding without its type and on a value that is cut; gives the rotations that the passwords are of. */
function check(bindings: Bindings): Set<string> {
  const all = Object.values(bindings)
  expect(all).toHaveLength(6)
  const rotations = all.map((keys) => {
    expect(keys['type']).toBe('ucl-api')
    expect(Object.keys(keys)).toHaveLength(15)
    const rotation = PASSWORD.exec(keys['password']!)?.[1]
    expect(rotation).toBeDefined()
    return rotation!
  })
  return new Set(rotations)
}

describe('while generations are swapped', () => {
  test('no reader sees an error, a binding without type or half a file; one that resolves `current` once sees one generation', async () => {
    const child = rotate(200, 3)
    await once(child.stdout!, 'data')
    let [through, resolved] = [0, 0]
    while (child.exitCode === null) {
      check(readBindings(output.path('current/bindings')))
      through += 1
      const root = realpathSync(output.path('current/bindings'))
      try {
        expect(check(readBindings(root)).size).toBe(1)
        resolved += 1
      } catch (thrown) {
        // Five swaps while we slept: the generation is gone as a whole.
        if (existsSync(root)) throw thrown
      }
      // Lets the exit of the child be seen.
      await sleep(0)
    }
    expect(child.exitCode).toBe(0)
    expect(through).toBeGreaterThan(50)
    expect(resolved).toBeGreaterThan(50)
  }, 60_000)

  slow(
    'a kill at any moment leaves one whole generation, and the next process goes on from it',
    async () => {
      for (const n of numbers(12)) {
        const child = rotate(10_000, 0)
        const exited = once(child, 'exit')
        await once(child.stdout!, 'data')
        await sleep(n * 7)
        child.kill('SIGKILL')
        await exited
        expect(check(readBindings(output.path('current/bindings'))).size).toBe(1)
      }
      const child = rotate(2, 0)
      await once(child, 'exit')
      expect(child.exitCode).toBe(0)
      expect(check(readBindings(output.path('current/bindings'))).size).toBe(1)
      expect(output.names.filter((name) => name.startsWith('.'))).toEqual(['.runtime-agent.json'])
      expect(output.generations.length).toBeLessThanOrEqual(5)
    },
    60_000,
  )
})

describe('binding libraries read the output:', () => {
  const crm = application('a-1', {
    name: 'mp-crm',
    bundles: [
      bundle('b-1', { name: 'Orders' }),
      bundle('b-2', { name: 'Keys', auth: { ...oauth(), ...headers({ 'X-Key': ['k'] }) } }),
    ],
  })
  const [orders, keys] = crm.bundles.map((one) => bindingName(crm.name, one)) as [string, string]
  const root = () => output.path('current/bindings')

  /** Runs a script that prints JSON, with the binding root in its environment. */
  function read(program: string, script: string): Record<string, Record<string, unknown>> {
    const env = { ...process.env, SERVICE_BINDING_ROOT: root() }
    const { stdout, stderr } = spawnSync(program, ['-e', script], {
      cwd: repository,
      env,
      encoding: 'utf8',
    })
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout)
  }

  const XSENV = `
    const { readServices } = require('@sap/xsenv')
    console.log(JSON.stringify(readServices()))`
  const NEBHALE = `
    const { fromServiceBindingRoot } = require('@nebhale/service-bindings')
    const keys = ['type', 'provider', 'password', 'client-secret', 'uri', 'credentials-type', 'request-headers']
    ;(async () => {
      const found = {}
      for (const binding of await fromServiceBindingRoot()) {
        found[binding.getName()] = {}
        for (const key of keys) {
          const raw = await binding.getAsBytes(key)
          if (raw) found[binding.getName()][key] = raw.toString()
        }
      }
      console.log(JSON.stringify(found))
    })()`

  const node = spawnSync('node', ['--version']).status === 0
  const programs: [string, string, typeof test][] = [
    ['bun', process.execPath, test],
    ['node', 'node', skipUnless(node, { why: 'node is not installed', how: 'install Node 22' })],
  ]

  for (const [runtime, program, run] of programs) {
    run(`@sap/xsenv under ${runtime}, with JSON values as objects`, async () => {
      await pass(output.open(), desired([crm]))
      const services = read(program, XSENV)
      expect(Object.keys(services).sort()).toEqual([keys, orders].sort())
      expect(services[orders]).toMatchObject({
        name: orders,
        type: 'ucl-api',
        provider: 'ucl',
        credentials: {
          username: 'user',
          password: 'pass',
          uri: 'https://api.example/v1',
          'target-urls': { 'API b-1-a': 'https://api.example/v1' },
          apis: [{ id: 'b-1-a' }],
          'ucl-bundle-id': 'b-1',
          'ucl-revision': '1',
        },
      })
      expect(services[keys]).toMatchObject({
        credentials: { 'client-secret': 'client-secret', 'request-headers': { 'X-Key': ['k'] } },
      })
      const form = await Bun.file(output.path('current/json', `${orders}.json`)).json()
      const { credentials, ...meta } = services[orders] as { credentials: object }
      expect(form).toMatchObject(meta)
      expect({ ...form.credentials, 'ucl-revision': '1' }).toEqual(credentials)
    })

    run(`@nebhale/service-bindings under ${runtime}`, async () => {
      await pass(output.open(), desired([crm]))
      expect(read(program, NEBHALE)).toEqual({
        [orders]: {
          type: 'ucl-api',
          provider: 'ucl',
          password: 'pass',
          uri: 'https://api.example/v1',
          'credentials-type': 'basic_auth',
        },
        [keys]: {
          type: 'ucl-api',
          provider: 'ucl',
          'client-secret': 'client-secret',
          uri: 'https://api.example/v1',
          'credentials-type': 'oauth',
          'request-headers': '{"X-Key":["k"]}',
        },
      })
    })
  }
})
