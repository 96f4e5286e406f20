import { beforeAll, describe, expect } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { onlyMessage } from '../bad-input/support/message.ts'
import { temporaryDirectory } from '../e2e/support/agent-home.ts'
import { ensureExecutable, executable, finish, SLOW } from '../e2e/support/program.ts'
import type { Finished } from '../e2e/support/program.ts'
import { skipUnless } from '../skip.ts'

/** A mount namespace, in which /etc, /run and /usr/local/bin are directories of the test. */
const asRoot = skipUnless(
  process.platform === 'linux' &&
    process.getuid?.() === 0 &&
    Bun.which('unshare') !== null &&
    Bun.spawnSync(['unshare', '--mount', 'true']).success,
  { why: 'this user may not mount', how: 'run the tests as root' },
)

const SCRIPT = `
set -e
mount --bind "$1/etc" /etc
mount --bind "$1/run" /run
mount --bind "$1/bin" /usr/local/bin
mount --bind "$2" /usr/local/bin/agent
shift 2
exec "$@"`

type Machine = {
  path(name: string): string
  /** What the tools of systemd were called with, oldest first. */
  called(): string[]
  install(): Promise<Finished>
}

/** A machine with agent.yaml and stubs for the tools of systemd, one of which may fail. */
function openMachine({ systemd = true, fails = '' } = {}): Machine {
  const directory = temporaryDirectory()
  const path = (name: string): string => join(directory, name)
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), text)
  }
  // As on a machine: who else could change a directory above could change what is in it.
  for (const name of ['etc', 'run', 'bin', 'stubs']) mkdirSync(path(name))
  if (systemd) mkdirSync(path('run/systemd/system'), { recursive: true })
  write('etc/runtime-agent/agent.yaml', 'version: 1\ntargets: [{kind: files, directory: /srv/x}]\n')
  write('bin/agent', '')
  for (const name of ['systemd-sysusers', 'systemd-tmpfiles', 'systemctl']) {
    const end = name === fails ? 'echo "first line"; echo "Failed: no such thing" >&2; exit 3' : ''
    write(`stubs/${name}`, `#!/bin/sh\necho "${name} $*" >> ${path('calls')}\n${end}\n`)
    chmodSync(path(`stubs/${name}`), 0o755)
  }
  return {
    path,
    called: () =>
      existsSync(path('calls')) ? readFileSync(path('calls'), 'utf8').trimEnd().split('\n') : [],
    install: () =>
      finish(['install', 'systemd'], {
        cwd: '/',
        program: '/usr/local/bin/agent',
        env: { PATH: `${path('stubs')}:${process.env['PATH'] ?? ''}` },
        wrap: ['unshare', '--mount', 'sh', '-c', SCRIPT, 'sh', directory, executable()],
      }),
  }
}

beforeAll(() => ensureExecutable(), SLOW)

describe('agent install systemd on a machine', () => {
  asRoot(
    'writes its files, has systemd make user and directories, and says how to start it',
    async () => {
      const machine = openMachine()
      const { code, out, err } = await machine.install()
      expect([code, out]).toEqual([0, ''])
      expect(err).toContain('agent: written: /etc/systemd/system/runtime-agent.service\n')
      expect(err).toContain('systemctl enable --now runtime-agent.service\n')
      const unit = readFileSync(machine.path('etc/systemd/system/runtime-agent.service'), 'utf8')
      expect(unit).toContain('\nExecStart=/usr/local/bin/agent run --config ')
      const called = machine.called()
      expect(called.slice(0, 2)).toEqual([
        'systemd-sysusers /etc/sysusers.d/runtime-agent.conf',
        'systemd-tmpfiles --create /etc/tmpfiles.d/runtime-agent.conf',
      ])
      expect(called).toContain('systemctl daemon-reload')
      const again = await machine.install()
      expect(again.code).toBe(0)
      expect(again.err).not.toContain('agent: written:')
      expect(machine.called()).toEqual([...called, ...called])
    },
    SLOW,
  )

  asRoot.each([['systemd-sysusers'], ['systemd-tmpfiles'], ['systemctl']])(
    'tells what %s said when it fails, goes no further, and does the rest the next time',
    async (tool) => {
      const machine = openMachine({ fails: tool })
      const ended = await machine.install()
      expect(ended.code).toBe(1)
      const shown = ended.err.slice(ended.err.indexOf('agent: error:'))
      const { code, text } = onlyMessage({ ...ended, err: shown })
      expect(code).toBe('install_failed')
      expect(text).toMatch(/^Cannot install the service: .* ended with 3: Failed: no such thing$/)
      expect(text).toContain(tool)
      expect(machine.called().at(-1)).toStartWith(tool)
      expect(ended.err).not.toContain('enable --now')
      writeFileSync(machine.path(`stubs/${tool}`), '#!/bin/sh\n')
      const again = await machine.install()
      expect([again.code, again.err.includes('written')]).toEqual([0, false])
    },
    SLOW,
  )

  asRoot(
    'without systemd, writes nothing',
    async () => {
      const machine = openMachine({ systemd: false })
      const ended = await machine.install()
      expect(ended.code).toBe(2)
      expect(onlyMessage(ended).text).toBe(
        'Cannot install the service: this machine does not run systemd',
      )
      expect(existsSync(machine.path('etc/systemd'))).toBe(false)
      expect(machine.called()).toEqual([])
    },
    SLOW,
  )

  asRoot(
    'whose agent.yaml everybody can change, writes nothing',
    async () => {
      const machine = openMachine()
      chmodSync(machine.path('etc/runtime-agent/agent.yaml'), 0o666)
      const ended = await machine.install()
      expect(ended.code).toBe(2)
      expect(onlyMessage(ended).text).toBe(
        'Cannot install the service: other users than root can change /etc/runtime-agent/agent.yaml',
      )
      expect(machine.called()).toEqual([])
    },
    SLOW,
  )
})
