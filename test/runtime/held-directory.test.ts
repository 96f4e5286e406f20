import { afterEach, beforeEach, describe, expect } from 'bun:test'
import { spawn, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { holdDirectory } from '../../src/runtime/held-directory.ts'
import type { HeldDirectory } from '../../src/runtime/held-directory.ts'
import { skipUnless } from '../skip.ts'

const onLinux = skipUnless(process.platform === 'linux', {
  why: 'directories are held by /proc/self/fd',
  how: 'run the tests on Linux',
  allowedInCi: true,
})
const asRoot = skipUnless(process.platform === 'linux' && process.getuid?.() === 0, {
  why: 'this user cannot give files to others',
  how: 'run the tests as root on Linux',
})

const NOBODY = 65534
let base: string
let held: HeldDirectory | undefined
beforeEach(() => {
  base = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'agent-held-')))
})
afterEach(() => {
  held?.close()
  held = undefined
  fs.rmSync(base, { recursive: true })
})

function hold(path: string): HeldDirectory {
  held = holdDirectory(path)
  if (held === undefined) throw new Error(`there is no ${path}`)
  return held
}

function make(...parts: string[]): string {
  const path = join(base, ...parts)
  fs.mkdirSync(path, { recursive: true })
  return path
}

describe('the way to a held directory', () => {
  onLinux('may be missing', () => {
    expect(holdDirectory(join(base, 'none/below'))).toBeUndefined()
  })

  onLinux('may lead over symlinks that only we could have made, of every form', () => {
    fs.writeFileSync(join(make('real/deep/in'), 'name'), '')
    fs.symlinkSync(join(base, 'real'), join(base, 'absolute'))
    fs.symlinkSync('../absolute/./deep', join(base, 'real/relative'))
    expect(hold(join(base, 'absolute/relative/in')).names()).toEqual(['name'])
  })

  asRoot.each(['world-writable', 'of another user'])(
    'must not lead over a symlink in a directory that is %s',
    (kind) => {
      make('secret/hooks')
      const open = make('open')
      fs.symlinkSync(join(base, 'secret'), join(open, 'state'))
      if (kind === 'world-writable') fs.chmodSync(open, 0o777)
      else fs.chownSync(open, NOBODY, NOBODY)
      expect(() => holdDirectory(join(open, 'state/hooks'))).toThrow('state is a symlink')
      fs.symlinkSync(join(base, 'secret/hooks'), join(open, 'hooks'))
      expect(() => holdDirectory(join(open, 'hooks'))).toThrow('hooks is a symlink')
    },
  )

  onLinux('has no end in a circle of symlinks, and leads to no file', () => {
    fs.symlinkSync('b', join(base, 'a'))
    fs.symlinkSync('a', join(base, 'b'))
    expect(() => holdDirectory(join(base, 'a'))).toThrow('too many symlinks')
    fs.writeFileSync(join(base, 'file'), '')
    expect(() => holdDirectory(join(base, 'file'))).toThrow('Cannot open')
  })

  onLinux('does not matter any more once it is held', () => {
    fs.writeFileSync(join(make('hooks'), 'mine'), 'text')
    fs.writeFileSync(join(make('etc'), 'mine'), 'precious')
    const directory = hold(join(base, 'hooks'))
    fs.renameSync(join(base, 'hooks'), join(base, 'moved'))
    fs.symlinkSync(join(base, 'etc'), join(base, 'hooks'))
    expect(directory.read('mine', 100)?.text).toBe('text')
    expect(directory.remove('mine')).toBe(true)
    expect(fs.readdirSync(join(base, 'moved'))).toEqual([])
    expect(fs.readFileSync(join(base, 'etc/mine'), 'utf8')).toBe('precious')
  })
})

describe('what lies in a held directory', () => {
  const at = (name: string): string => join(base, 'hooks', name)
  beforeEach(() => void make('hooks'))

  onLinux('is read when it is a small file of the owner of the directory', () => {
    fs.writeFileSync(at('a'), 'ä')
    fs.writeFileSync(at('.hidden'), '')
    const directory = hold(join(base, 'hooks'))
    expect(directory.names()).toEqual(['a'])
    expect(directory.read('a', 2)?.text).toBe('ä')
    expect(directory.read('gone', 2)).toBeUndefined()
    expect(() => directory.read('a', 1)).toThrow('it is larger than 1 bytes')
  })

  onLinux('is refused without waiting or following when it is anything else, and removed', () => {
    fs.writeFileSync(join(base, 'precious'), 'precious')
    fs.symlinkSync(join(base, 'precious'), at('symlink'))
    fs.linkSync(join(base, 'precious'), at('link'))
    fs.mkdirSync(at('directory/full/of'), { recursive: true })
    spawnSync('mkfifo', [at('pipe')])
    fs.writeFileSync(at('huge'), '')
    fs.truncateSync(at('huge'), 2 ** 40)
    const directory = hold(join(base, 'hooks'))
    const why = (name: string): string => {
      try {
        return directory.read(name, 1000)?.text ?? 'gone'
      } catch (thrown) {
        return (thrown as Error).message
      }
    }
    const names = directory.names().sort()
    expect(names.map((name) => [name, why(name)])).toEqual([
      ['directory', 'it is no file'],
      ['huge', 'it is larger than 1000 bytes'],
      ['link', 'it has a second name'],
      ['pipe', 'it is no file'],
      ['symlink', 'it is a symlink'],
    ])
    expect(names.map((name) => directory.remove(name))).toEqual(names.map(() => true))
    expect(directory.names()).toEqual([])
    expect(fs.readFileSync(join(base, 'precious'), 'utf8')).toBe('precious')
  })

  asRoot('is refused when it is of another user', () => {
    fs.writeFileSync(at('a'), 'text')
    fs.chownSync(at('a'), NOBODY, NOBODY)
    expect(() => hold(join(base, 'hooks')).read('a', 9)).toThrow('of another user')
  })

  onLinux('is not removed when it is no longer what was read', () => {
    fs.writeFileSync(at('a'), 'old')
    const directory = hold(join(base, 'hooks'))
    const old = directory.read('a', 9)!
    fs.writeFileSync(at('new'), 'new')
    fs.renameSync(at('new'), at('a'))
    expect(directory.remove('a', old)).toBe(true)
    expect(directory.read('a', 9)?.text).toBe('new')
    expect(directory.remove('a', directory.read('a', 9))).toBe(true)
    expect(directory.names()).toEqual([])
    expect(directory.remove('a')).toBe(true)
  })

  asRoot('is left alone and told of when it cannot be removed', () => {
    fs.writeFileSync(at('a'), '')
    const frozen = spawnSync('chattr', ['+i', at('a')]).status === 0
    const directory = hold(join(base, 'hooks'))
    // Not every file system knows files that cannot be changed.
    if (frozen) expect(directory.remove('a')).toBe(false)
    spawnSync('chattr', ['-i', at('a')])
  })

  onLinux('that grows while it is read is cut at the limit', async () => {
    fs.writeFileSync(at('a'), '')
    const writer = spawn('sh', ['-c', `while :; do printf 0123456789 >> '${at('a')}'; done`])
    const directory = hold(join(base, 'hooks'))
    try {
      for (let look = 0; look < 50; look += 1) {
        try {
          expect(directory.read('a', 64)!.text.length).toBeLessThanOrEqual(64)
        } catch (thrown) {
          expect((thrown as Error).message).toContain('larger than 64')
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      writer.kill('SIGKILL')
    }
  })
})
