/**
 * The built program, dist/agent.mjs, from outside: the plane in one process of this runtime, the agent in another. The
 * same checks pass under Bun, Deno and Node, so the same file may be run by any of them.
 */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { check, runChecks, same } from './checks/harness.ts'

const command = JSON.parse(process.env['AGENT_RUNTIME_COMMAND'] ?? '[]') as string[]
const bundle = process.env['AGENT_BUNDLE'] ?? ''
const home = mkdtempSync(join(tmpdir(), 'agent-conformance-'))
const plane = join(home, '.runtime-agent-dev')
const running: ChildProcess[] = []
const exits = new Map<ChildProcess, number>()

function start(...args: string[]): ChildProcess {
  const [program = '', ...rest] = [...command, bundle, ...args]
  const child = spawn(program, rest, { cwd: home, stdio: 'ignore' })
  running.push(child)
  child.on('exit', (code) => exits.set(child, code ?? -1))
  return child
}

/** Runs one command of the agent to its end. */
function agent(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const [program = '', ...rest] = [...command, bundle, ...args]
  const { status, stdout, stderr } = spawnSync(program, rest, { cwd: home, encoding: 'utf8' })
  return { status, stdout, stderr }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Its exit status; -1 when it ended by a signal. */
async function ended(child: ChildProcess): Promise<number> {
  await until('the process ends', () => exits.has(child))
  return exits.get(child) ?? -1
}

/** Not child.kill: after that Deno says that the signal has ended the process, however it ended. */
function terminate(child: ChildProcess): void {
  process.kill(child.pid ?? 0, 'SIGTERM')
}

const config = join(plane, 'agent.yaml')
const current = join(plane, 'out', 'current')
const bindings = (): string[] => readdirSync(join(current, 'bindings')).sort()
const status = (): { identity?: { fingerprint: string }; runtimeId?: string } =>
  JSON.parse(agent('status', '-c', config, '--json').stdout) as ReturnType<typeof status>

let daemon: ChildProcess | undefined
let generation = ''

check('says its version and checks a configuration', () => {
  same(agent('version').status, 0)
  writeFileSync(join(home, 'bad.yaml'), 'version: 1\ntargets: [{kind: files, directory: 7}]\n')
  const { status: code, stderr } = agent('check', '--config', 'bad.yaml')
  same(code, 2)
  same(stderr.includes('bad.yaml:2:36: targets[0].directory: found 7'), true)
})

check('serves a development control plane in a process of its own', async () => {
  start('dev', '--plane-only', '--lifetime', '10m')
  await until('the plane has written its token', () => existsSync(join(plane, 'token')))
  const text = readFileSync(config, 'utf8').replace('127.0.0.1:8090', 'off')
  writeFileSync(config, text)
})

check('enrols with a one-time token, and mirrors the landscape into a directory', async () => {
  daemon = start('--config', config)
  await until('the bindings are there', () => existsSync(current))
  same(agent('status', '-c', config, '--wait=ready').status, 0)
  same(bindings().length > 0, true)
  for (const name of bindings()) same(existsSync(join(current, 'bindings', name, 'type')), true)
  generation = readlinkSync(current)
})

check('keeps its state to itself', () => {
  same(statSync(join(plane, 'state')).mode & 0o777, 0o700)
  same(statSync(join(plane, 'state', 'snapshot.json')).mode & 0o777, 0o600)
  same(statSync(join(plane, 'state', 'agent.sock')).mode & 0o777, 0o600)
})

check('refuses to run twice on one state', () => {
  same(agent('--config', config).status, 4)
})

check('writes nothing when nothing has changed', () => {
  same(agent('sync', '--once', '-c', config).status, 0)
  same(readlinkSync(current), generation)
  same(agent('plan', '-c', config, '--json').stdout.includes('"changes": []'), true)
})

check('renews its certificate over the old one, for the same runtime', () => {
  const before = status()
  same(agent('renew', '-c', config).status, 0)
  const after = status()
  same(after.runtimeId, before.runtimeId)
  same(after.identity?.fingerprint === before.identity?.fingerprint, false)
  same(agent('sync', '--once', '-c', config).status, 0)
})

check('takes a change of the landscape over', async () => {
  const path = join(plane, 'landscape.yaml')
  writeFileSync(path, readFileSync(path, 'utf8').replaceAll('sample-crm-key', 'changed-crm-key'))
  await until('the changed key is there', () => {
    const [crm = ''] = bindings().filter((name) => name.includes('crm'))
    return readFileSync(join(current, 'bindings', crm, 'request-headers'), 'utf8').includes(
      'changed-crm-key',
    )
  })
})

check('hears from the Runtime Director at once that its configuration has changed', async () => {
  const path = join(plane, 'landscape.yaml')
  const document = (): string =>
    readFileSync(join(current, 'config', 'component', 'logging.yaml'), 'utf8')
  same(document().includes('value: "sample-logging-token"'), true)
  writeFileSync(path, readFileSync(path, 'utf8').replace('sample-logging-token', 'changed-token'))
  await until('the changed token is there', () => document().includes('changed-token'))
  same(statSync(join(plane, 'state', 'configuration.json')).mode & 0o777, 0o600)
})

check('ends in order when it is told to, and frees lock and socket', async () => {
  if (daemon !== undefined) terminate(daemon)
  same(daemon === undefined ? -1 : await ended(daemon), 0)
  same(existsSync(join(plane, 'state', 'agent.sock')), false)
})

check('survives kill -9, and goes on where it was', async () => {
  const first = start('--config', config)
  await until('it runs', () => existsSync(join(plane, 'state', 'agent.sock')))
  first.kill('SIGKILL')
  await ended(first)
  const before = status().identity?.fingerprint
  const second = start('--config', config)
  same(agent('status', '-c', config, '--wait=ready').status, 0)
  same(status().identity?.fingerprint, before)
  terminate(second)
  same(await ended(second), 0)
})

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(home, { recursive: true, force: true })
})
await runChecks()
