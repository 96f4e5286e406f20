import { expect, test } from 'bun:test'
import { openSync, closeSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import {
  argv,
  cpuUsage,
  env,
  memoryUsage,
  onSignal,
  pid,
  runtimeName,
  runtimeVersion,
  setUmask,
} from '../../src/runtime/process.ts'
import type { Signal } from '../../src/runtime/process.ts'
import { outputOf, startChild } from './children.ts'

test('the runtime names itself', () => {
  expect([runtimeName, runtimeVersion, pid]).toEqual(['bun', Bun.version, process.pid])
})

test('a signal reaches its handler until that is taken back', async () => {
  const seen: Signal[] = []
  // A second handler keeps the signal from ending the process once the first is gone.
  const stopSecond = onSignal(['SIGUSR2'], () => undefined)
  const stop = onSignal(['SIGUSR2', 'SIGHUP'], (name) => seen.push(name))
  process.kill(process.pid, 'SIGUSR2')
  await Bun.sleep(20)
  process.kill(process.pid, 'SIGHUP')
  await Bun.sleep(20)
  stop()
  process.kill(process.pid, 'SIGUSR2')
  await Bun.sleep(20)
  stopSecond()
  expect(seen).toEqual(['SIGUSR2', 'SIGHUP'])
})

test('an empty environment variable counts as missing', () => {
  process.env['AGENT_TEST_EMPTY'] = ''
  expect(env('AGENT_TEST_EMPTY')).toBeUndefined()
  delete process.env['AGENT_TEST_EMPTY']
  expect(env('PATH')).toBe(process.env['PATH'])
})

test('what is measured is plausible', () => {
  expect(memoryUsage().rss).toBeGreaterThan(10_000_000)
  const before = cpuUsage()
  // Until it has used some: a bound in wall time would fail on a busy machine.
  while (cpuUsage() - before < 10);
  expect(argv()).toEqual(process.argv.slice(2))
})

test('the umask is set and told', () => {
  const before = setUmask(0o027)
  expect(setUmask(before)).toBe(0o027)
})

test('text goes to both streams whole, and also into a pipe that is read slowly', async () => {
  const child = startChild('print-child.ts', ['3000000'])
  await Bun.sleep(200)
  expect((await outputOf(child)).length).toBe(3_000_000)
})

test('a reader that went away is no error', async () => {
  const child = startChild('print-child.ts', ['3000000'])
  child.stdout?.destroy()
  await once(child, 'exit')
  expect(child.exitCode).toBe(0)
})

test('neither a pipe nor /dev/null is a terminal', async () => {
  const program = fileURLToPath(new URL('terminal-child.ts', import.meta.url))
  const nothing = openSync('/dev/null', 'r+')
  const child = spawn(process.execPath, ['run', program], { stdio: [nothing, 'pipe', nothing] })
  expect(await outputOf(child)).toBe('false false false\n')
  closeSync(nothing)
})
