import * as fs from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { bulkFiles } from '../../../src/runtime/bulk-files.ts'
import * as files from '../../../src/runtime/files.ts'
import { acquireLock } from '../../../src/runtime/lock.ts'
import { setUmask } from '../../../src/runtime/process.ts'
import { rollOf } from '../../../src/runtime/roll.ts'
import type { Roll } from '../../../src/runtime/roll.ts'
import { check, codeOf, same } from './harness.ts'
import { inDirectory, startHelper } from './helpers.ts'

const modeOf = (path: string): number => fs.lstatSync(path).mode & 0o7777

/** Files and the lock. */
export function checkFiles(): void {
  check('writeAtomic gives exact modes under any umask and leaves nothing behind', () =>
    inDirectory(async (path) => {
      const before = setUmask(0o077)
      try {
        await files.writeAtomic(join(path, 'own'), 'größe')
        await files.writeAtomic(join(path, 'shared'), new Uint8Array([65]), { mode: 0o640 })
        setUmask(0)
        await files.writeNew(join(path, 'open'), 'x', { mode: 0o600, gid: fs.statSync(path).gid })
      } finally {
        setUmask(before)
      }
      same(
        ['own', 'shared', 'open'].map((name) => modeOf(join(path, name))),
        [0o600, 0o640, 0o600],
      )
      same(await files.readText(join(path, 'own')), 'größe')
      same(await files.list(path), ['open', 'own', 'shared'])
    }),
  )
  check('writing over a directory fails as disk_failed and leaves no temp file', () =>
    inDirectory(async (path) => {
      fs.mkdirSync(join(path, 'taken'))
      same(await codeOf(files.writeAtomic(join(path, 'taken'), 'x')), 'disk_failed')
      same(await files.list(path), ['taken'])
    }),
  )
  check('directories get set-group-id, symlinks are replaced, trees removed', () =>
    inDirectory(async (path) => {
      const out = join(path, 'a', 'out')
      await files.ensureDirectory(out, { mode: 0o2750 })
      same([modeOf(join(path, 'a')), modeOf(out)], [0o711, 0o2750])
      await files.replaceSymlink(join(out, 'current'), 'gen-1')
      await files.replaceSymlink(join(out, 'current'), 'gen-2')
      same(await files.readSymlink(join(out, 'current')), 'gen-2')
      same((await files.lstat(join(out, 'current')))?.kind, 'symlink')
      await files.removeTree(join(path, 'a'))
      same(await files.list(path), [])
    }),
  )
  check('lstat is exact to the nanosecond and the inode', () =>
    inDirectory(async (path) => {
      const file = join(path, 'file')
      fs.writeFileSync(file, 'abc')
      const node = fs.lstatSync(file, { bigint: true })
      const stat = await files.lstat(file)
      same([stat?.mtimeNs, stat?.inode, stat?.size], [String(node.mtimeNs), Number(node.ino), 3])
      const glance = await bulkFiles.glance(path)
      const seen = glance.look('file')
      const roll = (size: number): Roll => rollOf([{ ...seen!, path: 'file', size }])
      const owner = { uid: Number(node.uid), gid: Number(node.gid) }
      same(
        [glance.isAsLeft(roll(3), owner, 0, 1), glance.isAsLeft(roll(4), owner, 0, 1)],
        [true, false],
      )
      glance.close()
      same([seen?.inode, seen?.size, seen?.kind], [stat?.inode, 3, 'file'])
    }),
  )
  check('a file system is synced, also where there is no `sync` command', () =>
    inDirectory(async (path) => {
      fs.writeFileSync(join(path, 'file'), 'x')
      await files.syncFileSystem(path)
      const before = process.env['PATH']
      process.env['PATH'] = '/nonexistent'
      await files.syncFileSystem(path)
      process.env['PATH'] = before
      same(await codeOf(files.syncFileSystem(join(path, 'none'))), 'disk_failed')
    }),
  )
  for (const runtime of ['own', 'other'] as const) {
    check(`a lock holds against a process of the ${runtime} runtime until kill -9`, () =>
      inDirectory(async (path) => {
        const file = join(path, 'lock')
        const holder = startHelper(['lock', file], { runtime })
        same(await holder.line(), 'held')
        same(await acquireLock(file), undefined)
        await holder.kill()
        const lock = await acquireLock(file)
        same(lock === undefined, false)
        const second = startHelper(['lock', file], { runtime })
        same(await second.line(), 'busy')
        await second.kill()
        await lock?.release()
        same([modeOf(file), fs.readdirSync(path)], [0o600, ['lock']])
      }),
    )
  }
}
