/** A release server, surroundings and other users that mean harm: what is installed is ours, and the token stays with us. */
import { afterEach, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../scripts/repository.ts'
import { onMachine, removeMachines } from './support/machine.ts'
import type { How, Machine, Said } from './support/machine.ts'
import { machineWithRelease, putRelease } from './support/release.ts'

const closing: (() => unknown)[] = []
afterEach(() => {
  closing.splice(0).forEach((close) => close())
  removeMachines()
})

const error = ({ err }: Said): string | undefined => /^install\.sh: error: (.*)$/m.exec(err)?.[1]

const ofAgent = (one: Machine): string[] =>
  Object.keys(one.tree()).filter((path) => /agent/.test(path))

/** Serves `answer` for SHA256SUMS, and gives its URL. */
function serve(answer: (url: URL) => Response): string {
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (r) => answer(new URL(r.url)) })
  closing.push(() => server.stop(true))
  return `http://127.0.0.1:${server.port}/v1`
}

const withoutCurl: How = {
  mounts: `mkdir -p "$ROOT/some"; ln -sf /usr/bin/* "$ROOT/some/"; rm -f "$ROOT/some/curl"`,
  env: { PATH: '/stubs:/some' },
}

describe('a server', () => {
  onMachine.each(['curl', 'wget', 'busybox wget'])(
    'that never ends does not fill the disk (%s)',
    async (tool) => {
      const one = machineWithRelease()
      if (tool === 'busybox wget') one.stub('wget', 'exec busybox wget "$@"')
      const endless = new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
      })
      const said = await one.install(
        ['--from', serve(() => new Response(endless))],
        tool === 'curl' ? {} : withoutCurl,
      )
      expect([said.code, error(said)]).toEqual([
        1,
        expect.stringContaining('it is larger than 1 MiB, which nothing of a release is'),
      ])
      expect(ofAgent(one)).toEqual([])
    },
  )

  onMachine('that leads in a circle is told, without the password for it', async () => {
    const one = machineWithRelease()
    const url = serve(({ pathname }) => Response.redirect(pathname, 302))
    const said = await one.install(['--from', url.replace('//', '//me:geheim@')])
    expect(error(said)).toContain(`Cannot download ${url}/SHA256SUMS: `)
    expect(said.err).not.toContain('geheim')
    expect(ofAgent(one)).toEqual([])
  })

  onMachine('cannot bring back an old release, unless that is asked for', async () => {
    const one = machineWithRelease()
    putRelease(one, { version: '1.10.0' })
    expect(await one.install([])).toMatchObject({ code: 0 })
    putRelease(one, { version: '1.9.1+abc' })
    const before = one.tree()
    const said = await one.install([])
    expect([said.code, error(said)]).toEqual([1, 'Cannot go from 1.10.0 to 1.9.1+abc: it is older'])
    expect(one.tree()).toEqual(before)
    expect(await one.install(['--version', '1.9.1+abc'])).toMatchObject({ code: 0 })
    expect(one.read('/run/runs')).toBe('1.9.1+abc\n')
  })
})

test('of two versions it is known which is older', () => {
  const script = readFileSync(join(ROOT, 'install.sh'), 'utf8')
  const body = /^is_older\(\) \{\n[\s\S]*?^\}\n/m.exec(script)?.[0] ?? ''
  const isOlder = (a: string, b: string): boolean =>
    spawnSync('sh', ['-euc', `${body}is_older "$1" "$2"`, 'sh', a, b]).status === 0
  const rising = ['0.9', '1.0.0-rc.1', '1.0.0', '1.0.1+build.7', '1.9.9', '1.10.0', '2']
  for (const [i, a] of rising.entries()) {
    for (const [j, b] of rising.entries()) expect([a, b, isOlder(a, b)]).toEqual([a, b, i < j])
  }
  for (const same of ['1.0.0+a', '1.0.0-a', '1.0']) expect(isOlder(same, '1.0.0-b')).toBe(false)
})

describe('surroundings', () => {
  onMachine.each([
    [{ TOKEN: 'of somebody' }, ['sh']],
    [{ SHELLOPTS: 'allexport' }, ['bash', '--posix']],
    [{}, ['sh', '-a']],
    [{}, ['sh', '-x']],
  ] as [Record<string, string>, string[]][])(
    'do not get the token into an environment or a log: %p %p',
    async (env, shell) => {
      const one = machineWithRelease()
      one.stub('openssl', 'env >>/run/environments; exec /usr/bin/openssl "$@"')
      one.stub('chown', 'env >>/run/environments')
      one.write('/token', 'one-time-token\n')
      const said = await one.install(['--token-file', '/token'], { env, shell })
      expect(said.code).toBe(0)
      expect(one.read('/etc/runtime-agent/token')).toBe('one-time-token\n')
      expect(one.read('/run/environments') + said.out + said.err).not.toContain('one-time-token')
    },
  )

  onMachine('that switch patterns off hide no file of the service', async () => {
    const one = machineWithRelease()
    expect(await one.install([], { shell: ['sh', '-f'] })).toMatchObject({ code: 0 })
    expect(one.read('/run/calls')).toContain('enable --quiet runtime-agent.service')
    const gone = await one.install(['--uninstall', '--purge'], { shell: ['sh', '-f'] })
    expect([gone.code, ofAgent(one)]).toEqual([0, []])
  })

  onMachine('without standard error, or with options for xz, make no difference', async () => {
    const one = machineWithRelease()
    const shell = ['sh', '-c', 'exec sh "$0" "$@" 2>&-']
    expect(await one.install([], { shell, env: { XZ_OPT: '--format=raw' } })).toMatchObject({
      code: 0,
    })
    const bad = await one.install(['--nonsense'], { shell })
    expect(bad.code).toBe(2)
    expect((await one.install(['--version', '7'], { shell })).code).toBe(1)
  })
})

describe('another user', () => {
  onMachine('who owns a directory on the way is not trusted', async () => {
    const one = machineWithRelease()
    mkdirSync(one.path('/opt/theirs/lib'), { recursive: true })
    chownSync(one.path('/opt/theirs'), 1000, 1000)
    const before = one.tree()
    const said = await one.install(['--prefix', '/opt/theirs'])
    expect(error(said)).toBe('Cannot install: other users than root can change /opt/theirs')
    const everybody = machineWithRelease()
    everybody.write('/usr/local/bin/other', '')
    spawnSync('chmod', ['777', everybody.path('/usr/local/bin')])
    expect(error(await everybody.install([]))).toContain('can change /usr/local/bin')
    expect([said.code, one.tree()]).toEqual([1, before])
  })
})

describe('a disk that fills up while the version before is put back', () => {
  const full =
    'case $* in *.new) : >"$3"; echo "cp: No space left" >&2; exit 1 ;; esac; exec /usr/bin/cp "$@"'
  onMachine.each([
    ['', true],
    ['Nice=5', false],
  ] as const)(
    'leaves no halves behind, and says what is not as it was (%p)',
    async (unitLine, same) => {
      const one = machineWithRelease()
      expect(await one.install([])).toMatchObject({ code: 0 })
      const before = one.tree()
      putRelease(one, { version: '2.0.0', becomes: 'failed', unitLine })
      one.stub('cp', full)
      const said = await one.install([])
      const unit = '/etc/systemd/system/runtime-agent.service'
      expect([said.code, said.err.includes(`${unit} is not as it was: once`)]).toEqual([3, !same])
      const after = one.tree()
      const other = Object.keys({ ...before, ...after }).filter((at) => before[at] !== after[at])
      expect(other).toEqual(same ? [] : [unit.slice(1)])
      expect(said.err).toContain('1.0.0 is back, and runs')
    },
  )
})

describe('what is odd', () => {
  onMachine('is told in the words of the agent, whatever they are', async () => {
    const one = machineWithRelease()
    const mounts = 'mkdir -p "$ROOT/etc/systemd"; mount -t tmpfs -o ro x "$ROOT/etc/systemd"'
    const said = await one.install([], { mounts })
    expect(error(said)).toMatch(
      /^Cannot run \/usr\/local\/bin\/agent install: .*runtime-agent-online/,
    )
  })

  onMachine('is no token: one without end', async () => {
    const one = machineWithRelease()
    const said = await one.install(['--token-file', '/dev/urandom'])
    expect(error(said)).toBe('Cannot use the token from /dev/urandom: it is larger than any')
    expect(ofAgent(one)).toEqual([])
  })

  onMachine('is no prefix: the root directory', async () => {
    expect((await machineWithRelease().install(['--prefix', '/'])).code).toBe(2)
  })

  onMachine('is told: state that is kept behind a symlink', async () => {
    const one = machineWithRelease()
    expect(await one.install([])).toMatchObject({ code: 0 })
    one.write('/data/key', 'secret')
    spawnSync('rm', ['-r', one.path('/var/lib/runtime-agent')])
    symlinkSync('/data', one.path('/var/lib/runtime-agent'))
    const said = await one.install(['--uninstall', '--purge'])
    expect(said.err).toContain('left, as /var/lib/runtime-agent was a symlink to it: /data')
  })

  onMachine('is a run that was about to begin: the next one waits for its name', async () => {
    const one = machineWithRelease()
    expect(await one.install([])).toMatchObject({ code: 0 })
    mkdirSync(one.path('/usr/local/lib/runtime-agent/.staging'))
    one.stub('sleep', `echo 1 >/usr/local/lib/runtime-agent/.staging/pid`)
    const busy = 'process 1 is at it'
    expect(error(await one.install([]))).toBe(`Cannot install: ${busy}`)
    writeFileSync(one.path('/usr/local/lib/runtime-agent/.staging/pid'), '')
    expect(error(await one.install(['--uninstall']))).toBe(`Cannot uninstall: ${busy}`)
  })
})
