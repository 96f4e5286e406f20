import { describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import type { Desired } from '../../src/model/target.ts'
import { application, basic, bundle, desired } from '../model/samples.ts'
import { FaultyDisk } from './faulty-disk.ts'
import { Output, readBindings } from './output.ts'
import type { Bindings } from './output.ts'
import { pass } from './target.contract.ts'

const landscape = (password: string, last: string): Desired =>
  desired([
    application('a', {
      bundles: [bundle('a1', { auth: basic('user', password) }), bundle('a2', { apis: [] })],
    }),
    application(last, { bundles: [bundle(`${last}1`, { apis: [] })] }),
  ])

/** From one landscape to another: a change, a creation, a deletion, something unchanged. */
const before = landscape('old', 'b')
const after = landscape('new', 'c')

const seen = (output: Output): Bindings | undefined =>
  existsSync(output.path('current/bindings'))
    ? readBindings(output.path('current/bindings'))
    : undefined

/** What readers see after an undisturbed run of both landscapes, and how many operations the second takes. */
async function undisturbed(generations: number) {
  const output = new Output()
  const faulty = new FaultyDisk()
  const target = output.open({ disk: faulty.disk })
  await prepare(output, generations)
  const old = seen(output)
  faulty.done = []
  await pass(target, after)
  const next = seen(output)
  const operations = faulty.done
  output.remove()
  return { old, next, operations }
}

/** So many generations of the first landscape. */
async function prepare(output: Output, generations: number): Promise<void> {
  const target = output.open()
  for (let n = 1; n <= generations; n++) {
    await pass(target, n === generations ? before : landscape(`p${n}`, 'b'))
  }
}

describe.each([
  ['the first generation', 0],
  ['the second generation', 1],
  ['a generation that makes an old one go', 6],
])('%s', (_name, generations) => {
  test.each(['error', 'kill'] as const)(
    'fails whole at any operation (%s), and the next pass makes it',
    async (kind) => {
      const { old, next, operations } = await undisturbed(generations)
      expect(operations.length).toBeGreaterThan(20)
      for (const [index, operation] of operations.entries()) {
        const output = new Output()
        await prepare(output, generations)
        const faulty = new FaultyDisk()
        faulty.fault = { at: index + 1, kind }
        const target = output.open({ disk: faulty.disk })
        const failed = await pass(target, after).then(
          ({ problems }) => problems,
          (thrown: unknown) => thrown,
        )
        const where = `${kind} at operation ${index + 1}, ${operation}`
        const published = operations.lastIndexOf('swap') < index
        expect([where, seen(output)]).toEqual([where, published ? next : old])
        // What fails after the swap is only the removal of old generations: named, and no failure of the pass.
        if (published) expect([where, failed]).toEqual([where, ['disk_failed']])
        else expect([where, failed]).toMatchObject([where, { code: 'disk_failed' }])
        // The same process when it lives, else the next one.
        faulty.fault = undefined
        await pass(kind === 'error' ? target : output.open(), after)
        expect([where, withoutRevision(seen(output))]).toEqual([where, withoutRevision(next)])
        if (kind === 'error') await pass(output.open(), after)
        expect([where, output.names.filter((name) => /^\.(new|old|current)/.test(name))]).toEqual([
          where,
          [],
        ])
        output.remove()
      }
    },
    60_000,
  )
})

/** A generation that was made and not published has used up its number. */
function withoutRevision(bindings: Bindings | undefined): unknown {
  return Object.entries(bindings ?? {}).map(([name, keys]) => [
    name,
    { ...keys, 'ucl-revision': '' },
  ])
}
