import { describe, expect } from 'bun:test'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { skipUnless } from '../skip.ts'
import { outputOf, startChild } from './children.ts'
import { temporaryDirectory } from './directory.ts'

const isRoot = process.getuid?.() === 0
const asRoot = skipUnless(isRoot, {
  why: 'only root can become another user',
  how: 'run the tests as root',
})

describe('without permission', () => {
  asRoot('writing, reading, locking and listening are named problems', async () => {
    using directory = temporaryDirectory()
    const locked = join(directory.path, 'locked')
    fs.chmodSync(directory.path, 0o755)
    fs.mkdirSync(locked, { mode: 0o755 })
    fs.writeFileSync(join(locked, 'secret'), 'x', { mode: 0o600 })
    const report: unknown = JSON.parse(await outputOf(startChild('nobody-child.ts', [locked])))
    expect(report).toEqual({
      write: `disk_failed: Cannot write ${locked}/file: permission denied (EACCES)`,
      read: `disk_failed: Cannot read ${locked}/secret: permission denied (EACCES)`,
      lock: `state_unusable: Cannot lock ${locked}/lock: permission denied`,
      listen: `listen_failed: Cannot listen on ${locked}/s: the user of the agent may not (EACCES)`,
    })
    expect(fs.readdirSync(locked)).toEqual(['secret'])
  })
})
