import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentError } from '../../src/model/problem.ts'
import { bulkFiles } from '../../src/runtime/bulk-files.ts'
import { lookAt } from '../../src/runtime/file-facts.ts'
import { openGlance } from '../../src/runtime/glance.ts'
import { isAsLeft as isAsRolled, rollOf } from '../../src/runtime/roll.ts'

let base: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'agent-bulk-'))
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

const at = (...parts: string[]) => join(base, ...parts)

describe('a glance', () => {
  test('says of everything what lstat says', async () => {
    writeFileSync(at('file'), 'content')
    writeFileSync(at('ünïcödé 🦊'), '')
    mkdirSync(at('directory'))
    writeFileSync(at('directory/inner'), '')
    symlinkSync('file', at('link'))
    symlinkSync('nowhere', at('dangling'))
    chmodSync(at('directory'), 0o2751)
    linkSync(at('file'), at('second'))
    for (const [name, seconds] of [
      ['file', 1.123456789],
      ['directory/inner', 2_000_000_000.25],
      ['second', 4_294_967_295.999],
    ] as const) {
      utimesSync(at(name), seconds, seconds)
    }
    const glance = await openGlance(base)
    const names = [
      'file',
      'ünïcödé 🦊',
      'directory',
      'directory/inner',
      'link',
      'dangling',
      'second',
    ]
    for (const name of names) {
      expect([name, glance.look(name)]).toEqual([name, lookAt(at(name))])
    }
    expect(glance.look('missing')).toBeUndefined()
    expect(glance.look('file/below')).toBeUndefined()
    expect(glance.look('directory/../file')?.kind).toBe('file')
    glance.close()
  })

  test('at more than a path can hold is an error, not a guess', async () => {
    const glance = await openGlance(base)
    const look = () => glance.look('n'.repeat(5000))
    expect(look).toThrow(AgentError)
    expect(look).toThrow('ENAMETOOLONG')
    glance.close()
  })

  test('tells any difference of kind, mode, size, time, inode, owner and group from what was left', async () => {
    writeFileSync(at('file'), 'content')
    mkdirSync(at('directory'))
    writeFileSync(at('directory/inner'), '')
    symlinkSync('file', at('link'))
    utimesSync(at('file'), 1.123456789, 1.123456789)
    const entries = ['file', 'directory', 'directory/inner', 'link'].map((path) => ({
      path,
      ...lookAt(at(path))!,
    }))
    const { uid, gid } = entries[0]!
    const glance = await openGlance(base)
    const isAsLeft = (changed: object, owner = { uid, gid }): boolean[] =>
      entries.map((entry, index) => {
        const roll = rollOf(entries.with(index, { ...entry, ...changed }))
        expect(isAsRolled(entry, roll, index, owner)).toBe(
          glance.isAsLeft(roll, owner, index, index + 1),
        )
        return glance.isAsLeft(roll, owner, 0, entries.length)
      })
    const all = (value: boolean): boolean[] => entries.map(() => value)
    expect(isAsLeft({})).toEqual(all(true))
    expect(isAsLeft({ kind: 'other' })).toEqual(all(false))
    expect(isAsLeft({ mode: 0o7 })).toEqual(all(false))
    expect(isAsLeft({ size: 2 ** 40 })).toEqual(all(false))
    expect(isAsLeft({ mtimeMs: 1123.457 })).toEqual(all(false))
    expect(isAsLeft({ inode: 2 ** 40 })).toEqual(all(false))
    expect(isAsLeft({}, { uid: uid + 1, gid })).toEqual(all(false))
    expect(isAsLeft({}, { uid, gid: gid + 1 })).toEqual(all(false))
    glance.close()
  })

  test('looks at the part of a roll that it is asked about, and at nothing for an empty one', async () => {
    writeFileSync(at('file'), 'content')
    const there = { path: 'file', ...lookAt(at('file'))! }
    const roll = rollOf([{ ...there, path: 'missing' }, there, { ...there, size: 1 }])
    const glance = await openGlance(base)
    const parts = [
      [0, 1],
      [1, 2],
      [2, 3],
      [1, 3],
      [1, 1],
    ] as const
    const found = parts.map(([from, to]) => glance.isAsLeft(roll, there, from, to))
    expect(found).toEqual([false, true, false, false, true])
    expect(glance.isAsLeft(rollOf([]), there, 0, 0)).toBe(true)
    glance.close()
  })

  test('below a directory that is not there finds nothing', async () => {
    const glance = await openGlance(at('missing'))
    expect(glance.look('file')).toBeUndefined()
    glance.close()
  })
})

describe('a new file', () => {
  test('has exactly the mode asked for, whatever the umask is', () => {
    const before = process.umask(0o077)
    try {
      const facts = bulkFiles.write(at('file'), 'é', { mode: 0o640, gid: undefined })
      expect(facts).toEqual(lookAt(at('file'))!)
      expect(facts).toMatchObject({ kind: 'file', size: 2, mode: 0o640 })
      bulkFiles.makeDirectory(at('directory'), { mode: 0o2750, gid: undefined })
      expect(lstatSync(at('directory')).mode & 0o7777).toBe(0o2750)
    } finally {
      process.umask(before)
    }
  })

  test('never takes the place of something, not even of a symlink that leads nowhere', () => {
    writeFileSync(at('file'), 'old')
    symlinkSync(at('elsewhere'), at('link'))
    for (const name of ['file', 'link']) {
      expect(() => bulkFiles.write(at(name), 'new', { mode: 0o600, gid: undefined })).toThrow(
        'EEXIST',
      )
    }
    expect(readFileSync(at('file'), 'utf8')).toBe('old')
    expect(lookAt(at('elsewhere'))).toBeUndefined()
  })
})

test('removing a tree follows no symlink', () => {
  mkdirSync(at('outside'))
  writeFileSync(at('outside/precious'), '')
  mkdirSync(at('tree'))
  symlinkSync(at('outside'), at('tree/link'))
  bulkFiles.remove(at('tree'))
  bulkFiles.remove(at('tree'))
  expect(lookAt(at('tree'))).toBeUndefined()
  expect(lookAt(at('outside/precious'))?.kind).toBe('file')
})

test('a link that the file system cannot make is no error', () => {
  writeFileSync(at('file'), '')
  expect(bulkFiles.link(at('file'), at('second'))).toBe(true)
  const memory = '/dev/shm'
  if (!existsSync(memory) || statSync(memory).dev === statSync(base).dev) return
  expect(bulkFiles.link(at('file'), `${memory}/agent-bulk`)).toBe(false)
})

test('errors name what cannot be done, to what, and why', () => {
  const path = at('missing', 'file')
  expect(() => bulkFiles.write(path, '', { mode: 0o600, gid: undefined })).toThrow(AgentError)
  expect(() => bulkFiles.write(path, '', { mode: 0o600, gid: undefined })).toThrow(
    `Cannot write ${path}: no such file or directory (ENOENT)`,
  )
  expect(bulkFiles.read(path)).toBeUndefined()
  expect(bulkFiles.list(path)).toBeUndefined()
  expect(bulkFiles.look(path)).toBeUndefined()
})
