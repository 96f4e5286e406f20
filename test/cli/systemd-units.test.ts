import { afterAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { serviceFiles } from '../../src/cli/systemd-units.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { skipUnless } from '../skip.ts'
import { ROOT } from '../source.ts'

const scratch = mkdtempSync(join(tmpdir(), 'units-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const withAnalyze = skipUnless(Bun.which('systemd-analyze') !== null, {
  why: 'systemd-analyze is not installed',
  how: 'apt-get install systemd',
})

const withTools = skipUnless(process.getuid?.() === 0 && Bun.which('systemd-sysusers') !== null, {
  why: 'this user is not root, or systemd is not installed',
  how: 'run the tests as root',
})

const CONFIG = '/etc/runtime-agent/agent.yaml'

/** Content by file name; the two named runtime-agent.conf by their directory. */
function made(text: string, executable = '/usr/local/bin/agent'): Record<string, string> {
  const given = { file: 'agent.yaml', cwd: dirname(CONFIG), env: () => undefined }
  const { config } = parseConfig(text, given)
  const files = serviceFiles({ config: config!, configFile: CONFIG, executable })
  return Object.fromEntries(
    files.map(({ path, content }) => [
      path.endsWith('.conf') ? basename(dirname(path)) : basename(path),
      content,
    ]),
  )
}

/** Values of a key, as often as it stands there. */
function values(unit: string | undefined, key: string): string[] {
  const lines = (unit ?? '').split('\n').filter((line) => line.startsWith(`${key}=`))
  return lines.map((line) => line.slice(key.length + 1))
}

const example = readFileSync(join(ROOT, 'deploy/agent.example.yaml'), 'utf8')
const SERVICE = 'runtime-agent.service'

describe('the files of the service', () => {
  test.each([
    ['runtime-agent.service', SERVICE],
    ['runtime-agent-online.service', 'runtime-agent-online.service'],
    ['runtime-agent-hooks.path', 'runtime-agent-hooks.path'],
    ['runtime-agent-hooks.service', 'runtime-agent-hooks.service'],
    ['sysusers.d/runtime-agent.conf', 'sysusers.d'],
    ['tmpfiles.d/runtime-agent.conf', 'tmpfiles.d'],
  ])('deploy/systemd/%s is what is made from deploy/agent.example.yaml', (file, name) => {
    const path = join(ROOT, 'deploy/systemd', file)
    const content = made(example)[name]!
    if (process.env['UPDATE_REFERENCE'] !== undefined) {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, content)
    }
    expect(readFileSync(path, 'utf8')).toBe(content)
  })

  test('let the service write where agent.yaml says, as a member of the groups of readers', () => {
    const files = made(`
version: 1
identity: {directory: /srv/agent state}
connector: {token: {credential: token}, ca: {credential: ca}}
targets:
  - {kind: files, directory: /var/lib/runtime-agent/out, group: apps}
  - {kind: files, name: b, directory: '/srv/50%', group: apps}
  - {kind: files, name: c, directory: /srv/c, group: '4711'}
`)
    const service = files[SERVICE]
    expect(values(service, 'ReadWritePaths')).toEqual([
      '/var/lib/runtime-agent "/srv/agent state" /srv/50%% /srv/c',
    ])
    expect(values(service, 'SupplementaryGroups')).toEqual(['4711 apps'])
    expect(values(service, 'LoadCredential')).toEqual(['token', 'ca'])
    expect(files['sysusers.d']).toContain('\ng apps -\nm runtime-agent apps\n')
    expect(files['sysusers.d']).not.toContain('4711')
    expect(files['tmpfiles.d']!.split('\n').slice(1, -1)).toEqual([
      'd /var/lib/runtime-agent 0711 runtime-agent runtime-agent',
      'd "/srv/agent state" 0700 runtime-agent runtime-agent',
      'd "/srv/agent state/hooks" 0700 runtime-agent runtime-agent',
      'd /var/lib/runtime-agent-hooks 0755 root root',
      'd /var/lib/runtime-agent/out 2750 runtime-agent apps',
      'd /srv/50%% 2750 runtime-agent apps',
      'd /srv/c 2750 runtime-agent 4711',
      'd /etc/runtime-agent 0750 root runtime-agent',
      'z /etc/runtime-agent/agent.yaml 0640 root runtime-agent',
    ])
  })

  test('let the service write among the resources of daprd without making them its own', () => {
    const files = made(`version: 1
targets: [{kind: dapr, resources: /etc/dapr/resources, secrets: /srv/dapr, group: daprd}]`)
    expect(files['runtime-agent.service']).toMatch(
      /^ReadWritePaths=\/var\/lib\/runtime-agent \/srv\/dapr \/etc\/dapr\/resources$/m,
    )
    expect(files['runtime-agent.service']).toContain('SupplementaryGroups=daprd')
    const [, tmpfiles = ''] =
      Object.entries(files).find(([name]) => name.includes('tmpfiles.d')) ?? []
    expect(tmpfiles).toContain('d /srv/dapr 2750 runtime-agent daprd')
    expect(tmpfiles).toContain('a+ /etc/dapr/resources - - - - u:runtime-agent:rwx')
    expect(tmpfiles).not.toContain('d /etc/dapr')
  })

  test('start commands of onChange as root, when the agent asks in its state directory, and tell the agent so', () => {
    const files = made('version: 1\nidentity: {directory: "/srv/agent 5%"}\n')
    expect(values(files[SERVICE], 'Wants')).toEqual(['runtime-agent-hooks.path'])
    expect(values(files[SERVICE], 'Environment')).toEqual([
      'RUNTIME_AGENT_HOOKS=/var/lib/runtime-agent-hooks',
    ])
    const path = files['runtime-agent-hooks.path']
    expect(values(path, 'DirectoryNotEmpty')).toEqual(['/srv/agent 5%%/hooks'])
    const service = files['runtime-agent-hooks.service']
    expect(values(service, 'User')).toEqual([])
    expect(values(service, 'ExecStart')).toEqual([
      `/usr/local/bin/agent hooks run --config ${CONFIG} --requests "/srv/agent 5%%/hooks" --outcomes /var/lib/runtime-agent-hooks`,
    ])
  })

  test('see home directories only when something is in one', () => {
    const home = 'version: 1\nconnector: {token: {file: /home/op/token}}\n'
    expect(values(made('version: 1\n')[SERVICE], 'ProtectHome')).toEqual(['yes'])
    expect(values(made(home)[SERVICE], 'ProtectHome')).toEqual(['read-only'])
  })

  test.each([
    'version: 1\nidentity: {directory: /tmp/state}\n',
    'version: 1\ntargets: [{kind: files, directory: /var/tmp/out}]\n',
  ])('are refused for %j, which the service would not see', (text) => {
    expect(() => made(text)).toThrow('is in a temporary directory')
  })

  test('write words of a command as systemd reads them', () => {
    const [start] = values(made('version: 1\n', '/opt/a $b "c" 5%/agent')[SERVICE], 'ExecStart')
    expect(start).toBe(
      String.raw`"/opt/a $$b \"c\" 5%%/agent" run --config /etc/runtime-agent/agent.yaml`,
    )
  })
})

describe('systemd', () => {
  const texts = {
    'the example': example,
    'several targets': `version: 1
connector: {token: {credential: token}}
targets: [{kind: files, directory: "/srv/a b", group: apps}]
`,
  }

  withAnalyze.each(Object.entries(texts))('finds nothing wrong in the units of %s', (_, text) => {
    // It looks whether the program is there; where this test lies may be a temporary directory.
    const files = made(text, '/bin/sh')
    const units = Object.keys(files).filter((name) => /\.(service|path)$/.test(name))
    for (const name of units) writeFileSync(join(scratch, name), files[name]!)
    const verify = Bun.spawnSync(['systemd-analyze', 'verify', '--man=no', ...units], {
      cwd: scratch,
      env: { PATH: process.env['PATH'] ?? '', SYSTEMD_UNIT_PATH: `${scratch}:` },
    })
    expect(verify.stderr.toString()).not.toContain('runtime-agent')
    expect(verify.exitCode).toBe(0)
  })

  withTools('makes user, groups and directories as its files say', () => {
    const root = join(scratch, 'root')
    const files = made(`version: 1
identity: {directory: /srv/agent state}
targets: [{kind: files, directory: "/srv/50%", group: apps}]
`)
    for (const name of ['sysusers.d', 'tmpfiles.d']) {
      mkdirSync(join(root, 'etc', name), { recursive: true })
      writeFileSync(join(root, 'etc', name, 'runtime-agent.conf'), files[name]!)
    }
    mkdirSync(join(root, 'etc/runtime-agent'))
    writeFileSync(join(root, CONFIG), 'version: 1\n', { mode: 0o644 })
    for (const argv of [['systemd-sysusers'], ['systemd-tmpfiles', '--create']]) {
      const { exitCode, stderr } = Bun.spawnSync([...argv, `--root=${root}`])
      expect(exitCode, stderr.toString()).toBe(0)
    }
    const idIn = (file: string, name: string): number => {
      const lines = readFileSync(join(root, 'etc', file), 'utf8').split('\n')
      return Number(lines.find((line) => line.startsWith(`${name}:`))?.split(':')[2])
    }
    const own = [idIn('passwd', 'runtime-agent'), idIn('group', 'runtime-agent')] as const
    const seen = (path: string): unknown[] => {
      const { mode, uid, gid } = statSync(join(root, path))
      return [(mode & 0o7777).toString(8), uid, gid]
    }
    expect(readFileSync(join(root, 'etc/group'), 'utf8')).toMatch(/^apps:x:\d+:runtime-agent$/m)
    expect(seen('/var/lib/runtime-agent')).toEqual(['711', ...own])
    expect(seen('/srv/agent state')).toEqual(['700', ...own])
    expect(seen('/srv/50%')).toEqual(['2750', own[0], idIn('group', 'apps')])
    expect(seen('/etc/runtime-agent')).toEqual(['750', 0, own[1]])
    expect(seen(CONFIG)).toEqual(['640', 0, own[1]])
  })

  withAnalyze.each(Object.entries(texts))('rates the exposure of %s 1.3 at most', (_, text) => {
    const files = made(text)
    for (const name of [SERVICE, 'runtime-agent-online.service']) {
      writeFileSync(join(scratch, name), files[name]!)
      const rated = Bun.spawnSync(
        ['systemd-analyze', 'security', '--offline=true', '--threshold=13', join(scratch, name)],
        { env: { PATH: process.env['PATH'] ?? '' } },
      )
      expect(rated.stdout.toString()).toMatch(/exposure level for .*: 1\.[0-3] /)
      expect(rated.exitCode).toBe(0)
    }
  })
})
