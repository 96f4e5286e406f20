import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { AgentError, toAgentError } from '../../src/model/problem.ts'
import type { Target } from '../../src/targets/target.ts'
import { application, desired, RUNTIME } from '../model/samples.ts'
import { skipUnless } from '../skip.ts'
import { Output } from './output.ts'
import { pass } from './target.contract.ts'

let output: Output
beforeEach(() => {
  output = new Output()
})
afterEach(() => output.remove())

const want = desired([application('a')])

/** The error of a pass. */
async function refusal(target: Target): Promise<AgentError> {
  try {
    await pass(target, want)
  } catch (thrown) {
    if (thrown instanceof AgentError) return thrown
    throw thrown
  }
  throw new Error('the pass was not refused')
}

describe('a directory that is not ours is refused and left as it is:', () => {
  test('one that holds anything', async () => {
    mkdirSync(output.root)
    writeFileSync(output.path('thesis.txt'), 'years of work')
    const { code, message } = await refusal(output.open())
    expect({ code, message }).toEqual({
      code: 'output_foreign',
      message: `Cannot write to ${output.root}: it holds thesis.txt and no .runtime-agent.json`,
    })
    expect(output.names).toEqual(['thesis.txt'])
  })

  test('one of another agent, or of another runtime', async () => {
    await pass(output.open(), want)
    expect((await refusal(output.open({ agent: 'second' }))).code).toBe('output_foreign')
    const look = output.open().observe('another-runtime', new AbortController().signal)
    expect(await look.catch((thrown: unknown) => toAgentError(thrown).code)).toBe('output_foreign')
    expect(output.generations).toEqual(['gen-000001'])
  })

  test('a file', async () => {
    writeFileSync(output.root, '')
    expect((await refusal(output.open())).code).toBe('output_foreign')
    expect(lstatSync(output.root).isFile()).toBe(true)
  })

  test('one whose `current` is a directory', async () => {
    await pass(output.open(), want)
    rmSync(output.path('current'))
    mkdirSync(output.path('current/mine'), { recursive: true })
    const error = await refusal(output.open())
    expect(error.code).toBe('output_foreign')
    expect(error.message).toContain('current')
    expect(existsSync(output.path('current/mine'))).toBe(true)
  })

  test('one whose mark is damaged', async () => {
    await pass(output.open(), want)
    writeFileSync(output.path('.runtime-agent.json'), '{')
    expect((await refusal(output.open())).code).toBe('output_foreign')
  })
})

test('an empty directory is taken, also the root of a new file system or one behind a symlink', async () => {
  mkdirSync(output.path('lost+found'), { recursive: true })
  await pass(output.open(), want)
  expect(output.generations).toHaveLength(1)
  const link = join(output.base, 'link')
  symlinkSync(output.root, link)
  const { changes } = await pass(output.open({ config: { directory: link } }), want)
  expect(changes).toEqual([])
})

describe('a manifest that cannot be read stops everything, as unread is not absent:', () => {
  const damages: [string, (text: string) => string | undefined][] = [
    ['missing', () => undefined],
    ['cut', (text) => text.slice(0, text.length / 2)],
    ['of another format', (text) => text.replace('"format":1', '"format":2')],
    [
      'leading out of the generation',
      (text) => text.replace(/"bindings\/[^"]*type"/, '"bindings/../../type"'),
    ],
    ['of another generation', (text) => text.replace('"generation":1', '"generation":3')],
  ]

  test.each(damages)('%s', async (_what, damage) => {
    await pass(output.open(), want)
    const path = output.path('current/MANIFEST.json')
    const damaged = damage(readFileSync(path, 'utf8'))
    rmSync(path)
    if (damaged !== undefined) writeFileSync(path, damaged)
    const error = await refusal(output.open())
    expect(error.code).toBe('output_damaged')
    expect(error.message).toStartWith('Cannot read ')
    expect(output.generations).toEqual(['gen-000001'])
  })
})

describe('a place that is not safe is refused:', () => {
  test('one whose parent others can write to', async () => {
    const open = join(output.base, 'open')
    mkdirSync(open)
    chmodSync(open, 0o777)
    const error = await refusal(output.open({ config: { directory: join(open, 'out') } }))
    expect(error.code).toBe('output_unsafe')
    expect(error.message).toContain(open)
    expect(existsSync(join(open, 'out'))).toBe(false)
  })

  test('one that others can write to itself', async () => {
    mkdirSync(output.root)
    chmodSync(output.root, 0o777)
    expect((await refusal(output.open())).code).toBe('output_unsafe')
  })

  test('the state directory, and anything in it', async () => {
    for (const directory of [output.state, join(output.state, 'out')]) {
      expect((await refusal(output.open({ config: { directory } }))).code).toBe('output_unsafe')
    }
    const beside = `${output.state}-out`
    expect((await pass(output.open({ config: { directory: beside } }), want)).problems).toEqual([])
  })
})

test('a group that does not exist is named', async () => {
  const error = await refusal(output.open({ config: { group: 'no-such-group-here' } }))
  // A new directory is looked at first, so nothing was made.
  expect(error).toMatchObject({ code: 'group_unknown' })
  expect(error.message).toContain('no-such-group-here')
  expect(existsSync(output.path('gen-000001'))).toBe(false)
})

test('a plan of another target is refused and leaves no trace', async () => {
  const target = output.open()
  await target.observe(RUNTIME, new AbortController().signal)
  const owner = { slice: 'applications', application: 'a' } as const
  const object = { key: 'k', owner, name: 'n', digest: 'd', content: { files: () => [] } }
  const changes = [{ kind: 'create', key: 'k', owner, name: 'n', object }] as const
  const apply = target.apply({ target: 'other', changes }, new AbortController().signal)
  expect(apply).rejects.toMatchObject({ code: 'internal' })
  await apply.catch(() => undefined)
  expect(output.names).toEqual(['.runtime-agent.json'])
})

test('an agent that is told to stop leaves everything as it is', async () => {
  const target = output.open()
  await pass(target, want)
  const observed = await target.observe(RUNTIME, new AbortController().signal)
  const two = desired([application('a'), application('b')])
  const { objects } = target.render(two, observed)
  const changes = [...objects.values()].map(
    (object) => ({ kind: 'create', ...object, object }) as const,
  )
  const applied = target.apply({ target: 'files', changes }, AbortSignal.abort(new Error('stop')))
  expect(applied).rejects.toThrow('stop')
  await applied.catch(() => undefined)
  expect(output.names).toEqual(['.runtime-agent.json', 'current', 'gen-000001'])
})

skipUnless(process.geteuid?.() === 0, {
  why: 'only root can act as another user',
  how: 'run the tests as root',
})('a group that the user of the agent is not in is named', async () => {
  chmodSync(output.base, 0o777)
  chmodSync(output.state, 0o777)
  const mine = join(output.base, 'mine')
  mkdirSync(mine)
  chownSync(mine, 65534, 65534)
  chmodSync(output.base, 0o755)
  const groups = process.getgroups?.() ?? []
  process.setgroups?.([])
  process.setegid?.(65534)
  process.seteuid?.(65534)
  try {
    const config = { directory: join(mine, 'out'), group: '12345' }
    const error = await refusal(output.open({ config }))
    expect(error.code).toBe('group_unknown')
    const own = output.open({ config: { directory: join(mine, 'own'), group: '65534' } })
    expect((await pass(own, want)).changes).toHaveLength(2)
    expect((await pass(own, want)).changes).toEqual([])
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
    process.setgroups?.(groups)
  }
  expect(lstatSync(join(mine, 'own/current/env')).gid).toBe(65534)
})
