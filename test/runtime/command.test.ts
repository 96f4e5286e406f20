import { describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../../src/runtime/command.ts'
import type { CommandOptions } from '../../src/runtime/command.ts'
import { temporaryDirectory } from './directory.ts'

const never = new AbortController().signal

function shell(script: string, options: Partial<CommandOptions> = {}) {
  return runCommand(['/bin/sh', '-c', script], { timeout: 10_000, signal: never, ...options })
}

function isRunning(pid: number): boolean {
  try {
    // A zombie whose parent has not asked yet runs no more.
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function untilGone(pid: number): Promise<void> {
  for (let turn = 0; isRunning(pid); turn += 1) {
    if (turn > 100) throw new Error(`process ${pid} still runs`)
    await Bun.sleep(20)
  }
}

describe('a command', () => {
  test('gives its exit code and what it wrote to both streams', async () => {
    const { code, output } = await shell('echo out; echo err >&2; exit 3')
    expect(code).toBe(3)
    expect(output.split('\n').sort()).toEqual(['', 'err', 'out'])
  })

  test('gets its arguments as they are, without a shell', async () => {
    const argv = ['/usr/bin/printf', '%s|', '$HOME', 'a b', '*', ';']
    expect(await runCommand(argv, { timeout: 5000, signal: never })).toEqual({
      code: 0,
      output: '$HOME|a b|*|;|',
    })
  })

  test('that says too much is remembered by the last 4 KiB', async () => {
    const { output } = await shell('i=0; while [ $i -lt 3000 ]; do echo line-$i; i=$((i+1)); done')
    expect(output.length).toBe(4096)
    expect(output).toEndWith('line-2999\n')
  })

  test('that cannot be started ends with 127 or 126', async () => {
    using directory = temporaryDirectory()
    const file = join(directory.path, 'file')
    writeFileSync(file, 'x', { mode: 0o600 })
    const run = (name: string) => runCommand([name], { timeout: 5000, signal: never })
    expect((await run('/no/such/command')).code).toBe(127)
    expect((await run('no-such-command-in-path')).code).toBe(127)
    expect((await run(file)).code).toBe(126)
    expect((await runCommand([], { timeout: 5000, signal: never })).code).toBeGreaterThan(125)
  })

  test('that a signal ended gives 128 and its number', async () => {
    expect((await shell('kill -TERM $$')).code).toBe(143)
  })

  test('does not get our environment, but what it is given and what every command needs', async () => {
    process.env['AGENT_TEST_CANARY'] = 'canary'
    try {
      const { output } = await shell('env', { env: { RUNTIME_AGENT_CHANGED: 'ucl-a ucl-b' } })
      expect(output).toContain('RUNTIME_AGENT_CHANGED=ucl-a ucl-b\n')
      expect(output).toContain(`PATH=${process.env['PATH']}\n`)
      expect(output).not.toContain('canary')
    } finally {
      delete process.env['AGENT_TEST_CANARY']
    }
  })
})

describe('a command that lasts too long', () => {
  test('is killed with all that it started', async () => {
    using directory = temporaryDirectory()
    const pids = join(directory.path, 'pids')
    const grandchild = `sh -c 'echo $$ >> ${pids}; sleep 300' & echo $! >> ${pids}`
    const { code, killed, output } = await shell(`echo begun; ${grandchild}; sleep 300`, {
      timeout: 400,
    })
    expect([code, killed, output]).toEqual([137, 'timeout', 'begun\n'])
    const started = readFileSync(pids, 'utf8').trim().split('\n').map(Number)
    expect(started.length).toBeGreaterThan(0)
    for (const pid of started) await untilGone(pid)
  })

  test('cannot ask for more time by ignoring signals', async () => {
    const { code, killed } = await shell(`trap '' TERM INT HUP; sleep 300; sleep 300`, {
      timeout: 200,
    })
    expect([code, killed]).toEqual([137, 'timeout'])
  })

  test('is killed when we stop, and not started when we have', async () => {
    using directory = temporaryDirectory()
    const stop = new AbortController()
    const running = shell('sleep 300', { signal: stop.signal })
    setTimeout(() => stop.abort(), 100)
    expect(await running).toMatchObject({ code: 137, killed: 'aborted' })
    const file = join(directory.path, 'file')
    expect(await shell(`touch ${file}`, { signal: stop.signal })).toMatchObject({
      killed: 'aborted',
    })
    expect(existsSync(file)).toBeFalse()
  })

  test('is not waited for when only a daemon that it left holds its output', async () => {
    using directory = temporaryDirectory()
    const pid = join(directory.path, 'pid')
    const begin = Date.now()
    const { code, killed } = await shell(`sleep 30 & echo $! > ${pid}; exit 0`)
    expect([code, killed]).toEqual([0, undefined])
    expect(Date.now() - begin).toBeLessThan(5000)
    const daemon = Number(readFileSync(pid, 'utf8'))
    expect(isRunning(daemon)).toBeTrue()
    process.kill(daemon, 'SIGKILL')
  })
})
