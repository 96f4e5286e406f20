import { describe, expect, test } from 'bun:test'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { acquireLock } from '../../src/runtime/lock.ts'
import { firstLine, killHard, outputOf, startChild } from './children.ts'
import { temporaryDirectory } from './directory.ts'
import { failure } from './failure.ts'

describe('a lock', () => {
  test('is held by one process only, until it is released', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'lock')
    const lock = await acquireLock(path)
    expect(lock).toBeDefined()
    expect(await acquireLock(path)).toBeUndefined()
    expect(await outputOf(startChild('lock-child.ts', [path]))).toBe('busy\n')
    await lock?.release()
    expect(await outputOf(startChild('lock-child.ts', [path]))).toBe('held\n')
  })

  test('is freed by kill -9, and not before', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'lock')
    const child = startChild('lock-child.ts', [path, 'stay'])
    expect(await firstLine(child)).toBe('held')
    expect(await acquireLock(path)).toBeUndefined()
    await killHard(child)
    const lock = await acquireLock(path)
    expect(lock).toBeDefined()
    await lock?.release()
  })

  // With BEGIN EXCLUSIVE each of two agents that were started at once found the other one in its way, and both ended.
  test('is got while another one begins to try', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'lock')
    await (await acquireLock(path))?.release()
    const child = startChild('lock-beginning-child.ts', [path])
    expect(await firstLine(child)).toBe('reading')
    expect(await acquireLock(path)).toBeDefined()
    expect(await outputOf(startChild('lock-child.ts', [path]))).toBe('busy\n')
    await killHard(child)
  })

  test('outlives garbage collection', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'lock')
    await acquireLock(path)
    for (let round = 0; round < 5; round += 1) {
      Bun.gc(true)
      await Bun.sleep(1)
    }
    expect(await outputOf(startChild('lock-child.ts', [path]))).toBe('busy\n')
  })

  test('is a file of mode 0600, whatever the umask is', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'lock')
    await acquireLock(path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  test('that cannot be made is a named problem', async () => {
    using directory = temporaryDirectory()
    const nowhere = join(directory.path, 'none', 'lock')
    expect(await failure(acquireLock(nowhere))).toMatchObject({
      code: 'state_unusable',
      message: `Cannot lock ${nowhere}: no such file or directory`,
    })
    const garbage = join(directory.path, 'garbage')
    writeFileSync(garbage, 'something else, surely not a lock'.repeat(200))
    expect((await failure(acquireLock(garbage))).code).toBe('state_unusable')
  })
})
