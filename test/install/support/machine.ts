/** A machine to install on: the programs of this one, read-only, and a file system of its own, as root sees it. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipUnless } from '../../skip.ts'

const TOOLS = ['openssl', 'curl', 'wget', 'xz', 'busybox', 'dash', 'bash']
const missing = TOOLS.filter((tool) => Bun.which(tool) === null)
const mayMount = process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0

/** Whether {@link onMachine} runs its tests. */
export const canInstall = mayMount && missing.length === 0

/** `test` for what runs install.sh. */
export const onMachine = skipUnless(canInstall, {
  why: mayMount ? `${missing.join(', ')} not installed` : 'this user may make no mount namespace',
  how: 'as root on Linux: apt-get install openssl curl wget xz-utils busybox dash',
  allowedInCi: !mayMount,
})

export type Said = { code: number; out: string; err: string }

export type How = {
  /** What runs the script; `sh` without it. */
  shell?: string[]
  /** Its path on the machine; /release/install.sh without it. */
  script?: string
  /** What is on standard input. */
  stdin?: string
  env?: Record<string, string>
  /** Commands of a shell outside, where $ROOT is the machine's root: what is mounted on top, say. */
  mounts?: string
  /** A command of a shell inside, after the script, whose output follows that of the script. */
  then?: string
  /** Without a network. */
  offline?: boolean
}

export type Machine = {
  /** Where a path of the machine is on this one. */
  path: (path: string) => string
  write: (path: string, content: string, mode?: number) => void
  read: (path: string) => string
  exists: (path: string) => boolean
  /** A program that comes before the real one of its name. */
  stub: (name: string, script: string) => void
  /** Runs install.sh to its end. */
  install: (args: string[], how?: How) => Promise<Said>
  /** As install, but to be stopped: gives the process, whose group is its own. */
  start: (args: string[], how?: How) => { pid: number; ended: Promise<Said> }
  /** Everything that an installation may touch: path to kind, mode and content. */
  tree: () => Record<string, string>
  remove: () => void
}

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

const MOUNTS = `set -e
mount --bind /usr "$ROOT/usr"
mount -o remount,bind,ro "$ROOT/usr"
mount --bind "$ROOT/.local" "$ROOT/usr/local"
mount --rbind /dev "$ROOT/dev"
mount --bind /proc "$ROOT/proc"
for d in bin sbin lib lib32 lib64 etc/alternatives; do
  if [ -L "/$d" ]; then
    [ -e "$ROOT/$d" ] || cp -P "/$d" "$ROOT/$d"
  elif [ -d "/$d" ]; then
    mkdir -p "$ROOT/$d"; mount --bind "/$d" "$ROOT/$d"; mount -o remount,bind,ro "$ROOT/$d"
  fi
done
`

const opened: Machine[] = []

/** For afterEach. */
export function removeMachines(): void {
  for (const one of opened.splice(0)) one.remove()
}

/** A fresh one. */
export function openMachine(): Machine {
  const root = fs.mkdtempSync(join(tmpdir(), 'machine-'))
  const path = (inside: string): string => join(root, inside.replace(/^\/usr\/local/, '/.local'))
  const write = (inside: string, content: string, mode = 0o644): void => {
    fs.mkdirSync(join(path(inside), '..'), { recursive: true })
    fs.writeFileSync(path(inside), content)
    fs.chmodSync(path(inside), mode)
  }
  fs.chmodSync(root, 0o755)
  for (const one of ['usr', 'dev', 'proc', 'run', 'tmp', 'stubs', '.local', 'var/lib'])
    fs.mkdirSync(join(root, one), { recursive: true })
  write('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n')
  write('/etc/group', 'root:x:0:\n')
  const start: Machine['start'] = (args, how = {}) => begin(root, args, how)
  const machine: Machine = {
    path,
    write,
    read: (inside) => fs.readFileSync(path(inside), 'utf8'),
    exists: (inside) => fs.existsSync(path(inside)),
    stub: (name, script) => write(`/stubs/${name}`, `#!/bin/sh\n${script}\n`, 0o755),
    start,
    install: (args, how) => start(args, how).ended,
    tree: () =>
      Object.fromEntries(['.local', 'opt', 'etc', 'var'].flatMap((one) => look(root, one))),
    remove: () => fs.rmSync(root, { recursive: true, force: true }),
  }
  opened.push(machine)
  return machine
}

function begin(root: string, args: string[], how: How): { pid: number; ended: Promise<Said> } {
  const {
    shell = ['sh'],
    script = '/release/install.sh',
    stdin = '',
    env = {},
    mounts = '',
    then = '',
    offline = false,
  } = how
  // Without `then` the process is the script itself, so that signals reach it.
  const inside = then === '' ? 'exec "$@"' : `"$@"; code=$?; ${then}; exit $code`
  const given = Object.entries({ PATH: `/stubs:${PATH}`, ...env }).map((one) => one.join('='))
  const argv = [
    'chroot',
    root,
    'env',
    '-i',
    ...given,
    'sh',
    '-c',
    inside,
    'sh',
    ...shell,
    script,
    ...args,
  ]
  const outer = ['setsid', 'unshare', '--mount', ...(offline ? ['--net'] : [])]
  const child = Bun.spawn([...outer, 'sh', '-c', `${MOUNTS}${mounts}\nexec "$@"`, 'sh', ...argv], {
    env: { PATH, ROOT: root },
    stdin: new TextEncoder().encode(stdin),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const ended = Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]).then(([out, err, code]) => ({ out, err, code }))
  return { pid: child.pid, ended }
}

function look(root: string, relative: string): [string, string][] {
  const place = join(root, relative)
  const stat = fs.lstatSync(place, { throwIfNoEntry: false })
  const name = relative.replace(/^\.local/, 'usr/local')
  if (stat === undefined || name === 'etc/alternatives') return []
  if (stat.isSymbolicLink()) return [[name, `-> ${fs.readlinkSync(place)}`]]
  const mode = (stat.mode & 0o7777).toString(8)
  if (!stat.isDirectory()) {
    const digest = createHash('sha256').update(fs.readFileSync(place)).digest('hex')
    return [[name, `${mode} ${stat.uid}:${stat.gid} ${digest.slice(0, 12)}`]]
  }
  const inside = fs.readdirSync(place).sort()
  return [[`${name}/`, mode], ...inside.flatMap((one) => look(root, join(relative, one)))]
}
