/** A Debian of its own, booted by systemd-nspawn, in which a test is root. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from '../../e2e/support/agent-home.ts'
import { until } from '../../e2e/support/program.ts'
import type { Finished } from '../../e2e/support/program.ts'
import { debianTree } from './debian.ts'

export type RunOptions = { stdin?: string; limit?: number }

export type Guest = {
  /** A file of the guest, as this process reaches it. */
  path(file: string): string
  /** Runs lines of a shell as root, as in a terminal of the guest. */
  run(script: string, options?: RunOptions): Promise<Finished>
  /** As {@link run}, trimmed output of what has to end with 0. */
  must(script: string, options?: RunOptions): Promise<string>
  /** As {@link run}, at a terminal, where `text` is typed when the prompt is seen; `out` is all that is to be seen. */
  inTerminal(script: string, answer: { prompt: string; text: string }): Promise<Finished>
  /** Starts a command; its output comes with `stop`, which ends it by SIGTERM. */
  start(command: string): { stop: () => Promise<Finished> }
  /** What a program of this machine begins with to have the guest's network, from its first boot to its end. */
  readonly inNetwork: readonly string[]
  /** Resolves when it is up again. */
  reboot(): Promise<void>
  close(): Promise<void>
}

/** As a login shell of root has it. */
const ENVIRONMENT = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'HOME=/root',
  'TERM=dumb',
  'LANG=C.UTF-8',
]

/** Boots one; it has its own files, processes, control groups and network, and no way out of that. */
export async function bootGuest(): Promise<Guest> {
  const tree = await debianTree()
  const directory = join(temporaryDirectory(), 'guest')
  mkdirSync(directory)
  const script = join(import.meta.dir, 'boot.sh')
  const apart = ['unshare', '--mount', '--propagation=private', '--net', '--pid', '--fork']
  // It ends with this process, however this ends.
  const bound = ['setpriv', '--pdeathsig=KILL', ...apart, '--kill-child=KILL', '--mount-proc']
  const outer = Bun.spawn([...bound, 'sh', script, directory, tree, String(process.pid) + tag()], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let first: string | undefined
  let commands = 0
  const enter = (script: string): string[] => {
    const inside = ['env', '-i', ...ENVIRONMENT, 'sh', '-euc', `cd; ${script}`]
    return ['nsenter', `--target=${first ?? 'none'}`, '--all', '--', ...inside]
  }
  const run = async (script: string, { stdin = '', limit = 60_000 }: RunOptions = {}) => {
    const child = Bun.spawn(enter(script), {
      stdin: new Blob([stdin]),
      stdout: 'pipe',
      stderr: 'pipe',
      timeout: limit,
      killSignal: 'SIGKILL',
    })
    return finished(child)
  }
  const up = async (): Promise<void> => {
    const look = async (): Promise<boolean> => {
      if (outer.exitCode !== null)
        throw new Error(`the guest does not boot: ${await outer.stderr.text()}`)
      first = childOf(childOf(childOf(String(outer.pid))))
      if (first === undefined) return false
      const { out } = await run('systemctl is-system-running --wait')
      return /^(running|degraded)/.test(out)
    }
    await until('the guest is up', look, 60_000)
  }
  await up()
  return {
    path: (file) => `/proc/${first ?? ''}/root${file}`,
    run,
    async must(script, options) {
      const { code, out, err } = await run(script, options)
      if (code !== 0) throw new Error(`in the guest, ${script}\nended with ${code}:\n${out}${err}`)
      return out.trim()
    },
    async inTerminal(script, { prompt, text }) {
      let out = ''
      const child = Bun.spawn(enter(script), {
        timeout: 60_000,
        killSignal: 'SIGKILL',
        terminal: {
          data(terminal, bytes) {
            out += Buffer.from(bytes).toString()
            if (out.endsWith(prompt)) terminal.write(text)
          },
        },
      })
      return { code: await child.exited, out, err: '' }
    },
    start(command) {
      commands += 1
      const file = `/run/agent-test-${commands}`
      const child = Bun.spawn(enter(`echo $$ >${file}; exec ${command}`), {
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
      })
      const result = finished(child)
      return {
        async stop() {
          // nsenter waits for it, and hands no signal on.
          await run(`kill -TERM $(cat ${file})`)
          return result
        },
      }
    },
    inNetwork: ['nsenter', `--target=${childOf(String(outer.pid)) ?? ''}`, '--net', '--'],
    async reboot() {
      const before = first
      await run('systemctl reboot')
      await until(
        'the guest has ended',
        () => childOf(childOf(childOf(String(outer.pid)))) !== before,
      )
      await up()
    },
    async close() {
      // At once, without asking any service.
      await run('systemctl poweroff --force --force')
      const late = setTimeout(() => outer.kill('SIGKILL'), 5000)
      await outer.exited
      clearTimeout(late)
    },
  }
}

let guests = 0

/** Two guests of one process are told apart by it. */
function tag(): string {
  guests += 1
  return `-${guests}`
}

type Piped = Bun.Subprocess<Blob | 'ignore', 'pipe', 'pipe'>

async function finished(child: Piped): Promise<Finished> {
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()])
  await child.exited
  return { code: child.exitCode, out, err }
}

/** The first child of a process: unshare, its shell, nspawn and the guest's systemd stand in one line. */
function childOf(pid: string | undefined): string | undefined {
  if (pid === undefined) return undefined
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return children.split(' ')[0] || undefined
  } catch {
    return undefined
  }
}
