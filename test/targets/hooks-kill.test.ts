/** Root's hooks with either side killed for good at each system call that changes a file, and the other one going on. */
import { afterAll, expect } from 'bun:test'
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipUnless, slow } from '../skip.ts'

const base = fs.mkdtempSync(join(tmpdir(), 'agent-hooks-kill-'))
afterAll(() => fs.rmSync(base, { recursive: true, force: true }))

const child = new URL('hooks-child.ts', import.meta.url).pathname
const trace = (...rules: string[]): string[] => ['-f', '-qq', '-o', '/dev/null', ...rules]
const canTrace =
  process.platform === 'linux' &&
  spawnSync('strace', trace('-e', 'trace=none', 'true')).status === 0
const slowAndStrace = canTrace
  ? slow
  : skipUnless(false, {
      why: 'strace is missing, or may not trace here',
      how: 'install strace on Linux and allow ptrace',
    })

const CALLS = ['fsync', 'rename', 'unlink']

function prepared(name: string): string {
  const directory = join(base, name)
  fs.mkdirSync(join(directory, 'outcomes'), { recursive: true })
  fs.mkdirSync(join(directory, 'hooks'))
  return directory
}

type Side = 'agent' | 'root'

const start = (side: Side, directory: string, wrap: string[] = []): ChildProcess => {
  const args = [...wrap, process.execPath, child, side, directory]
  return spawn(args[0]!, args.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** Ends with `running`; starts root's side whenever something is asked for, as systemd does. */
async function beside(running: ChildProcess, directory: string, root: string[] = []) {
  let wrap = root
  let struck = false
  while (running.exitCode === null && running.signalCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    const asked = fs.readdirSync(join(directory, 'hooks')).some((name) => !name.startsWith('.'))
    if (!asked) continue
    const helper = start('root', directory, wrap)
    await once(helper, 'exit')
    struck ||= helper.signalCode === 'SIGKILL'
    wrap = []
  }
  return struck
}

const strike = (call: string, when: number): string[] => [
  'strace',
  ...trace('-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${when}`),
]

/** Nothing is left to do, and the command has run: once, or twice when its end was not noted. */
function expectDone(directory: string, name: string): void {
  const ran = fs.readFileSync(join(directory, 'ran'), 'utf8').trim().split('\n')
  expect(new Set(ran), name).toEqual(new Set(['a b']))
  expect(ran.length, name).toBeLessThanOrEqual(2)
  expect(fs.existsSync(join(directory, 'journal')), name).toBe(false)
  expect(fs.readdirSync(join(directory, 'hooks')), name).toEqual([])
  fs.rmSync(directory, { recursive: true })
}

// strace counts calls of each thread, and the runtime shares them out among its own: not every one is struck.
slowAndStrace.each(['agent', 'root'] as const)(
  'kill -9 of the side of %s at a system call loses no command and leaves nothing behind',
  async (side) => {
    let struck = 0
    for (const call of CALLS) {
      for (let when = 1; when <= 6; when += 1) {
        const name = `${side}-${call}-${when}`
        const directory = prepared(name)
        const wrap = strike(call, when)
        const agent = start('agent', directory, side === 'agent' ? wrap : [])
        const hit = await beside(agent, directory, side === 'root' ? wrap : [])
        const killed = side === 'root' ? hit : agent.signalCode === 'SIGKILL'
        if (killed && side === 'agent') {
          const again = start('agent', directory)
          await beside(again, directory)
          expect(again.exitCode, name).toBe(0)
        } else expect(agent.exitCode, killed ? name : `${name}, not struck`).toBe(0)
        expectDone(directory, name)
        if (!killed) break
        struck += 1
      }
    }
    expect(struck).toBeGreaterThan(3)
  },
  60_000,
)
