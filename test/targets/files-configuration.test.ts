import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, lstatSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { load } from 'js-yaml'
import { revealed } from '../../src/model/config-value.ts'
import { Secret } from '../../src/model/secret.ts'
import { application, desired, document, documents } from '../model/samples.ts'
import { documentsContract } from './documents.contract.ts'
import { Output } from './output.ts'
import { pass, summary } from './target.contract.ts'

documentsContract('files', () => {
  const output = new Output()
  return {
    open: () => output.open(),
    writes: () => output.names.join(' '),
    damage: (_key, name) => writeFileSync(output.path('current/config', `${name}.yaml`), 'x'),
    close: () => output.remove(),
  }
})

let output: Output
beforeEach(() => {
  output = new Output()
})
afterEach(() => output.remove())

const both = { ...desired([application('a')]), ...documents([document('logging')]) }
const yaml = (path: string): string =>
  readFileSync(output.path('current/config', `${path}.yaml`), 'utf8')

describe('documents as files', () => {
  test('lie in the same generation as the bindings', async () => {
    await pass(output.open(), both)
    expect(output.names).toEqual(['.runtime-agent.json', 'current', 'gen-000001'])
    expect(readdirSync(output.path('current')).sort()).toEqual([
      'MANIFEST.json',
      'applications',
      'bindings',
      'config',
      'env',
      'json',
    ])
    expect(readdirSync(output.path('current/config/component'))).toEqual(['logging.yaml'])
  })

  test('have a place of their own for each namespace, and modes for their readers', async () => {
    const want = documents([document('logging'), document('logging', 'x', { namespace: 'apps' })])
    await pass(output.open(), want)
    expect(yaml('component/logging')).toContain('value: "secret"')
    expect(yaml('component/apps/logging')).toContain('namespace: "apps"')
    const mode = (path: string): string =>
      (lstatSync(output.path('current', path)).mode & 0o7777).toString(8)
    expect(mode('config')).toBe('2750')
    expect(mode('config/component/apps')).toBe('2750')
    expect(mode('config/component/apps/logging.yaml')).toBe('640')
  })

  test('say the same as what was given, secrets in clear, whatever a reader takes for a number', async () => {
    const tricky = document('a')
    tricky.document['spec'] = {
      texts: ['on', 'yes', '0x10', '1_000', '12:30:45', 'null', '~', '', ' a ', 'a: b', '- x'],
      more: ['#', "it's", '"', 'a\nb\n', '😀', '\u0007', '1e3', '2026-01-01', '<<', '*a', '&a'],
      others: [1, 1.5, true, null, {}, []],
      password: new Secret('pa"ss\nword: #'),
      'a key: odd': 'x',
      on: 'y',
    }
    await pass(output.open(), documents([tricky]))
    expect(load(yaml('component/a'))).toEqual(revealed(tricky.document))
    expect(yaml('component/a')).not.toMatch(/: (on|yes|null|~|1_000)$/m)
  })

  test('are written in one order of keys, whatever order they came in', async () => {
    const one = document('a')
    const target = output.open()
    await pass(target, documents([one]))
    const turned = { ...one, document: Object.fromEntries(Object.entries(one.document).reverse()) }
    expect(summary(await pass(target, documents([turned])))).toEqual([])
  })

  test('come and go without a write to bindings, and the other way round', async () => {
    const target = output.open()
    await pass(target, both)
    const inode = (): number => lstatSync(output.path('current/config/component/logging.yaml')).ino
    const before = inode()
    const more = { ...both, ...desired([application('a'), application('b')]) }
    await pass(target, more)
    expect(inode()).toBe(before)
    expect(summary(await pass(target, { ...more, ...documents([]) }))).toEqual([
      'delete config/dapr.io/Component//logging',
    ])
    expect(readdirSync(output.path('current'))).not.toContain('config')
    expect(readdirSync(output.path('current/bindings'))).toHaveLength(2)
  })

  test('in a directory that readers were shut out of are put right', async () => {
    const target = output.open()
    await pass(target, both)
    chmodSync(output.path('current/config/component'), 0o700)
    await pass(target, both)
    const { mode } = lstatSync(output.path('current/config/component'))
    expect((mode & 0o7777).toString(8)).toBe('2750')
  })

  test('of two API groups with one kind and name: the one that is there keeps the file', async () => {
    const target = output.open()
    const other = { ...document('logging', 'other'), id: 'example.org/Component//logging' }
    await pass(target, documents([document('logging', 'first')]))
    const result = await pass(target, documents([document('logging', 'first'), other]))
    expect(result.problems).toEqual(['name_taken'])
    expect(yaml('component/logging')).toContain('first')
    expect(summary(await pass(target, documents([other])))).toEqual([
      'delete config/dapr.io/Component//logging',
    ])
    await pass(target, documents([other]))
    expect(yaml('component/logging')).toContain('other')
  })

  test('that change are told to hooks as config/<kind>/<name>', async () => {
    const seen = output.path('..', 'seen')
    const target = output.open({
      config: {
        onChange: [
          {
            bindings: ['config/component/*'],
            command: ['/bin/sh', '-c', `echo "$RUNTIME_AGENT_CHANGED" >> ${seen}`],
            timeout: 10_000,
          },
        ],
      },
    })
    await pass(target, both)
    expect(readFileSync(seen, 'utf8')).toBe('config/component/logging\n')
    await pass(target, { ...both, ...desired([application('b')]) })
    expect(readFileSync(seen, 'utf8')).toBe('config/component/logging\n')
  })
})
