import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bindingName } from '../../src/model/names.ts'
import { bulkFiles } from '../../src/runtime/bulk-files.ts'
import { runCommand } from '../../src/runtime/command.ts'
import { openHooks } from '../../src/targets/hooks.ts'
import { application, basic, bundle, desired, RUNTIME } from '../model/samples.ts'
import { Commands, hook, hooksContract } from './hooks.contract.ts'
import { Output } from './output.ts'
import { pass } from './target.contract.ts'

hooksContract('run by the agent', () => {
  const directory = mkdtempSync(join(tmpdir(), 'agent-hooks-'))
  const journal = join(directory, 'hooks-files.json')
  const commands = new Commands()
  return {
    commands,
    open: (hooks) => openHooks({ journal, hooks, run: commands.run }),
    damage: (text) => writeFileSync(journal, text),
    close: () => rmSync(directory, { recursive: true }),
  }
})

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
const ordersName = bindingName('crm', { id: 'b1', name: 'orders' })
const customersName = bindingName('crm', { id: 'b2', name: 'customers' })

describe('commands of onChange', () => {
  test('run after the swap, each once, with the names of the changed bindings that match', async () => {
    const commands = new Commands()
    const onChange = [
      hook('all'),
      hook('orders', ['ucl-crm-orders-*']),
      hook('none', ['ucl-erp-*']),
    ]
    const target = output.open({ config: { onChange }, run: commands.run })
    let seen = ''
    commands.look = () => {
      seen = readFileSync(output.path('current/bindings', ordersName, 'password'), 'utf8')
    }
    await pass(target, landscape('one'))
    expect(commands.ran).toEqual([
      ['all', `${customersName} ${ordersName}`],
      ['orders', ordersName],
    ])
    await pass(target, landscape('one'))
    expect(commands.ran).toHaveLength(2)
    await pass(target, landscape('two'))
    expect(commands.ran.slice(2)).toEqual([
      ['all', ordersName],
      ['orders', ordersName],
    ])
    expect(seen).toBe('two')
    expect(existsSync(join(output.state, 'hooks-files.json'))).toBe(false)
  })

  test('run for a binding that is removed', async () => {
    const commands = new Commands()
    const target = output.open({ config: { onChange: [hook('all')] }, run: commands.run })
    await pass(target, landscape('one'))
    await pass(target, desired([]))
    expect(commands.ran[1]).toEqual(['all', `${customersName} ${ordersName}`])
  })

  test('that fail are a problem, and run again in the next pass and after a restart, with all names', async () => {
    const commands = new Commands()
    const settings = { config: { onChange: [hook('bad'), hook('good')] }, run: commands.run }
    commands.answers = { bad: { code: 5, output: 'CANARY' } }
    const target = output.open(settings)
    expect((await pass(target, landscape('one'))).problems).toEqual(['hook_failed'])
    expect((await pass(target, landscape('one'))).problems).toEqual(['hook_failed'])
    const restarted = output.open(settings)
    expect((await pass(restarted, landscape('two'))).problems).toEqual(['hook_failed'])
    expect(commands.ran.map(([command]) => command)).toEqual(['bad', 'good', 'bad', 'bad', 'good'])
    commands.answers = {}
    expect((await pass(restarted, landscape('two'))).problems).toEqual([])
    expect(commands.ran.at(-1)).toEqual(['bad', `${customersName} ${ordersName}`])
    expect((await pass(restarted, landscape('two'))).problems).toEqual([])
    expect(commands.ran).toHaveLength(6)
  })
})

describe('at least once:', () => {
  const journal = () => join(output.state, 'hooks-files.json')

  test('a process that is killed after the swap leaves the command to the next one', async () => {
    const commands = new Commands()
    const settings = { config: { onChange: [hook('all')] }, run: commands.run }
    const target = output.open(settings)
    const { signal } = new AbortController()
    const observed = await target.observe(RUNTIME, signal)
    const { objects } = target.render(landscape('one'), observed)
    const changes = [...objects.values()].map((o) => ({ kind: 'create', ...o, object: o }) as const)
    await target.apply({ target: 'files', changes }, signal)
    expect(commands.ran).toEqual([])
    expect((await pass(output.open(settings), landscape('one'))).changes).toEqual([])
    expect(commands.ran).toEqual([['all', `${customersName} ${ordersName}`]])
  })

  test('a process that is killed before the swap leaves nothing to run', async () => {
    const commands = new Commands()
    const settings = { config: { onChange: [hook('all')] }, run: commands.run }
    const target = output.open(settings)
    await pass(target, landscape('one'))
    const { signal } = new AbortController()
    const observed = await target.observe(RUNTIME, signal)
    const object = target.render(landscape('two'), observed).objects.get('binding/b1')!
    const changes = [{ kind: 'update', ...object, object }] as const
    const killed = () => Promise.reject(new Error('killed'))
    const last = output.open({ ...settings, disk: { ...bulkFiles, swap: killed } })
    await last.observe(RUNTIME, signal)
    await last.apply({ target: 'files', changes }, signal).catch(() => undefined)
    expect(existsSync(journal())).toBe(true)
    expect((await pass(output.open(settings), landscape('one'))).problems).toEqual([])
    expect(commands.ran).toHaveLength(1)
    // The next change runs for what it changes itself.
    const erp = application('e', { name: 'erp' })
    const more = desired([...landscape('one').applications!, erp])
    await pass(output.open(settings), more)
    expect(commands.ran.slice(1)).toEqual([['all', bindingName('erp', erp.bundles[0]!)]])
  })

  test('a state directory that is full stops the swap, as the command could be lost', async () => {
    const onChange = [hook('all')]
    const target = output.open({ config: { onChange }, stateDirectory: join(output.base, 'gone') })
    const failed = await pass(target, landscape('one')).catch((thrown: unknown) => thrown)
    expect(failed).toMatchObject({ code: 'disk_failed' })
    expect(existsSync(output.path('current'))).toBe(false)
  })

  test('a command that was stopped because the agent stops runs again and is no problem', async () => {
    const commands = new Commands()
    commands.answers = { all: { code: 137, killed: 'aborted' } }
    const target = output.open({ config: { onChange: [hook('all')] }, run: commands.run })
    expect((await pass(target, landscape('one'))).problems).toEqual([])
    expect(existsSync(journal())).toBe(true)
    commands.answers = {}
    await pass(target, landscape('one'))
    expect(existsSync(journal())).toBe(false)
  })

  test('a command that left agent.yaml is not run any more', async () => {
    const commands = new Commands()
    commands.answers = { old: { code: 1 } }
    await pass(
      output.open({ config: { onChange: [hook('old')] }, run: commands.run }),
      landscape('one'),
    )
    const next = output.open({ config: { onChange: [hook('new')] }, run: commands.run })
    expect((await pass(next, landscape('one'))).problems).toEqual([])
    expect(commands.ran).toHaveLength(1)
  })
})

test('a real command gets its arguments as they are, and the names in its environment', async () => {
  const seen = join(output.base, 'seen')
  const command = [
    'sh',
    '-c',
    'printf "%s|%s|%s" "$1" "$2" "$RUNTIME_AGENT_CHANGED" > "$3"',
    'sh',
    'a b; $(id)',
    '*',
    seen,
  ]
  const onChange = [{ bindings: ['*-orders-*'], command, timeout: 5000 }]
  const target = output.open({ config: { onChange }, run: runCommand })
  expect((await pass(target, landscape('one'))).problems).toEqual([])
  expect(readFileSync(seen, 'utf8')).toBe(`a b; $(id)|*|${ordersName}`)
})
