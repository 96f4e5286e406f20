/** The disk store in a process of its own that is killed for good, at random moments and at every system call. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDiskStore } from '../../src/identity/disk.ts'
import { skipUnless, slow } from '../skip.ts'
import { keyA, keyB, keyC, makeIdentity } from './fixtures.ts'

setDefaultTimeout(120_000)

const base = fs.mkdtempSync(join(tmpdir(), 'agent-kill-'))
afterAll(() => fs.rmSync(base, { recursive: true, force: true }))

const [old, ...next] = await Promise.all([keyA, keyB, keyC].map((key) => makeIdentity({ key })))
if (old === undefined) throw new Error('no identity')
const child = new URL('kill-child.ts', import.meta.url).pathname
const file = join(base, 'identities.json')
fs.writeFileSync(
  file,
  JSON.stringify({ identities: next.map(({ key, chain }) => ({ key: key.reveal(), chain })) }),
)
const known = new Set([old, ...next].map(({ fingerprint }) => fingerprint))

/** What is on disk is a whole identity, found without falling back, and a journal that can be read or none. */
async function expectWhole(directory: string): Promise<void> {
  const store = openDiskStore({ directory })
  const loaded = await store.load()
  expect(loaded?.fallback).toBeUndefined()
  expect(known).toContain(loaded?.identity.fingerprint ?? 'none')
  await store.loadPending()
  await store.check()
  const left = fs.readdirSync(join(directory, 'identity')).filter((name) => /^\.|new$/.test(name))
  expect(left).toEqual([])
}

test('killed at random moments, the store holds a whole identity every time', async () => {
  const directory = join(base, 'random')
  await openDiskStore({ directory }).promote(old)
  for (let round = 0; round < 15; round += 1) {
    const running = spawn(process.execPath, [child, directory, file])
    await once(running.stdout, 'data')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40))
    running.kill('SIGKILL')
    await once(running, 'exit')
    await expectWhole(directory)
  }
})

const CALLS = ['mkdir', 'fchmod', 'fsync', 'rename', 'symlink', 'unlink', 'unlinkat', 'rmdir']
const trace = (...rules: string[]): string[] => ['-f', '-qq', '-o', '/dev/null', ...rules]
const canTrace =
  process.platform === 'linux' &&
  spawnSync('strace', trace('-e', 'trace=none', 'true')).status === 0

const needsStrace = skipUnless(canTrace, {
  why: 'strace is missing, or may not trace here',
  how: 'install strace on Linux and allow ptrace',
})
const slowAndStrace = canTrace ? slow : needsStrace

// strace counts calls of each thread, and the runtime shares them out among its own: about half of them are struck.
slowAndStrace(
  'killed at system calls that change a file, the store holds a whole identity',
  async () => {
    let struck = 0
    for (const call of CALLS) {
      for (let when = 1; ; when += 1) {
        const directory = join(base, `${call}-${when}`)
        await openDiskStore({ directory }).promote(old)
        const rules = trace('-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${when}`)
        const command = [process.execPath, child, directory, file, 'once']
        const { signal } = spawnSync('strace', [...rules, ...command])
        await expectWhole(directory)
        fs.rmSync(directory, { recursive: true })
        if (signal !== 'SIGKILL') break
        struck += 1
      }
    }
    expect(struck).toBeGreaterThan(20)
  },
)
