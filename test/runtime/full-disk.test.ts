import { afterAll, describe, expect } from 'bun:test'
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { writeAtomic, writeNew } from '../../src/runtime/files.ts'
import { skipUnless } from '../skip.ts'
import { temporaryDirectory } from './directory.ts'
import { failure } from './failure.ts'

const directory = temporaryDirectory()
const small = join(directory.path, 'small')
fs.mkdirSync(small)
const mount = (...args: string[]): boolean => spawnSync('mount', args).status === 0
const mounted = mount('-t', 'tmpfs', '-o', 'size=64k,nr_inodes=16', 'tmpfs', small)
const withSmallDisk = skipUnless(mounted, {
  why: 'this user may not mount a file system',
  how: 'run the tests as root on Linux',
})

afterAll(() => {
  if (mounted) spawnSync('umount', [small])
  directory[Symbol.dispose]()
})

describe('a disk that is full', () => {
  withSmallDisk('keeps the old file whole and no temp file', async () => {
    const file = join(small, 'file')
    await writeAtomic(file, 'old')
    const error = await failure(writeAtomic(file, new Uint8Array(100_000)))
    expect([error.code, error.message]).toEqual([
      'disk_full',
      `Cannot write ${file}: no space left on device (ENOSPC)`,
    ])
    expect(fs.readFileSync(file, 'utf8')).toBe('old')
    expect(fs.readdirSync(small)).toEqual(['file'])
  })

  withSmallDisk('gets no part of a new file', async () => {
    const error = await failure(writeNew(join(small, 'new'), new Uint8Array(100_000)))
    expect(error.code).toBe('disk_full')
    expect(fs.existsSync(join(small, 'new'))).toBeFalse()
  })

  withSmallDisk('is full too when it has no inode left', async () => {
    for (let count = 0; count < 20; count += 1) {
      try {
        fs.writeFileSync(join(small, `filler-${count}`), '')
      } catch {
        break
      }
    }
    expect((await failure(writeAtomic(join(small, 'file'), 'x'))).code).toBe('disk_full')
    for (const name of fs.readdirSync(small)) if (name !== 'file') fs.rmSync(join(small, name))
  })
})

describe('a disk that is read-only', () => {
  withSmallDisk('is a failed disk', async () => {
    mount('-o', 'remount,ro', small)
    const error = await failure(writeAtomic(join(small, 'file'), 'x'))
    mount('-o', 'remount,rw', small)
    expect([error.code, error.message]).toEqual([
      'disk_failed',
      `Cannot write ${join(small, 'file')}: read-only file system (EROFS)`,
    ])
  })
})
