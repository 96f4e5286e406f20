/** A Runtime Director as an executable, with thousands of runtimes and a certificate for each. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCa, issueCertificate } from '../../../src/identity/x509.ts'
import { sha256 } from '../../../src/model/digest.ts'
import { DAY } from '../../../src/model/time.ts'
import { generateRsaKey } from '../../../src/runtime/keys.ts'
import { logging } from '../../runtime-director/director.ts'
import type { PollersTask } from './pollers.ts'

const TOKEN = 'bench'

export interface DirectorBench {
  readonly directory: string
  /** Starts one more on the same store, on one core when `core` is given; gives its port. */
  start(core?: number): Promise<RunningDirector>
  /** Runs a command of it. */
  command(...args: string[]): string
  /** Another text in the one component that all have. */
  edit(uri: string): void
  pollers(
    task: Partial<PollersTask> & Pick<PollersTask, 'ports' | 'count' | 'mode'>,
    core?: number,
  ): Pollers
  stop(): Promise<void>
}

export interface RunningDirector {
  port: number
  adminPort: number
  /** Resident memory and CPU time so far: MB, ms. */
  usage(): { memory: number; cpu: number }
  metric(name: string): Promise<number>
  kill(signal: NodeJS.Signals): Promise<void>
}

export interface Pollers {
  /** The next line that it says. */
  next(): Promise<Record<string, unknown>>
}

export async function openDirectorBench(
  runtimes: number,
  executable: string,
  postgres?: string,
): Promise<DirectorBench> {
  const directory = mkdtempSync(join(tmpdir(), 'director-bench-'))
  const path = (name: string): string => join(directory, name)
  await prepare(directory, runtimes)
  const children: ChildProcess[] = []
  const config = (port: number): string => {
    const file = path(`director-${port}.yaml`)
    writeFileSync(file, configText(port, postgres))
    return file
  }
  let ports = await freePorts()
  const command = (...args: string[]): string => {
    const run = spawnSync(executable, ['runtime-director', ...args, '--config', config(ports)], {
      cwd: directory,
      encoding: 'utf8',
    })
    if (run.status !== 0) throw new Error(run.stderr)
    return run.stdout
  }
  return {
    directory,
    command,
    async start(core) {
      ports = await freePorts()
      const port = ports
      const argv = [executable, 'runtime-director', '--config', config(port)]
      const [program = '', ...args] = onCore(argv, core)
      const child = spawn(program, args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] })
      children.push(child)
      await said(child, 'the Runtime Director runs')
      return running(child, port)
    },
    edit: (uri) => writeFileSync(path('desired/configurations/logging.yaml'), logging(uri)),
    pollers(task, core) {
      const argv = onCore([process.execPath, join(import.meta.dir, 'pollers.ts')], core)
      const [program = '', ...args] = argv
      const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
      children.push(child)
      const whole: PollersTask = {
        ...{ ca: path('ca.pem'), key: path('agent.key'), certificates: path('certificates.json') },
        ...{ from: 0, interval: 30, length: 30 },
        ...task,
      }
      child.stdin.end(JSON.stringify(whole))
      return linesOf(child)
    },
    async stop() {
      const alive = children.filter(
        ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
      )
      const ended = alive.map(gone)
      for (const child of alive) child.kill('SIGKILL')
      await Promise.all(ended)
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function running(child: ChildProcess, port: number): RunningDirector {
  const url = `http://127.0.0.1:${port + 1}`
  return {
    port,
    adminPort: port + 1,
    usage: () => usageOf(child.pid ?? 0),
    async metric(name) {
      const headers = { authorization: `Bearer ${TOKEN}` }
      const text = await (await fetch(`${url}/metrics`, { headers })).text()
      return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
    },
    async kill(signal) {
      const ended = gone(child)
      child.kill(signal)
      await ended
    },
  }
}

async function prepare(directory: string, runtimes: number): Promise<void> {
  const path = (name: string): string => join(directory, name)
  for (const name of ['desired/runtimes', 'desired/configurations', 'secrets'])
    mkdirSync(path(name), { recursive: true, mode: 0o700 })
  for (let at = 0; at < runtimes; at += 1)
    writeFileSync(
      path(`desired/runtimes/r${at}.yaml`),
      `id: r${at}\ngroups: [all]\nlabels: {region: eu}\nidentities: [cn-r${at}]\n`,
    )
  writeFileSync(path('desired/configurations/logging.yaml'), logging('https://logs.example/0'))
  writeFileSync(path('secrets/logging-password'), 'hunter2', { mode: 0o600 })
  writeFileSync(path('store.key'), `${sha256('bench')}\n`, { mode: 0o600 })
  const now = Date.now()
  const dates = { notBefore: now - DAY, notAfter: now + 30 * DAY }
  const ca = await createCa({ commonName: 'Compass', organization: 'Test', ...dates })
  const keys = await generateRsaKey(2048)
  const issue = (name: string, usage: 'client' | 'server') =>
    issueCertificate({
      ...{ ca, usage, publicKey: keys.publicKeyPem, ...dates },
      subject: [{ type: 'CN', value: name }],
      names: usage === 'server' ? ['127.0.0.1', 'localhost'] : [],
    })
  writeFileSync(path('ca.pem'), ca.certificate)
  writeFileSync(path('agent.key'), keys.privateKeyPem.reveal())
  writeFileSync(path('server.pem'), await issue('director', 'server'))
  const certificates: string[] = []
  for (let at = 0; at < runtimes; at += 1) certificates.push(await issue(`cn-r${at}`, 'client'))
  writeFileSync(path('certificates.json'), JSON.stringify(certificates))
}

/** Two in a row that are free. */
async function freePorts(): Promise<number> {
  for (;;) {
    const port = 20_000 + 2 * Math.floor(Math.random() * 6000)
    if ((await isFree(port)) && (await isFree(port + 1))) return port
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

function configText(port: number, postgres: string | undefined): string {
  return `version: 1
directory: desired
secrets: secrets
state: state
listen: 127.0.0.1:${port}
tls: {certificate: server.pem, key: agent.key}
clients: {ca: ca.pem}
store: {key: store.key${postgres === undefined ? '' : `, postgres: {value: '${postgres}'}`}}
admin:
  listen: 127.0.0.1:${port + 1}
  tokens: [{name: bench, role: publisher, sha256: ${sha256(TOKEN)}}]
`
}

function onCore(argv: string[], core: number | undefined): string[] {
  return core === undefined ? argv : ['taskset', '-c', String(core), ...argv]
}

function usageOf(pid: number): { memory: number; cpu: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const ticks = Number(stat[11]) + Number(stat[12])
  return { memory: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024, cpu: ticks * 10 }
}

function said(child: ChildProcess, text: string): Promise<void> {
  let output = ''
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes(text)) resolve()
    })
    child.once('exit', () => reject(new Error(`it ended: ${output}`)))
  })
}

function gone(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('exit', () => resolve()))
}

function linesOf(child: ChildProcess): Pollers {
  const lines: string[] = []
  let rest = ''
  let wake: (() => void) | undefined
  let over = false
  child.stdout?.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    wake?.()
  })
  child.stdout?.on('close', () => {
    over = true
    wake?.()
  })
  return {
    async next() {
      while (lines.length === 0) {
        if (over) throw new Error('the pollers have ended')
        await new Promise<void>((resolve) => (wake = resolve))
      }
      return JSON.parse(lines.shift()!) as Record<string, unknown>
    },
  }
}
