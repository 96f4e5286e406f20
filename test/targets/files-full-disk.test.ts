import { describe, expect } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { application, basic, bundle, desired, numbers } from '../model/samples.ts'
import { Output, readBindings } from './output.ts'
import { onSmallDisk, whenMountable } from './small-disk.ts'
import { pass } from './target.contract.ts'

const landscape = (count: number, password: string) =>
  desired([
    application('a', {
      bundles: numbers(count).map((n) => bundle(`b${n}`, { auth: basic('user', password) })),
    }),
  ])

describe('a full disk', () => {
  whenMountable.each([
    ['without space', 400, 10_000],
    ['without inodes', 100_000, 120],
  ])(
    '%s is named, readers see the old generation whole, and it goes on when there is space',
    async (_what, kB, inodes) => {
      await onSmallDisk(kB, inodes, async (mount) => {
        const output = new Output()
        const directory = join(mount, 'out')
        const target = output.open({ config: { directory } })
        await pass(target, landscape(2, 'old'))
        const before = readBindings(join(directory, 'current/bindings'))
        for (const n of numbers(3)) {
          const failed = await pass(target, landscape(40, `new ${n}`)).catch((e: unknown) => e)
          expect(failed).toMatchObject({ code: 'disk_full' })
          expect(readBindings(join(directory, 'current/bindings'))).toEqual(before)
        }
        // Nothing was left behind by the attempts, so a smaller change still fits.
        await pass(target, landscape(2, 'rotated'))
        const bindings = Object.values(readBindings(join(directory, 'current/bindings')))
        expect(bindings.map((keys) => keys['password'])).toEqual(['rotated', 'rotated'])
        output.remove()
      })
    },
  )

  whenMountable('that somebody else has filled is named, and goes on by itself', async () => {
    await onSmallDisk(1000, 10_000, async (mount) => {
      const output = new Output()
      const directory = join(mount, 'out')
      const target = output.open({ config: { directory } })
      const ballast = join(mount, 'ballast')
      try {
        writeFileSync(ballast, 'x'.repeat(2 ** 20))
      } catch {
        // Full now.
      }
      const failed = await pass(target, landscape(2, 'p')).catch((e: unknown) => e)
      expect(failed).toMatchObject({ code: 'disk_full' })
      rmSync(ballast)
      expect((await pass(target, landscape(2, 'p'))).changes).toHaveLength(3)
      output.remove()
    })
  })

  whenMountable('that is read-only is named', async () => {
    await onSmallDisk(1000, 1000, async (mount) => {
      const output = new Output()
      const target = output.open({ config: { directory: join(mount, 'out') } })
      await pass(target, landscape(1, 'one'))
      spawnSync('mount', ['-o', 'remount,ro', mount])
      const failed = await pass(target, landscape(1, 'two')).catch((e: unknown) => e)
      expect(failed).toMatchObject({ code: 'disk_failed' })
      expect((failed as Error).message).toContain('EROFS')
      output.remove()
    })
  })
})
