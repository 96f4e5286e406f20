import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as files from '../../src/runtime/files.ts'
import { setUmask } from '../../src/runtime/process.ts'
import { firstLine, killHard, startChild } from './children.ts'
import { temporaryDirectory } from './directory.ts'
import { failure } from './failure.ts'

let directory: ReturnType<typeof temporaryDirectory>
let at: (...names: string[]) => string
beforeEach(() => {
  directory = temporaryDirectory()
  at = (...names) => join(directory.path, ...names)
})
afterEach(() => directory[Symbol.dispose]())

const modeOf = (path: string): number => fs.lstatSync(path).mode & 0o7777
const names = (): string[] => fs.readdirSync(directory.path).sort()

describe('reading', () => {
  test('gives the text, or nothing for what does not exist', async () => {
    fs.writeFileSync(at('file'), 'größe\n')
    expect(await files.readText(at('file'))).toBe('größe\n')
    expect(await files.readBytes(at('file'))).toEqual(new TextEncoder().encode('größe\n'))
    expect(await files.readText(at('none'))).toBeUndefined()
    expect(await files.readText(at('file', 'below'))).toBeUndefined()
  })

  test('gives large files whole and refuses those beyond the limit', async () => {
    const data = Buffer.alloc(200_000, 'abc')
    fs.writeFileSync(at('file'), data)
    expect(Buffer.compare((await files.readBytes(at('file')))!, data)).toBe(0)
    expect(await files.readBytes(at('file'), 200_000)).toHaveLength(200_000)
    const error = await failure(files.readText(at('file'), 199_999))
    expect([error.code, error.message]).toEqual([
      'disk_failed',
      `Cannot read ${at('file')}: larger than 199999 bytes`,
    ])
  })

  test('names what it cannot read and why', async () => {
    const error = await failure(files.readText(directory.path))
    expect([error.code, error.message]).toEqual([
      'disk_failed',
      `Cannot read ${directory.path}: illegal operation on a directory (EISDIR)`,
    ])
  })

  test('refuses a pipe and a device instead of waiting for a writer that may never come', async () => {
    spawnSync('mkfifo', [at('pipe')])
    fs.symlinkSync(at('pipe'), at('link'))
    for (const path of [at('pipe'), at('link'), '/dev/zero']) {
      const error = await failure(files.readText(path))
      expect([error.code, error.message]).toEqual([
        'disk_failed',
        `Cannot read ${path}: it is no file`,
      ])
    }
  })

  test('reads a pipe to its end where a shell gives one as a file', () => {
    const source = fileURLToPath(new URL('../../src/runtime/files.ts', import.meta.url))
    const script = `const { readTextOrPipe } = await import('${source}')
      console.log(await readTextOrPipe('/dev/stdin', 100))`
    const shell = '(printf te; sleep 0.1; printf xt) | "$0" -e "$1"'
    const args = ['-c', shell, process.execPath, script]
    expect(spawnSync('sh', args, { encoding: 'utf8' }).stdout).toBe('text\n')
  })

  test('refuses a pipe that has a name, as nobody may ever write into it', async () => {
    spawnSync('mkfifo', [at('pipe')])
    fs.symlinkSync(at('pipe'), at('link'))
    for (const path of [at('pipe'), at('link')]) {
      const error = await failure(files.readTextOrPipe(path, 100))
      expect(error.message).toBe(`Cannot read ${path}: it is a named pipe`)
    }
    expect(await files.readTextOrPipe(at('none'), 100)).toBeUndefined()
  })
})

describe('writeAtomic', () => {
  test('makes a file 0600, or of the mode asked for, whatever the umask is', async () => {
    for (const umask of [0o000, 0o077, 0o777]) {
      const before = setUmask(umask)
      try {
        await files.writeAtomic(at('secret'), 'a')
        await files.writeAtomic(at('shared'), 'b', { mode: 0o640 })
      } finally {
        setUmask(before)
      }
      expect([modeOf(at('secret')), modeOf(at('shared'))]).toEqual([0o600, 0o640])
      fs.rmSync(at('secret'))
    }
    expect(names()).toEqual(['shared'])
  })

  test('takes a text in pieces', async () => {
    await files.writeAtomic(at('pieces'), ['Größe ', '', '🚀\n', 'end'])
    expect(fs.readFileSync(at('pieces'), 'utf8')).toBe('Größe 🚀\nend')
  })

  test('replaces content, mode and a symlink itself, not what that points to', async () => {
    fs.writeFileSync(at('target'), 'kept')
    fs.symlinkSync('target', at('link'))
    await files.writeAtomic(at('link'), new Uint8Array([104, 105]), { mode: 0o644 })
    expect(fs.lstatSync(at('link')).isFile()).toBeTrue()
    expect(fs.readFileSync(at('link'), 'utf8')).toBe('hi')
    expect(fs.readFileSync(at('target'), 'utf8')).toBe('kept')
  })

  test('leaves nothing behind when it cannot replace', async () => {
    fs.mkdirSync(at('taken'))
    const error = await failure(files.writeAtomic(at('taken'), 'x'))
    expect(error.message).toStartWith(`Cannot write ${at('taken')}: `)
    expect((await failure(files.writeAtomic(at('no', 'file'), 'x'))).code).toBe('disk_failed')
    expect(names()).toEqual(['taken'])
  })

  test('keeps the old or gives the new text whole, killed at any moment', async () => {
    const [a, b] = ['a'.repeat(300_000), 'b'.repeat(300_000)]
    fs.writeFileSync(at('file'), a)
    for (let round = 0; round < 12; round += 1) {
      const child = startChild('write-child.ts', [at('file')])
      await firstLine(child)
      await Bun.sleep(Math.random() * 15)
      await killHard(child)
      expect([a, b].includes(fs.readFileSync(at('file'), 'utf8'))).toBeTrue()
    }
    await files.removeTemporary(directory.path)
    expect(names()).toEqual(['file'])
  })

  test('shows no reader a part', async () => {
    const texts = ['a'.repeat(100_000), 'b'.repeat(50_000)]
    await files.writeAtomic(at('file'), texts[0]!)
    let reads = 0
    let writing = true
    const reader = (async () => {
      while (writing) {
        const text = await files.readText(at('file'))
        if (!texts.includes(text ?? '')) throw new Error(`read ${text?.length} characters`)
        reads += 1
      }
    })()
    for (let turn = 0; turn < 60; turn += 1) await files.writeAtomic(at('file'), texts[turn % 2]!)
    writing = false
    await reader
    expect(reads).toBeGreaterThan(10)
  })
})

describe('writeNew', () => {
  test('makes a file with its mode and never touches one that exists', async () => {
    await files.writeNew(at('file'), 'first', { mode: 0o640 })
    expect(modeOf(at('file'))).toBe(0o640)
    expect((await failure(files.writeNew(at('file'), 'second'))).message).toContain('(EEXIST)')
    expect(fs.readFileSync(at('file'), 'utf8')).toBe('first')
  })

  test('follows no symlink', async () => {
    fs.symlinkSync(at('elsewhere'), at('link'))
    expect((await failure(files.writeNew(at('link'), 'x'))).message).toContain('(EEXIST)')
    expect(names()).toEqual(['link'])
  })
})

describe('ensureDirectory', () => {
  test('makes parents private, itself as asked, and mends its mode', async () => {
    await files.ensureDirectory(at('a', 'b'), { mode: 0o2750 })
    expect([modeOf(at('a')), modeOf(at('a', 'b'))]).toEqual([0o711, 0o2750])
    fs.chmodSync(at('a', 'b'), 0o777)
    await files.ensureDirectory(at('a', 'b'), { mode: 0o2750, gid: process.getgid!() })
    expect(modeOf(at('a', 'b'))).toBe(0o2750)
  })

  test('does not take a file or a symlink for a directory', async () => {
    fs.writeFileSync(at('file'), '')
    fs.symlinkSync(directory.path, at('link'))
    for (const name of ['file', 'link']) {
      expect((await failure(files.ensureDirectory(at(name), { mode: 0o700 }))).code).toBe(
        'disk_failed',
      )
    }
  })
})

describe('replaceSymlink', () => {
  test('points elsewhere in one step: no reader finds nothing', async () => {
    fs.writeFileSync(at('one'), '1')
    fs.writeFileSync(at('two'), '2')
    await files.replaceSymlink(at('current'), 'one')
    let missing = 0
    let turning = true
    const reader = (async () => {
      while (turning) if ((await files.readText(at('current'))) === undefined) missing += 1
    })()
    for (let turn = 0; turn < 50; turn += 1) {
      await files.replaceSymlink(at('current'), turn % 2 === 0 ? 'two' : 'one')
    }
    turning = false
    await reader
    expect([missing, await files.readSymlink(at('current'))]).toEqual([0, 'one'])
    expect(names()).toEqual(['current', 'one', 'two'])
  })

  test.each(['file', 'directory'] as const)('does not replace a %s', async (kind) => {
    if (kind === 'file') fs.writeFileSync(at('current'), 'precious')
    else fs.mkdirSync(at('current'))
    const error = await failure(files.replaceSymlink(at('current'), 'one'))
    expect([error.code, error.message]).toEqual([
      'output_foreign',
      `Cannot point ${at('current')} to one: it is a ${kind}`,
    ])
    expect(await files.readSymlink(at('current'))).toBeUndefined()
  })
})

describe('removing', () => {
  test('a tree follows no symlink out of it', async () => {
    fs.mkdirSync(at('tree', 'deep'), { recursive: true })
    fs.writeFileSync(at('kept'), 'kept')
    fs.symlinkSync(directory.path, at('tree', 'deep', 'out'))
    await files.removeTree(at('tree'))
    await files.removeTree(at('tree'))
    expect(names()).toEqual(['kept'])
  })

  test('a file spares directories and does not mind what is missing', async () => {
    fs.mkdirSync(at('directory'))
    await files.removeFile(at('none'))
    expect((await failure(files.removeFile(at('directory')))).code).toBe('disk_failed')
  })

  test('temp files spares all other names', async () => {
    const others = ['.file', '.file.tmp', 'file.0123456789ab.tmp', '.file.0123456789AB.tmp']
    for (const name of [...others, '.file.0123456789ab.tmp']) fs.writeFileSync(at(name), '')
    await files.removeTemporary(directory.path)
    expect(names()).toEqual(others.sort())
  })
})

describe('looking', () => {
  test('tells kind, size, times and owner, and sees a change within a millisecond', async () => {
    fs.writeFileSync(at('file'), 'abc', { mode: 0o640 })
    fs.symlinkSync('file', at('link'))
    const stat = await files.lstat(at('file'))
    const node = fs.lstatSync(at('file'), { bigint: true })
    expect(stat).toMatchObject({ kind: 'file', size: 3, links: 1, inode: Number(node.ino) })
    expect(stat?.mtimeNs).toBe(String(node.mtimeNs))
    expect((await files.lstat(at('link')))?.kind).toBe('symlink')
    expect((await files.lstat(directory.path))?.kind).toBe('directory')
    expect(await files.lstat(at('none'))).toBeUndefined()
    await files.hardLink(at('file'), at('second'))
    expect((await files.lstat(at('second')))?.links).toBe(2)
  })

  test('lists names in order, or nothing', async () => {
    for (const name of ['b', 'a', 'C']) fs.writeFileSync(at(name), '')
    expect(await files.list(directory.path)).toEqual(['C', 'a', 'b'])
    expect(await files.list(at('none'))).toBeUndefined()
    expect((await failure(files.list(at('none').replace('none', '\0')))).code).toBe('disk_failed')
  })

  test('renames over a file', async () => {
    fs.writeFileSync(at('old'), 'old')
    fs.writeFileSync(at('new'), 'new')
    await files.rename(at('new'), at('old'))
    expect([names(), fs.readFileSync(at('old'), 'utf8')]).toEqual([['old'], 'new'])
    expect((await failure(files.rename(at('none'), at('x')))).message).toContain(at('none'))
  })
})

describe('syncing', () => {
  test('a file system works for a directory and names one that is missing', async () => {
    fs.writeFileSync(at('file'), 'x')
    await files.syncFileSystem(directory.path)
    await files.syncDirectory(directory.path)
    expect((await failure(files.syncFileSystem(at('none')))).message).toStartWith(
      `Cannot sync ${at('none')}: `,
    )
  })
})
