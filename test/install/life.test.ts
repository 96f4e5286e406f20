/** The real install.sh, in three shells, on machines of its own: install, again, upgrade, back, remove. */
import { afterEach, describe, expect } from 'bun:test'
import { cpSync } from 'node:fs'
import { onMachine, openMachine, removeMachines } from './support/machine.ts'
import type { Machine } from './support/machine.ts'
import { calls, EXECUTABLE, machineWithRelease, putRelease, putSystemd } from './support/release.ts'

afterEach(removeMachines)

const LIB = 'usr/local/lib/runtime-agent'
const UNIT = '/etc/systemd/system/runtime-agent.service'
const runs = (one: Machine): string => one.read('/run/runs').trim()
const leads = (one: Machine): string | undefined => one.tree()['usr/local/bin/agent']
const leadsTo = (version: string): string => `-> /${LIB}/${version}/agent`
/** What must never be left behind. */
const leftovers = (one: Machine): string[] =>
  Object.keys(one.tree()).filter((path) => /\.staging|\.new$/.test(path))

describe.each([[['dash']], [['busybox', 'sh']], [['bash', '--posix']]])('in %p', (shell) => {
  onMachine('it installs, starts, and has nothing to do the second time', async () => {
    const one = machineWithRelease()
    const first = await one.install([], { shell })
    expect(first).toMatchObject({ code: 0, out: '' })
    expect(first.err).toContain('installed 1.0.0: /usr/local/bin/agent')
    expect(leads(one)).toBe(leadsTo('1.0.0'))
    expect(one.read('/etc/runtime-agent/agent.yaml')).toBe('version: 1\n')
    expect(one.tree()['etc/runtime-agent/agent.yaml']).toStartWith('640 ')
    expect(runs(one)).toBe('1.0.0')
    expect(one.exists('/run/enabled')).toBe(true)
    const before = one.tree()
    const second = await one.install([], { shell })
    expect(second).toMatchObject({ code: 0 })
    expect(second.err).toContain('1.0.0 was installed already\n')
    expect(one.tree()).toEqual(before)
    expect(calls(one).filter((call) => call.startsWith('restart'))).toEqual([])
    expect(leftovers(one)).toEqual([])
  })

  onMachine('it upgrades, keeps one version before, and goes back and forth', async () => {
    const one = machineWithRelease()
    await one.install([], { shell })
    for (const version of ['1.1.0', '1.2.0']) {
      putRelease(one, { version, unitLine: `# ${version}` })
      expect(await one.install([], { shell })).toMatchObject({ code: 0 })
      expect(runs(one)).toBe(version)
    }
    const versions = Object.keys(one.tree()).filter((path) => path.startsWith(`${LIB}/1.`))
    const kept = ['1.1.0', '1.2.0'].flatMap((name) => [`${LIB}/${name}/`, `${LIB}/${name}/agent`])
    expect(versions).toEqual(kept)
    expect(one.read(UNIT)).toContain('# 1.2.0')
    // Busybox waits for real, as its sleep is its own.
    const back = shell.includes('busybox') ? ['1.1.0'] : ['1.1.0', '1.2.0']
    for (const version of back) {
      expect(await one.install(['--rollback'], { shell })).toMatchObject({ code: 0 })
      expect([runs(one), leads(one)]).toEqual([version, leadsTo(version)])
      expect(one.read(UNIT)).toContain(`# ${version}`)
    }
    expect(leftovers(one)).toEqual([])
  })

  onMachine('the old version is back when the new one does not become ready', async () => {
    const one = machineWithRelease()
    await one.install([], { shell })
    const before = one.tree()
    putRelease(one, { version: '2.0.0', becomes: 'failed', unitLine: '# of 2.0.0' })
    const said = await one.install([], { shell })
    expect(said.code).toBe(3)
    expect(said.err).toContain('Cannot change from 1.0.0 to 2.0.0: it did not become ready')
    expect(said.err).toContain('journalctl -u runtime-agent')
    expect(said.err).toContain('1.0.0 is back, and runs')
    expect(one.tree()).toEqual(before)
    expect(runs(one)).toBe('1.0.0')
  })

  onMachine(
    'it removes itself and leaves configuration and state, which --purge takes',
    async () => {
      const one = machineWithRelease()
      await one.install([], { shell })
      one.write('/var/lib/runtime-agent/state/identity', 'kept')
      one.write('/etc/systemd/system/runtime-agent-mine.service', 'of a person')
      for (const _ of ['once', 'and again']) {
        const said = await one.install(['--uninstall'], { shell })
        expect(said).toMatchObject({ code: 0 })
        const left = Object.keys(one.tree()).filter((path) => /agent/.test(path))
        expect(left.sort()).toEqual([
          'etc/runtime-agent/',
          'etc/runtime-agent/agent.yaml',
          'etc/systemd/system/runtime-agent-mine.service',
          'var/lib/runtime-agent/',
          'var/lib/runtime-agent/out/',
          'var/lib/runtime-agent/state/',
          'var/lib/runtime-agent/state/identity',
        ])
      }
      expect([one.exists('/run/active'), one.exists('/run/enabled')]).toEqual([false, false])
      await one.install([], { shell })
      const said = await one.install(['--uninstall', '--purge'], { shell })
      expect(said).toMatchObject({ code: 0 })
      // Directories elsewhere may be shared, so they are told of, and the user stays who owns something there.
      expect(said.err).toContain('left, as it lies elsewhere: /srv/bindings')
      const left = Object.keys(one.tree()).filter((path) => /agent/.test(path))
      expect(left).toEqual(['etc/systemd/system/runtime-agent-mine.service'])
    },
  )

  onMachine('a token comes from a file or from standard input, for the agent to read', async () => {
    const one = machineWithRelease()
    one.write('/tmp/token', 'from-a-file\n', 0o600)
    await one.install(['--token-file', '/tmp/token'], { shell })
    expect(one.read('/etc/runtime-agent/token')).toBe('from-a-file\n')
    await one.install(['--token-stdin'], { shell, stdin: 'from-a-pipe' })
    expect(one.read('/etc/runtime-agent/token')).toBe('from-a-pipe\n')
    expect(one.tree()['etc/runtime-agent/token']).toStartWith('640 0:990 ')
    const before = one.tree()
    const empty = await one.install(['--token-stdin'], { shell })
    expect(empty.code).toBe(1)
    expect(empty.err).toContain('Cannot use the token from standard input: it is empty')
    expect(one.tree()).toEqual(before)
  })
})

onMachine('an upgrade that is ready and then dies is undone, too', async () => {
  const one = machineWithRelease()
  await one.install([])
  const before = one.tree()
  putRelease(one, { version: '2.0.0', becomes: 'dies' })
  expect(await one.install([])).toMatchObject({ code: 3 })
  expect([runs(one), one.tree()]).toEqual(['1.0.0', before])
})

onMachine('an agent that was connected must be so again; one that was not need not', async () => {
  const one = machineWithRelease()
  await one.install([])
  const before = one.tree()
  putRelease(one, { version: '2.0.0', becomes: 'unconnected' })
  expect(await one.install([])).toMatchObject({ code: 3 })
  expect([runs(one), one.tree()]).toEqual(['1.0.0', before])
  putRelease(one, { becomes: 'unconnected' })
  await one.install([])
  putRelease(one, { version: '2.0.0', becomes: 'unconnected' })
  expect(await one.install([])).toMatchObject({ code: 0 })
  expect(runs(one)).toBe('2.0.0')
})

onMachine('going back to a version that does not become ready is undone as well', async () => {
  const one = machineWithRelease()
  await one.install([])
  putRelease(one, { version: '2.0.0' })
  await one.install([])
  const old = `/${LIB}/1.0.0/agent`
  one.write(old, one.read(old).replaceAll("'ready'", "'never'").replace('!= failed', '= x'), 0o755)
  const before = one.tree()
  const said = await one.install(['--rollback'])
  expect([said.code, runs(one)]).toEqual([3, '2.0.0'])
  expect(one.tree()).toEqual(before)
})

onMachine(
  'an executable that was changed is put in order, and the service started anew',
  async () => {
    const one = machineWithRelease()
    await one.install([])
    const before = one.tree()
    one.write(`/${LIB}/1.0.0/agent`, 'half of it', 0o644)
    const said = await one.install([])
    expect(said).toMatchObject({ code: 0 })
    expect(said.err).toContain('and is repaired')
    expect(one.tree()).toEqual(before)
    expect(calls(one)).toContain('restart runtime-agent.service')
  },
)

onMachine('the first start that fails leaves all in place to look at, and says so', async () => {
  const one = machineWithRelease()
  putRelease(one, { becomes: 'failed' })
  const said = await one.install([])
  expect(said.code).toBe(4)
  expect(said.err).toContain('Cannot start 1.0.0, which is installed: Job for runtime-agent')
  expect(leads(one)).toBe(leadsTo('1.0.0'))
})

onMachine('agent.yaml that is there stays as it is, with its mode', async () => {
  const one = machineWithRelease()
  one.write('/etc/runtime-agent/agent.yaml', 'version: 1 # mine\n', 0o600)
  await one.install([])
  expect(one.read('/etc/runtime-agent/agent.yaml')).toBe('version: 1 # mine\n')
  expect(one.tree()['etc/runtime-agent/agent.yaml']).toStartWith('600 ')
})

onMachine('--no-start enables nothing, starts nothing, and leaves what runs alone', async () => {
  const one = machineWithRelease()
  expect(await one.install(['--no-start'])).toMatchObject({ code: 0 })
  expect([one.exists('/run/active'), one.exists('/run/enabled')]).toEqual([false, false])
  await one.install([])
  putRelease(one, { version: '2.0.0' })
  expect(await one.install(['--no-start'])).toMatchObject({ code: 0 })
  expect([runs(one), leads(one)]).toEqual(['1.0.0', leadsTo('2.0.0')])
  const said = await one.install([])
  expect([said.code, runs(one)]).toEqual([0, '2.0.0'])
  expect(said.err).toContain('and is repaired')
})

onMachine.each([
  ['without a systemd', [], 'this machine does not run systemd'],
  ['with --no-service', ['--no-service'], 'run it: /usr/local/bin/agent --config'],
])('%s there is an executable, agent.yaml, and how to run it', async (_when, args, says) => {
  const one = openMachine()
  putRelease(one)
  if (args.length > 0) putSystemd(one)
  one.write('/tmp/token', 'a-token')
  const said = await one.install([...args, '--token-file', '/tmp/token'])
  expect(said).toMatchObject({ code: 0 })
  expect(said.err).toContain(says)
  expect(leads(one)).toBe(leadsTo('1.0.0'))
  expect(one.tree()['etc/runtime-agent/token']).toStartWith('600 0:0 ')
  expect(one.exists(UNIT)).toBe(false)
  expect(await one.install(['--uninstall', '--purge'])).toMatchObject({ code: 0 })
  expect(Object.keys(one.tree()).filter((path) => /agent/.test(path))).toEqual([])
})

onMachine('a prefix is remembered by the service, and goes with it', async () => {
  const one = machineWithRelease()
  const before = Object.keys(one.tree())
  await one.install(['--prefix', '/opt/runtime-agent'])
  expect(one.read(UNIT)).toContain('ExecStart=/opt/runtime-agent/bin/agent run')
  putRelease(one, { version: '2.0.0' })
  await one.install([])
  expect(runs(one)).toBe('2.0.0')
  expect(one.tree()['opt/runtime-agent/bin/agent']).toBe(
    '-> /opt/runtime-agent/lib/runtime-agent/2.0.0/agent',
  )
  expect(leads(one)).toBeUndefined()
  await one.install(['--uninstall', '--purge'])
  const left = Object.keys(one.tree()).filter((path) => path.startsWith('opt/runtime-agent'))
  expect([left, before.filter((path) => path.startsWith('opt/'))]).toEqual([[], []])
})

onMachine.each([
  [`${EXECUTABLE}.xz`, 'xz'],
  [`${EXECUTABLE}.gz`, 'gzip'],
  [EXECUTABLE, 'cat'],
])('one file, %s, is enough beside the sums', async (file, tool) => {
  const one = machineWithRelease()
  for (const name of ['VERSION', 'SHA256SUMS', 'SHA256SUMS.sig', 'agent.example.yaml', file])
    cpSync(one.path(`/release/${name}`), one.path(`/media/${name}`))
  one.stub(tool, `echo ${tool} >>/run/tools; exec /usr/bin/${tool} "$@"`)
  const said = await one.install(['--from', `/media/${file}`])
  expect(said).toMatchObject({ code: 0 })
  expect(one.read('/run/tools')).toContain(tool)
  expect(leads(one)).toBe(leadsTo('1.0.0'))
})

onMachine('musl gets its own executable', async () => {
  const one = machineWithRelease()
  one.stub('getconf', 'exit 1')
  one.stub('ldd', 'echo "musl libc (x86_64)" >&2; exit 1')
  one.write('/usr/local/lib/libstdc++.so.6', '')
  one.stub('xz', `exec /usr/bin/xz "$@"`)
  const said = await one.install([], { shell: ['sh', '-x'] })
  expect(said).toMatchObject({ code: 0 })
  expect(said.err).toContain(`${EXECUTABLE}-musl.xz`)
})
