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
