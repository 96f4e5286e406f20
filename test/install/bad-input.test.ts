/** Whatever is wrong ends in one message that says what to do, and in a machine that is as it was. */
import { afterEach, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../scripts/repository.ts'
import { seal } from '../../scripts/seal.ts'
import { skipUnless } from '../skip.ts'
import { onMachine, openMachine, removeMachines } from './support/machine.ts'
import type { How, Machine, Said } from './support/machine.ts'
import { EXECUTABLE, key, machineWithRelease, makeKey } from './support/release.ts'
import { calls, putRelease, putSystemd } from './support/release.ts'

afterEach(removeMachines)

const errors = ({ err }: Said): string[] =>
  err.split('\n').flatMap((line) => /^install\.sh: error: (.*)/.exec(line)?.[1] ?? [])

/** Runs it, and proves that it said one thing and did nothing. */
async function refused(one: Machine, args: string[], how?: How): Promise<string> {
  const before = one.tree()
  const said = await one.install(args, how)
  expect(one.tree()).toEqual(before)
  expect([errors(said).length, said.err]).toEqual([1, said.err])
  expect(said.err.replace(/^install\.sh: .*\n/gm, '')).toBe('')
  expect(said.code).toBe(said.err.includes('--help shows what there is') ? 2 : 1)
  expect(said.err).toContain('install.sh: hint: ')
  return said.err
}

/** Programs that are all there is. */
const only = (...without: string[]): How => ({
  mounts: `mkdir -p "$ROOT/some"; ln -sf /usr/bin/* "$ROOT/some/"
rm -f ${without.map((name) => `"$ROOT/some/${name}"`).join(' ')}`,
  env: { PATH: '/stubs:/some' },
})

describe('a machine that it is not for', () => {
  onMachine('has another processor', async () => {
    const one = machineWithRelease()
    one.stub('uname', '[ "$1" = -m ] && echo riscv64 || echo Linux')
    expect(await refused(one, [])).toContain('Cannot install on Linux riscv64: there are')
  })

  onMachine('has 32-bit programs on a 64-bit kernel', async () => {
    const one = machineWithRelease()
    one.stub('getconf', '[ "$1" = LONG_BIT ] && echo 32')
    expect(await refused(one, [])).toContain('with 32-bit programs: there are')
  })

  onMachine('is of another kind', async () => {
    const one = machineWithRelease()
    one.stub('uname', '[ "$1" = -m ] && echo amd64 || echo FreeBSD')
    expect(await refused(one, [])).toContain('Cannot install on FreeBSD amd64: there are')
  })

  onMachine('has musl and no libstdc++', async () => {
    const one = machineWithRelease()
    one.stub('getconf', 'exit 1')
    one.stub('ldd', 'echo "musl libc (x86_64)" >&2; exit 1')
    const said = await refused(one, [])
    expect(said).toContain('its C library is musl, and the executable for it needs libstdc++')
    expect(said).toContain('apk add libstdc++')
  })

  onMachine('has a systemd that is too old', async () => {
    const one = machineWithRelease()
    putSystemd(one, 239)
    const said = await refused(one, [])
    expect(said).toContain('Cannot make a service: this is systemd 239, want 247 or newer')
    expect(said).toContain('--no-service')
    expect(await one.install(['--no-service'])).toMatchObject({ code: 0 })
  })

  onMachine('has an executable that does not run there', async () => {
    const one = machineWithRelease()
    const file = `/release/${EXECUTABLE}`
    one.write(file, '#!/no/such/loader\n', 0o755)
    for (const packed of ['.xz', '.gz']) spawnSync('rm', [one.path(`${file}${packed}`)])
    seal(one.path('/release'), key.privatePem)
    const before = one.tree()
    const said = await one.install([])
    expect(said.err).toContain(`Cannot run ${EXECUTABLE} on this machine: `)
    expect(one.tree()).toEqual(before)
  })

  onMachine('is used by somebody who is not root', async () => {
    const one = machineWithRelease()
    one.stub('id', 'echo 1000')
    expect(await refused(one, [])).toContain('Cannot install: only root can write to /usr/local')
  })

  onMachine('has another agent in the place of ours', async () => {
    const one = machineWithRelease()
    one.write('/usr/local/bin/agent', 'of somebody', 0o755)
    expect(await refused(one, [])).toContain('a file is there that is not of this script')
  })
})

describe('a release that is not to be trusted', () => {
  const spoilt = (name: string): Machine => {
    const one = machineWithRelease()
    const file = one.path(`/release/${name}`)
    const bytes = readFileSync(file)
    bytes[bytes.length - 2]! ^= 1
    writeFileSync(file, bytes)
    return one
  }

  onMachine.each([
    ['SHA256SUMS', 'Cannot trust this release: SHA256SUMS.sig is not a signature'],
    ['SHA256SUMS.sig', 'Cannot trust this release: SHA256SUMS.sig is not a signature'],
    ['VERSION', 'Cannot use VERSION: its SHA-256 is'],
    [`${EXECUTABLE}.xz`, `Cannot use ${EXECUTABLE}.xz: its SHA-256 is`],
    ['agent.example.yaml', 'Cannot use agent.example.yaml: its SHA-256 is'],
  ])('has a changed %s', async (name, message) => {
    expect(await refused(spoilt(name), [])).toContain(message)
  })

  onMachine('is packed from another executable than the sums name', async () => {
    const one = machineWithRelease()
    writeFileSync(one.path(`/release/${EXECUTABLE}`), '#!/bin/sh\ntouch /run/ran\n')
    seal(one.path('/release'), key.privatePem)
    expect(await refused(one, [])).toContain(`Cannot use ${EXECUTABLE}: its SHA-256 is`)
    expect(one.exists('/run/ran')).toBe(false)
  })

  onMachine('is signed by somebody else, or by nobody', async () => {
    const one = machineWithRelease()
    putRelease(one, { privatePem: makeKey().privatePem })
    expect(await refused(one, [])).toContain('Cannot trust this release: SHA256SUMS.sig is not')
    putRelease(one, { privatePem: undefined })
    const said = await one.install([])
    expect(errors(said)).toEqual(['Cannot install from /release: there is no SHA256SUMS.sig'])
  })

  onMachine('is another version than was asked for', async () => {
    const one = machineWithRelease()
    expect(errors(await one.install(['--version', '1.0.1']))).toEqual([
      'Cannot install 1.0.1: this release is 1.0.0',
    ])
    expect(await one.install(['--version', 'v1.0.0'])).toMatchObject({ code: 0 })
  })

  onMachine('comes with a script that has no key, unless one is named', async () => {
    const one = machineWithRelease()
    one.write('/release/install.sh', readFileSync(join(ROOT, 'install.sh'), 'utf8'), 0o755)
    expect(await refused(one, [])).toContain('there is no public key in this script')
    one.write('/tmp/key.pem', 'nothing')
    const named = ['--public-key', '/tmp/key.pem']
    expect(errors(await one.install(named))).toEqual([
      'Cannot use /tmp/key.pem: it is not a public key in PEM',
    ])
    one.write('/tmp/key.pem', key.publicPem)
    expect(await one.install(named)).toMatchObject({ code: 0 })
  })

  onMachine('cannot be verified where OpenSSL may not do so', async () => {
    const one = machineWithRelease()
    const sections = ['openssl_conf = c', '[c]', 'providers = p', 'alg_section = a', '[p]']
    const only = ['default = d', '[d]', 'activate = 1', '[a]', 'default_properties = fips=yes', '']
    one.write('/tmp/openssl.cnf', [...sections, ...only].join('\n'))
    const said = await refused(one, [], { env: { OPENSSL_CONF: '/tmp/openssl.cnf' } })
    expect(said).toContain(
      'Cannot verify the release: openssl cannot check Ed25519 signatures here',
    )
    expect(said).toContain('--sums-sha256')
  })

  onMachine('needs an OpenSSL 3, or a sum that was checked elsewhere', async () => {
    const one = machineWithRelease()
    one.stub('openssl', '[ "$1" = version ] && echo OpenSSL 1.1.1k || echo usage >&2')
    const said = await refused(one, [])
    expect(said).toContain('OpenSSL 1.1.1k cannot check Ed25519 signatures, want OpenSSL 3')
    const without = await refused(one, [], only('openssl', '../stubs/openssl'))
    expect(without).toContain('openssl is not installed')
    const digest = new Bun.CryptoHasher('sha256')
    const sum = digest.update(readFileSync(one.path('/release/SHA256SUMS'))).digest('hex')
    const wrong = await one.install(['--sums-sha256', sum.replace(/./, sum[0] === '0' ? '1' : '0')])
    expect(errors(wrong)[0]).toContain('Cannot trust this release: the SHA-256 of SHA256SUMS is')
    expect(await one.install(['--sums-sha256', sum])).toMatchObject({ code: 0 })
  })
})

describe('no place for it', () => {
  onMachine('as /usr is read-only, where another prefix helps', async () => {
    const one = machineWithRelease()
    const mounts = 'mount -o remount,bind,ro "$ROOT/usr/local"'
    const said = await refused(one, [], { mounts })
    expect(said).toContain('Cannot write /usr/local/lib: Read-only file system')
    expect(said).toContain('--prefix /opt/runtime-agent')
    expect(await one.install(['--prefix', '/opt/runtime-agent'], { mounts })).toMatchObject({
      code: 0,
    })
  })

  const tiny = 'mount -t tmpfs -o size=2m none "$ROOT/usr/local"'
  const then = 'find /usr/local /etc/runtime-agent'

  onMachine('as the disk is too small, which is seen before anything is fetched', async () => {
    const one = machineWithRelease()
    const said = await one.install([], { mounts: tiny, then })
    expect(errors(said)).toEqual([
      'Cannot install to /usr/local/lib/runtime-agent: 160 MiB are needed there, 1 MiB are free',
    ])
    expect(said.out).toBe('/usr/local\n')
  })

  onMachine.each([[''], ['.gz'], ['.xz']])('as it fills up on the way (%p)', async (ending) => {
    const one = machineWithRelease()
    putRelease(one, { ballast: 3e6 })
    one.stub('df', 'echo; echo none 9999999 0 9999999 0 /')
    // What is fetched has room, what comes out of it has not.
    const mounts = tiny.replace('2m', '2900k')
    const from = `/release/${EXECUTABLE}${ending}`
    const said = await one.install(['--from', from], { mounts, then })
    expect(errors(said).length).toBe(1)
    expect(errors(said)[0]).toMatch(/^Cannot write .*: No space left on device$/)
    expect(said.out).toBe('/usr/local\n')
  })
})

describe('an installation that is there', () => {
  /** With version 1.0.0, and a release of 2.0.0. */
  async function installed(): Promise<Machine> {
    const one = machineWithRelease()
    expect(await one.install([])).toMatchObject({ code: 0 })
    putRelease(one, { version: '2.0.0' })
    return one
  }

  onMachine('is not touched when the new version cannot use agent.yaml', async () => {
    const one = await installed()
    one.write('/etc/runtime-agent/agent.yaml', 'version: 9\n')
    const before = one.tree()
    const said = await one.install([])
    expect(said.code).toBe(1)
    expect(said.err).toContain('Cannot use config /etc/runtime-agent/agent.yaml: version: found 9')
    expect(said.err).toContain('whose turn: operator')
    expect(one.tree()).toEqual(before)
    expect(calls(one)).not.toContain('restart runtime-agent.service')
  })

  onMachine('is as it was when its service cannot be made, and was not stopped', async () => {
    const one = await installed()
    one.write('/run/refuses', '')
    const before = one.tree()
    const said = await one.install([])
    expect(errors(said)).toEqual(['Cannot install the service: systemd-sysusers ended with 1'])
    expect([said.code, one.tree()]).toEqual([1, before])
    expect(calls(one)).not.toContain('restart runtime-agent.service')
  })

  onMachine('waits for another run of the script, but not for one that was killed', async () => {
    const one = await installed()
    one.write('/usr/local/lib/runtime-agent/.staging/pid', `${process.pid}\n`)
    // Of that run, which is about to move it.
    one.write('/usr/local/bin/agent.new', '')
    expect(await refused(one, [])).toContain(`Cannot install: process ${process.pid} is at it`)
    one.write('/usr/local/lib/runtime-agent/.staging/pid', '999999999\n')
    expect(await one.install([])).toMatchObject({ code: 0 })
    expect(Object.keys(one.tree()).filter((path) => path.includes('.staging'))).toEqual([])
  })

  onMachine.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'is as it was after %s in the middle of an upgrade',
    async (signal) => {
      const one = await installed()
      const before = one.tree()
      one.write('/run/slow', '')
      const { pid, ended } = one.start([])
      while (!one.exists('/run/waiting')) await Bun.sleep(10)
      expect(one.tree()).not.toEqual(before)
      spawnSync('rm', [one.path('/run/slow')])
      process.kill(-pid, signal)
      const said = await ended
      expect(said.code).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal])
      expect([one.read('/run/runs'), one.tree()]).toEqual(['1.0.0\n', before])
      expect(said.err).toContain('1.0.0 is back, and runs')
    },
  )

  onMachine('is finished by the next run after it was killed in the middle', async () => {
    const one = await installed()
    one.write('/run/slow', '')
    const { pid, ended } = one.start([])
    while (!one.exists('/run/waiting')) await Bun.sleep(10)
    process.kill(-pid, 'SIGKILL')
    await ended
    spawnSync('rm', [one.path('/run/slow')])
    expect(await one.install([])).toMatchObject({ code: 0 })
    expect(one.read('/run/runs')).toBe('2.0.0\n')
    expect(Object.keys(one.tree()).filter((path) => path.includes('.staging'))).toEqual([])
    expect(await one.install(['--rollback'])).toMatchObject({ code: 0 })
    expect(one.read('/run/runs')).toBe('1.0.0\n')
  })

  onMachine('cannot go back where nothing was before', async () => {
    const one = machineWithRelease()
    expect(await refused(one, ['--rollback'])).toContain('no version before this one is kept')
  })
})

onMachine('a first installation that is stopped leaves nothing', async () => {
  const one = machineWithRelease()
  const before = one.tree()
  one.write('/run/slow', '')
  const { pid, ended } = one.start([])
  while (!one.exists('/run/waiting')) await Bun.sleep(10)
  process.kill(-pid, 'SIGTERM')
  expect(await ended).toMatchObject({ code: 143 })
  const made = Object.keys(one.tree()).filter((path) => !(path in before))
  // The user and its directories stay; they belong to systemd, and nothing runs as it.
  expect(made.filter((path) => !/^var\/|^etc\/(systemd|sysusers|tmpfiles)/.test(path))).toEqual([])
  expect(made.filter((path) => /agent\.|agent-/.test(path))).toEqual([])
})

onMachine.each([
  [['--frob'], "Cannot use '--frob': there is no such option"],
  [['--from'], 'Cannot use --from: it has no value'],
  [['--from='], 'Cannot use --from: it has no value'],
  [['--from', 'ftp://127.0.0.1/'], 'Cannot use --from ftp://127.0.0.1/: want a URL'],
  [['--prefix', 'here'], 'Cannot use --prefix here: want a path that begins with /'],
  [['--prefix', '/a b'], 'Cannot use --prefix /a b: want letters'],
  [['--purge'], 'Cannot use --purge: it belongs to --uninstall'],
  [['--rollback', '--from', '/release'], 'Cannot use --from: --rollback needs no release'],
  [['--sums-sha256', 'abc'], 'Cannot use --sums-sha256: want 64 digits'],
])('%j is bad usage', async (args, message) => {
  const one = machineWithRelease()
  expect(await refused(one, args)).toContain(message)
  expect(await one.install(args)).toMatchObject({ code: 2 })
})

onMachine('files that are not there are named', async () => {
  const one = openMachine()
  one.write('/install.sh', readFileSync(join(ROOT, 'install.sh'), 'utf8'), 0o755)
  const said = async (...args: string[]): Promise<string | undefined> => {
    const { code, err } = await one.install(args, { script: '/install.sh' })
    expect(code).toBe(args.length === 0 ? 2 : 1)
    return /^install\.sh: error: (.*)\n(install\.sh: hint: .*\n)?$/.exec(err)?.[1]
  }
  expect(await said()).toContain('nothing says where the release is')
  expect(await said('--from', '/nowhere')).toContain('Cannot read /nowhere: there is no such')
  expect(await said('--from', '/etc')).toContain('Cannot install from /etc: there is no SHA256SUMS')
  expect(await said('--token-file', '/nowhere')).toContain('Cannot read /nowhere')
})

onMachine('a script of which the end is missing does nothing', async () => {
  const one = machineWithRelease()
  const whole = readFileSync(one.path('/release/install.sh'))
  const before = one.tree()
  const text = whole.toString('latin1')
  // After each function, and each of the last bytes but for the last line break, which nothing needs.
  const ends = [...text.matchAll(/^}\n/gm)].map(({ index }) => index + 2)
  const cuts = [...ends.filter((_, i) => i % 8 === 0), 0, text.indexOf('PUBLIC_KEY') + 30]
  for (let end = whole.length - 20; end < whole.length - 1; end++) cuts.push(end)
  for (const cut of cuts) {
    truncateSync(one.path('/release/install.sh'), 0)
    writeFileSync(one.path('/release/install.sh'), whole.subarray(0, cut))
    const said = await one.install(['--from', '/release'], { shell: ['dash'] })
    expect([cut, said.out, one.tree()]).toEqual([cut, '', before])
  }
})

const has = Bun.which('shellcheck') !== null
const checks = skipUnless(has, {
  why: 'shellcheck is not installed',
  how: 'apt-get install shellcheck',
})

checks('shellcheck has nothing to say about the script', () => {
  const run = spawnSync('shellcheck', [join(ROOT, 'install.sh')], { encoding: 'utf8' })
  expect([run.status, run.stdout]).toEqual([0, ''])
})

test('nothing in the script leads to a command of ours outside of a function', () => {
  const lines = readFileSync(join(ROOT, 'install.sh'), 'utf8').split('\n')
  const outside = lines.filter(
    (line, i) => /^[a-zA-Z{]/.test(line) && !/\(\) \{$/.test(line) && i > 0,
  )
  const texts = /^(Usage|PUBLIC_KEY|TEXT|SOURCE|without|Exit|and the)/
  expect(outside.filter((line) => !texts.test(line))).toEqual(['{ main "$@"; }'])
})
