/** The signal for a sidecar, which root may send because of a file that is another user's. */
import { afterEach, expect, test } from 'bun:test'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DaprTargetConfig } from '../../src/config/config.ts'
import { runCommand } from '../../src/runtime/command.ts'
import type { CommandResult } from '../../src/runtime/command.ts'
import { hooksOfTarget } from '../../src/targets/target-hooks.ts'
import { skipUnless } from '../skip.ts'

const base = fs.mkdtempSync(join(tmpdir(), 'agent-hooks-'))
const pidFile = join(base, 'daprd.pid')
const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  fs.rmSync(pidFile, { force: true })
})

/** A process in a group of its own, and how it ended. */
function sleeper(uid?: number): { pid: number; ended: Promise<unknown> } {
  const child = spawn('/bin/sleep', ['60'], {
    detached: true,
    ...(uid === undefined ? {} : { uid }),
  })
  children.push(child)
  const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
  return { pid: child.pid!, ended }
}

function reload(content: string): Promise<CommandResult> {
  fs.writeFileSync(pidFile, content)
  return signal()
}

function signal(): Promise<CommandResult> {
  const sidecar = { pidFile, timeout: 5000 }
  const [hook] = hooksOfTarget({ kind: 'dapr', sidecars: [sidecar] } as unknown as DaprTargetConfig)
  const { signal: never } = new AbortController()
  return runCommand(hook!.command, { timeout: hook!.timeout, signal: never })
}

test('reaches the process that the file names', async () => {
  for (const end of ['', '\n']) {
    const { pid, ended } = sleeper()
    expect(await reload(`${pid}${end}`)).toMatchObject({ code: 0 })
    expect(await ended).toBe('SIGHUP')
  }
})

test('reaches no group of processes, and nothing when there is no number', async () => {
  const { pid } = sleeper()
  for (const content of [`-${pid}`, '', '0', `${pid};id`, '-l', '$(id)'])
    expect([content, (await reload(content)).code]).toEqual([content, 1])
  expect(process.kill(pid, 0)).toBe(true)
})

test('waits for nobody who writes into a pipe', async () => {
  await runCommand(['mkfifo', pidFile], { timeout: 5000, signal: new AbortController().signal })
  expect(await signal()).toMatchObject({ code: 1 })
  expect((await signal()).killed).toBeUndefined()
})

const asRoot = skipUnless(process.getuid?.() === 0, {
  why: 'only root may be asked for the process of somebody else',
  how: 'run it as root',
  allowedInCi: false,
})

asRoot('reaches a process of another user only by a file of that user or of root', async () => {
  const theirs = sleeper(65534)
  const ours = sleeper()
  fs.writeFileSync(pidFile, `${ours.pid}`)
  fs.chownSync(pidFile, 65534, 65534)
  expect(await signal()).toMatchObject({
    code: 1,
    output: 'it is of another user than the process\n',
  })
  expect(process.kill(ours.pid, 0)).toBe(true)
  expect(await reload(`${theirs.pid}`)).toMatchObject({ code: 0 })
  expect(await theirs.ended).toBe('SIGHUP')
})
