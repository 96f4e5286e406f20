import { afterEach, beforeEach, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { planChanges } from '../../src/model/plan.ts'
import { Secret } from '../../src/model/secret.ts'
import { application, basic, bundle, desired, headers, RUNTIME } from '../model/samples.ts'
import { Output, readBindings } from './output.ts'
import { pass, summary } from './target.contract.ts'

let output: Output
beforeEach(() => {
  output = new Output()
})
afterEach(() => output.remove())

const hostile = [
  '../x',
  '/etc/passwd',
  '..',
  '.',
  '',
  'n'.repeat(300),
  '🦊🔥',
  'a\0b',
  'con\n\r\tname',
  '.metadata',
  'ucl-',
  'Ünïcödé',
  '__proto__',
  '-rf',
  '%2e%2e%2f',
  'a/../../b',
  '\ud800',
]

test('hostile names and ids stay within the generation, each with a binding of its own', async () => {
  const applications = hostile.map((name, n) =>
    application(`${name}${n}`, {
      name,
      labels: { [name]: name },
      bundles: [
        bundle(`${name}-bundle-${n}`, { name, apis: [{ id: name, name, targetUrl: name }] }),
      ],
    }),
  )
  const target = output.open()
  const first = await pass(target, desired(applications))
  expect(first.changes).toHaveLength(hostile.length * 2)
  expect(readdirSync(output.base).sort()).toEqual(['out', 'state'])
  const bindings = readBindings(output.path('current/bindings'))
  expect(Object.keys(bindings)).toHaveLength(hostile.length)
  for (const [name, keys] of Object.entries(bindings)) {
    expect(name).toMatch(/^ucl-[a-z0-9-]{1,59}$/)
    expect(keys['type']).toBe('ucl-api')
  }
  expect(readdirSync(output.path('current/applications'))).toHaveLength(hostile.length)
  expect(summary(await pass(target, desired(applications)))).toEqual([])
  expect(summary(await pass(output.open(), desired(applications)))).toEqual([])
})

test('values with NUL, quotes, line breaks and a megabyte arrive whole; what no environment holds is named', async () => {
  const megabyte = 'm'.repeat(2 ** 20)
  const value = 'a"b\\c`d$e\nf\'g'
  const bundles = [
    bundle('nul', { auth: basic('user', 'a\0b') }),
    bundle('large', { auth: basic('user', megabyte) }),
    bundle('odd', { auth: basic('user', value) }),
  ]
  const want = desired([application('a', { bundles })])
  const target = output.open()
  const { problems } = await pass(target, want)
  expect(problems).toEqual(['application_invalid', 'application_invalid'])
  const passwords = Object.values(readBindings(output.path('current/bindings'))).map(
    (keys) => keys['password'],
  )
  expect(passwords.toSorted()).toEqual(['a\0b', megabyte, value].toSorted())
  expect(readdirSync(output.path('current/env'))).toHaveLength(1)
  expect(summary(await pass(target, want))).toEqual([])
  expect(summary(await pass(output.open(), want))).toEqual([])
})

test('any text as name and value is mirrored once and then seen as it was written', async () => {
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const target = output.open()
  await fc.assert(
    fc.asyncProperty(text, text, text, text, async (id, name, password, url) => {
      const apis = [{ id, name, targetUrl: url }]
      const bundles = [bundle(`b${id}`, { name, apis, auth: basic(name, password) })]
      const want = desired([application(`a${id}`, { name, description: name, bundles })])
      await pass(target, want)
      expect(summary(await pass(output.open(), want))).toEqual([])
    }),
    { numRuns: 40 },
  )
})

test('no secret stands in manifest, applications, problems, plan, or what a log could print of them', async () => {
  const canary = (n: number) => ` CANARY-${n}-🦊 `
  const bundles = [
    bundle('b', {
      auth: {
        ...basic(canary(1), canary(2)),
        ...headers({ H: [canary(3)] }),
        queryParams: { q: [new Secret(canary(4))] },
        csrf: { tokenUrl: 'https://csrf.example', ...basic(canary(5), `${canary(6)}\0`) },
      },
    }),
  ]
  const want = desired([application('a', { bundles })])
  const target = output.open()
  const { signal } = new AbortController()
  const observed = await target.observe(RUNTIME, signal)
  const rendered = target.render(want, observed)
  const changes = planChanges(rendered, observed, want)
  await target.apply({ target: 'files', changes }, signal)
  expect(rendered.problems.map(({ problem }) => problem.code)).toEqual([
    'value_suspect',
    'application_invalid',
  ])
  for (const shown of [changes, rendered.problems, [...rendered.objects], observed, target]) {
    expect(JSON.stringify(shown)).not.toContain('CANARY')
    expect(inspect(shown, { depth: 20, showHidden: true })).not.toContain('CANARY')
  }
  const holding = filesBelow(output.path('gen-000001')).filter((path) =>
    readFileSync(path, 'utf8').includes('CANARY'),
  )
  expect(holding.length).toBeGreaterThan(0)
  for (const path of holding) expect(path).toMatch(/\/gen-000001\/(bindings|env|json)\//)
  expect(readFileSync(output.path('.runtime-agent.json'), 'utf8')).not.toContain('CANARY')
})

test('the digests in the manifest depend on the key, so that a password cannot be guessed from them', async () => {
  const want = desired([application('a')])
  const digests = (key: string) => {
    const { objects } = output
      .open({ digestKey: new Secret(key) })
      .render(want, { objects: new Map() })
    return [...objects.values()].map(({ digest }) => digest)
  }
  expect(digests('one')).toEqual(digests('one'))
  for (const digest of digests('one')) expect(digests('two')).not.toContain(digest)
  await pass(output.open({ digestKey: new Secret('one') }), want)
  // A lost key costs one rewrite.
  const other = output.open({ digestKey: new Secret('two') })
  expect((await pass(other, want)).changes).toHaveLength(2)
  expect((await pass(other, want)).changes).toEqual([])
})

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile())
}

test('a pipe in place of a file is put right or named, and never waited for', async () => {
  const two = desired([
    application('a', { bundles: [bundle('one', { auth: basic('u', 'p') }), bundle('two')] }),
  ])
  await pass(output.open(), two)
  const [name = ''] = readdirSync(output.path('current/bindings'))
  const becomePipe = (path: string): void => {
    rmSync(path)
    spawnSync('mkfifo', [path])
  }
  becomePipe(output.path('current/bindings', name, 'type'))
  const observed = await output.open().observe(RUNTIME, new AbortController().signal)
  expect([...observed.objects.values()].map(({ digest }) => digest)).toContain('drifted')
  await pass(output.open(), two)
  expect(statSync(output.path('current/bindings', name, 'type')).isFile()).toBe(true)
  becomePipe(output.path('current/MANIFEST.json'))
  const refused = pass(output.open(), two)
  expect(await refused.catch((thrown: unknown) => thrown)).toMatchObject({
    message: `Cannot read ${output.path('gen-000002/MANIFEST.json')}: it is no file`,
  })
})

test('a generation that is a symlink elsewhere is left by the next one, and nothing there is touched', async () => {
  await pass(output.open(), desired([application('a', { bundles: [bundle('one')] })]))
  const elsewhere = join(output.base, 'elsewhere')
  renameSync(output.path('gen-000001'), elsewhere)
  symlinkSync(elsewhere, output.path('gen-000001'))
  const copy = join(output.base, 'copy')
  cpSync(elsewhere, copy, { recursive: true, preserveTimestamps: true })
  for (let round = 0; round < 7; round += 1) {
    await pass(
      output.open(),
      desired([application('a', { bundles: [bundle('one', { name: `v${round}` })] })]),
    )
  }
  expect(output.generations).toHaveLength(5)
  expect(output.generations).not.toContain('gen-000001')
  expect(spawnSync('diff', ['-r', elsewhere, copy]).stdout.toString()).toBe('')
})

test('an application cannot take over the binding of another one by the id of its bundle', async () => {
  const orders = bundle('same', { auth: basic('orders', 'right') })
  const evil = bundle('same', { auth: basic('evil', 'wrong') })
  const all = desired([
    application('1', { bundles: [orders] }),
    application('2', { bundles: [evil] }),
  ])
  for (let round = 0; round < 2; round += 1) {
    const { problems } = await pass(output.open(), all)
    expect(problems).toContain('name_taken')
    const bindings = Object.values(readBindings(output.path('current/bindings')))
    expect(bindings.map((binding) => binding['username'])).toEqual(['orders'])
  }
})
