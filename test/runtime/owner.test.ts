import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { actAsOwnerOf, groupId, isWritableByOthers, userId } from '../../src/runtime/owner.ts'
import { skipUnless } from '../skip.ts'
import { temporaryDirectory } from './directory.ts'

const asRoot = skipUnless(process.getuid?.() === 0, {
  why: 'only root can give files away',
  how: 'run the tests as root',
})

let directory: ReturnType<typeof temporaryDirectory>
let at: (...names: string[]) => string
beforeEach(() => {
  directory = temporaryDirectory()
  at = (...names) => join(fs.realpathSync(directory.path), ...names)
})
afterEach(() => directory[Symbol.dispose]())

describe('a path', () => {
  test('below a private directory is safe, also where it does not exist yet', async () => {
    expect(await isWritableByOthers(at())).toBeUndefined()
    expect(await isWritableByOthers(at('not', 'yet'))).toBeUndefined()
  })

  test('is not safe when everybody can write in it or in a parent', async () => {
    fs.mkdirSync(at('open'))
    fs.mkdirSync(at('open', 'inner'))
    fs.chmodSync(at('open'), 0o777)
    expect(await isWritableByOthers(at('open'))).toBe(at('open'))
    expect(await isWritableByOthers(at('open', 'inner'))).toBe(at('open'))
  })

  test('is safe below a sticky directory, but is not one itself', async () => {
    fs.mkdirSync(at('shared'))
    fs.mkdirSync(at('shared', 'inner'))
    fs.chmodSync(at('shared'), 0o1777)
    expect(await isWritableByOthers(at('shared', 'inner'))).toBeUndefined()
    expect(await isWritableByOthers(at('shared'))).toBe(at('shared'))
  })

  test('is looked at where its symlinks lead', async () => {
    fs.mkdirSync(at('open'))
    fs.chmodSync(at('open'), 0o777)
    fs.symlinkSync(at('open'), at('link'))
    expect(await isWritableByOthers(at('link'))).toBe(at('open'))
  })

  asRoot('is not safe when another user owns it or its group can write', async () => {
    fs.mkdirSync(at('given'))
    fs.chownSync(at('given'), 65534, 65534)
    expect(await isWritableByOthers(at('given'))).toBe(at('given'))
    fs.mkdirSync(at('grouped'))
    fs.chownSync(at('grouped'), 0, 65534)
    fs.chmodSync(at('grouped'), 0o2770)
    expect(await isWritableByOthers(at('grouped'))).toBe(at('grouped'))
    fs.chmodSync(at('grouped'), 0o2750)
    expect(await isWritableByOthers(at('grouped'))).toBeUndefined()
  })
})

test('a group is found by name or number', () => {
  const [name = '', , gid] = fs.readFileSync('/etc/group', 'utf8').split('\n')[0]?.split(':') ?? []
  expect(groupId(name)).toBe(Number(gid))
  expect(groupId('12345')).toBe(12345)
  expect(groupId('no-such-group-here')).toBeUndefined()
  expect(groupId('--help')).toBeUndefined()
  expect(groupId('')).toBeUndefined()
  expect(userId()).toBe(process.geteuid?.() ?? -1)
})

asRoot('root acts as another user where that owns something, else as root', async () => {
  fs.chmodSync(at(), 0o755)
  fs.mkdirSync(at('given'), { mode: 0o700 })
  fs.writeFileSync(at('closed'), 'of root', { mode: 0o600 })
  await actAsOwnerOf(at('given'))
  await actAsOwnerOf(at('missing'))
  expect(userId()).toBe(0)
  fs.chownSync(at('given'), 65534, 65534)
  try {
    await actAsOwnerOf(at('given'))
    expect([userId(), process.getegid?.()]).toEqual([65534, 65534])
    fs.writeFileSync(at('given', 'own'), '')
    expect(() => fs.readFileSync(at('closed'))).toThrow('EACCES')
    let refused: unknown
    await fs.promises.readFile(at('closed')).catch((thrown: unknown) => (refused = thrown))
    expect(refused).toMatchObject({ code: 'EACCES' })
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
  }
  expect(fs.statSync(at('given', 'own'))).toMatchObject({ uid: 65534, gid: 65534 })
})
