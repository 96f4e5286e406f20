import { afterEach, beforeEach, expect, test } from 'bun:test'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeAtomic } from '../../src/runtime/files.ts'
import { holdDirectory } from '../../src/runtime/held-directory.ts'
import { hookId } from '../../src/targets/hook-command.ts'
import { refuseRequests, runRequests } from '../../src/targets/hook-helper.ts'
import type { HookHelperOptions } from '../../src/targets/hook-helper.ts'
import { Commands, hook } from './hooks.contract.ts'

/** Only the helper's side: the tests are the agent, which may have been taken over. */
let base: string
let commands: Commands
let log: string[]
const reload = hook('reload', ['ucl-crm-*'])
const id = hookId(reload)

beforeEach(() => {
  base = fs.mkdtempSync(join(tmpdir(), 'agent-helper-'))
  fs.mkdirSync(join(base, 'requests'))
  fs.mkdirSync(join(base, 'outcomes'))
  commands = new Commands()
  log = []
})
afterEach(() => fs.rmSync(base, { recursive: true }))

const put = (name: string, request: unknown): void =>
  fs.writeFileSync(join(base, 'requests', name), JSON.stringify(request))
const good = { version: 1, hook: id, names: ['ucl-crm-a'] }

async function help(change: Partial<HookHelperOptions> = {}): Promise<boolean> {
  const requests = holdDirectory(join(base, 'requests'))!
  try {
    const { signal } = new AbortController()
    return await runRequests(
      {
        requests,
        outcomes: join(base, 'outcomes'),
        hooksOf: (target) => (target === 'files' ? [reload] : undefined),
        run: commands.run,
        write: writeAtomic,
        say: (line) => void log.push(line),
        ...change,
      },
      signal,
    )
  } finally {
    requests.close()
  }
}

const left = (): string[] => fs.readdirSync(join(base, 'requests')).filter((n) => n[0] !== '.')

test('runs requests in the order in which they were made, and tells what came of them', async () => {
  const order: string[] = []
  put('files-10.json', good)
  put('files-9.json', { ...good, names: ['ucl-crm-b', 'ucl-crm-a'] })
  commands.look = () => order.push(left().join(' '))
  expect(await help()).toBe(true)
  expect(commands.ran.map(([, names]) => names)).toEqual(['ucl-crm-b ucl-crm-a', 'ucl-crm-a'])
  expect(left()).toEqual([])
  const outcome = fs.readFileSync(join(base, 'outcomes', `files-${id}.json`), 'utf8')
  expect(JSON.parse(outcome)).toEqual({ version: 1, request: 'files-10.json', code: 0 })
  expect(log).toEqual([
    'done: reload, onChange[0] of target files, for 2 changed bindings',
    'done: reload, onChange[0] of target files, for 1 changed binding',
  ])
})

test('only removes a request whose outcome was told before a kill, and runs one again that was only begun', async () => {
  put('files-1.json', good)
  const path = join(base, 'outcomes', `files-${id}.json`)
  fs.writeFileSync(path, JSON.stringify({ version: 1, request: 'files-1.json', code: 0 }))
  expect(await help()).toBe(true)
  expect(commands.ran).toEqual([])
  put('files-1.json', good)
  fs.writeFileSync(path, JSON.stringify({ version: 1, request: 'files-1.json' }))
  expect(await help()).toBe(true)
  expect(commands.ran).toHaveLength(1)
  expect(left()).toEqual([])
})

test.each([
  ['files-1.json', 'text', 'request is not an object'],
  ['files-1.json', { ...good, version: 2 }, 'version is another one'],
  ['files-1.json', { ...good, hook: '../../etc/passwd' }, 'hook has another form'],
  ['files-1.json', { ...good, hook: '0123456789abcdef' }, 'agent.yaml has no such command'],
  ['files-1.json', { ...good, command: ['sh'], hook: ['sh', '-c', 'id'] }, 'hook is not text'],
  ['files-1.json', { ...good, names: 'ucl-crm-a' }, 'names is not a list'],
  ['files-1.json', { ...good, names: ['ucl-crm-a', '../x'] }, 'names[1] has another form'],
  ['files-1.json', { ...good, names: ['ucl-crm-a b'] }, 'names[0] has another form'],
  ['files-1.json', { ...good, names: ['-rf'] }, 'names[0] has another form'],
  ['files-1.json', { ...good, names: ['ucl-crm-\n'] }, 'names[0] has another form'],
  ['files-1.json', { ...good, names: ['config/a/../b'] }, 'names[0] has another form'],
  ['files-1.json', { ...good, names: ['ucl-erp-a'] }, 'the command is for other bindings'],
  ['files-1.json', { ...good, names: [] }, 'the command is for other bindings'],
  ['other-1.json', good, 'agent.yaml has no such target'],
  ['files.json', good, 'agent.yaml has no such target'],
  ['files-1.json.bak', good, 'agent.yaml has no such target'],
  ['files-1\n.json', good, 'agent.yaml has no such target'],
  [`files-${'1'.repeat(17)}.json`, good, 'agent.yaml has no such target'],
] as const)('refuses and removes %j with %j: %s', async (name, request, why) => {
  put(name, request)
  expect(await help()).toBe(false)
  expect(commands.ran).toEqual([])
  expect(left()).toEqual([])
  expect(log).toEqual([`refused: ${JSON.stringify(name)}: ${why}`])
  expect(fs.readdirSync(join(base, 'outcomes'))).toEqual([])
})

test('gives the command only the names that it is for', async () => {
  put('files-1.json', { ...good, names: ['ucl-erp-a', 'ucl-crm-a'] })
  expect(await help()).toBe(true)
  expect(commands.ran).toEqual([['reload', 'ucl-crm-a']])
})

test('says what a command that failed has printed, as it is the log of a service', async () => {
  put('files-1.json', good)
  commands.answers = { reload: { code: 3, output: 'Job for orders.service failed' } }
  expect(await help()).toBe(false)
  expect(log[0]).toContain('it ended with code 3\nJob for orders.service failed')
  expect(left()).toEqual([])
})

test('stays off when a request cannot be removed, instead of running it again and again', async () => {
  put('files-1.json', good)
  const requests = holdDirectory(join(base, 'requests'))!
  expect(await help({ requests: { ...requests, remove: () => false } })).toBe(false)
  requests.close()
  expect(commands.ran).toHaveLength(1)
  expect(log.at(-1)).toBe('cannot remove "files-1.json"')
})

test('removes the request when the outcome cannot be told any more: the agent asks again, slowly', async () => {
  put('files-1.json', good)
  let writes = 0
  const write = (path: string, text: string): Promise<void> =>
    (writes += 1) === 2
      ? Promise.reject(new Error('no space left on device'))
      : writeAtomic(path, text)
  expect(await help({ write })).toBe(false)
  expect(left()).toEqual([])
  expect(log.at(-1)).toBe('refused: "files-1.json": no space left on device')
})

test('refuses all when nothing can be run', () => {
  put('files-1.json', good)
  put('x', '')
  const requests = holdDirectory(join(base, 'requests'))!
  const say = (line: string): void => void log.push(line)
  expect(refuseRequests({ requests, say }, 'agent.yaml is not of root')).toBe(true)
  requests.close()
  expect(log.sort()).toEqual([
    'refused: "files-1.json": agent.yaml is not of root',
    'refused: "x": agent.yaml is not of root',
  ])
  expect(left()).toEqual([])
})
