/** The real executable, as install.sh puts it into place; systemd is there but for its first process. */
import { afterEach, expect } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { hostPlatform } from '../../scripts/executable.ts'
import { ROOT } from '../../scripts/repository.ts'
import { seal, stampedInstaller } from '../../scripts/seal.ts'
import { skipUnless, slow } from '../skip.ts'
import { canInstall, openMachine, removeMachines } from './support/machine.ts'
import { calls, key, putSystemd } from './support/release.ts'

afterEach(removeMachines)

const IN_PATH = { env: { PATH: '/stubs:/usr/local/bin:/usr/bin' } }

const tools = ['systemd-sysusers', 'systemd-tmpfiles'].filter((tool) => Bun.which(tool) === null)
const onSystemd = skipUnless(canInstall && tools.length === 0 && hostPlatform !== undefined, {
  why: 'not root, or no systemd-sysusers',
  how: 'as root on Linux: apt-get install systemd openssl curl wget xz-utils busybox dash',
  allowedInCi: !canInstall && process.getuid?.() !== 0,
})

const all = process.env['AGENT_TEST_FAST'] === undefined ? onSystemd : slow

all(
  'the service gets its files, user and directories, and the token is the agent’s to read',
  async () => {
    await build([hostPlatform!])
    const one = openMachine()
    putSystemd(one)
    // It is not started: there is no systemd that could.
    const name = `agent-${hostPlatform!.name}`
    const executable = join(ROOT, 'dist', name)
    const version = spawnSync(executable, ['version', '--json'], { encoding: 'utf8' }).stdout
    one.write('/release/VERSION', `${(JSON.parse(version) as { version: string }).version}\n`)
    one.write('/release/install.sh', stampedInstaller(key.publicPem), 0o755)
    cpSync(executable, one.path(`/release/${name}`))
    cpSync(join(ROOT, 'deploy/agent.example.yaml'), one.path('/release/agent.example.yaml'))
    seal(one.path('/release'), key.privatePem)

    const said = await one.install(['--no-start', '--token-stdin'], { stdin: 'a-token\n' })
    expect(said).toMatchObject({ code: 0 })
    const tree = one.tree()
    // As it is run again after agent.yaml has changed: not for one version only.
    const run = ['install', 'systemd', '--dry-run']
    const dry = await one.install(run, { shell: ['env'], script: 'agent', ...IN_PATH })
    expect(await one.install(run, { shell: ['env'], script: '/usr/local/bin/agent' })).toEqual(dry)
    const files = dry.out.split(/^### /m).slice(1)
    expect(files.length).toBeGreaterThanOrEqual(4)
    for (const file of files) {
      const [path = '', ...lines] = file.split('\n')
      expect([path, one.read(path).trim()]).toEqual([path, lines.join('\n').trim()])
    }
    const group = /^runtime-agent:x:(\d+):/m.exec(one.read('/etc/group'))?.[1] ?? 'none'
    expect(tree['etc/runtime-agent/']).toBe('750')
    expect(tree['etc/runtime-agent/agent.yaml']).toStartWith(`640 0:${group} `)
    expect(tree['etc/runtime-agent/token']).toStartWith(`640 0:${group} `)
    expect(tree['var/lib/runtime-agent/state/']).toBe('700')
    expect(tree['var/lib/runtime-agent/out/']).toBe('2750')
    expect(calls(one)).toContain('daemon-reload')

    const gone = await one.install(['--uninstall', '--purge'])
    expect(gone).toMatchObject({ code: 0 })
    expect(one.read('/etc/passwd')).not.toContain('runtime-agent')
    expect(Object.keys(one.tree()).filter((path) => /agent/.test(path))).toEqual([])
  },
  60_000,
)
