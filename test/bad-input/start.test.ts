import { beforeAll, describe, expect } from 'bun:test'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { openHome } from '../e2e/support/agent-home.ts'
import type { AgentHome } from '../e2e/support/agent-home.ts'
import { ensureExecutable, finish, onExecutable as run, SLOW } from '../e2e/support/program.ts'
import { onlyMessage } from './support/message.ts'
import { asNobody, giveToNobody, withoutRights } from './support/privilege.ts'

beforeAll(() => ensureExecutable(), SLOW)

/** `agent run` with this agent.yaml, which it must refuse without touching anything. */
async function refused(text: string | Uint8Array, home: AgentHome = openHome({})) {
  writeFileSync(home.path('agent.yaml'), text)
  const before = readdirSync(home.directory)
  const ended = await home.run('run')
  expect(readdirSync(home.directory)).toEqual(before)
  return { code: ended.code, ...{ message: onlyMessage(ended) } }
}

describe('an agent.yaml that cannot be used ends with 2, before anything is touched:', () => {
  run('there is none', async () => {
    const home = openHome({})
    const ended = await finish(['run'], { cwd: home.path('..') })
    expect(ended.code).toBe(2)
    const { text, code, hint } = onlyMessage(ended)
    expect(text).toBe('Cannot use the configuration agent.yaml: there is no such file')
    expect(code).toBe('config_missing')
    expect(hint).toContain('--config')
  })

  run('it is a directory', async () => {
    const home = openHome({})
    mkdirSync(home.path('conf'))
    const ended = await finish(['--config', 'conf'], { cwd: home.directory })
    expect(ended.code).toBe(2)
    expect(onlyMessage(ended)).toMatchObject({ code: 'config_invalid' })
  })

  run('it is a pipe, a device without end, or a symlink to itself', async () => {
    const home = openHome({})
    const at = home.path('agent.yaml')
    for (const [make, why] of [
      [() => void spawnSync('mkfifo', [at]), 'it is a named pipe'],
      [() => symlinkSync('/dev/zero', at), 'larger than 2097152 bytes'],
      [() => symlinkSync('agent.yaml', at), 'too many symbolic links encountered (ELOOP)'],
    ] as const) {
      rmSync(at)
      make()
      const ended = await home.run('run')
      expect([ended.code, onlyMessage(ended)]).toMatchObject([2, { code: 'config_invalid' }])
      expect(onlyMessage(ended).text).toContain(why)
      expect(existsSync(home.path('state'))).toBe(false)
    }
  })

  run('it is no YAML', async () => {
    const { code, message } = await refused('version: 1\ntargets: [{kind: files\n')
    expect(code).toBe(2)
    expect(message.code).toBe('config_invalid')
    expect(message.text).toMatch(/agent\.yaml:\d+:\d+: /)
  })

  run.each([
    ['empty', ''],
    ['binary', new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0, 0, 0xff, 0xfe])],
    ['larger than any configuration', `# ${'x'.repeat(1_100_000)}\nversion: 1\n`],
    [
      'an alias bomb',
      `a: &a [x]\n${Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [${`*${i === 0 ? 'a' : `b${i - 1}`},`.repeat(9)}]`).join('\n')}`,
    ],
    ['two documents', 'version: 1\n---\nversion: 1\n'],
  ])('it is %s', async (_name, text) => {
    const { code, message } = await refused(text)
    expect([code, message.code]).toEqual([2, 'config_invalid'])
    expect(message.text.length).toBeLessThan(20_000)
  })

  run('it holds seven mistakes: all are named in one message, each with its place', async () => {
    const { code, message } = await refused(
      [
        'version: 2',
        'runtme: {id: x}',
        'connector: {url: ftp://x, token: {file: t, env: T}}',
        'director: {interval: 3 weeks}',
        'targets:',
        '  - {kind: files, directory: 7}',
        '  - {kind: kyna}',
        'log: {level: loud}',
      ].join('\n'),
    )
    expect(code).toBe(2)
    const lines = message.text.split('\n').slice(1)
    expect(lines.length).toBeGreaterThanOrEqual(7)
    for (const line of lines) expect(line).toMatch(/^ {2}\S*agent\.yaml:\d+:\d+: .+/)
    expect(message.text).toContain('did you mean')
  })

  run('the output lies below the state directory, or is it', async () => {
    for (const directory of ['state/out', 'state', '.']) {
      const home = openHome({})
      home.configure({ targets: [{ kind: 'files', directory }] })
      const ended = await home.run('run')
      expect(ended.code).toBe(2)
      expect(onlyMessage(ended).text).toMatch(/want a directory apart from it/)
      expect(existsSync(home.path('state'))).toBe(false)
    }
  })

  run('connector.ca names a file that is missing, or that holds no certificate', async () => {
    const home = openHome({ ca: 'nowhere.pem' })
    const missing = await home.run('run')
    expect([missing.code, onlyMessage(missing)]).toMatchObject([2, { code: 'config_invalid' }])
    expect(onlyMessage(missing).text).toContain('nowhere.pem')
    writeFileSync(
      home.path('nowhere.pem'),
      '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n',
    )
    const nonsense = await home.run('run')
    expect([nonsense.code, onlyMessage(nonsense)]).toMatchObject([2, { code: 'config_invalid' }])
    rmSync(home.path('nowhere.pem'))
    spawnSync('mkfifo', [home.path('nowhere.pem')])
    const pipe = await home.run('run')
    expect([pipe.code, onlyMessage(pipe)]).toMatchObject([2, { code: 'config_invalid' }])
    expect(onlyMessage(pipe).text).toContain('it is no file')
    expect(existsSync(home.path('state'))).toBe(false)
  })

  run('the state directory has a path that is too long for the control socket', async () => {
    const home = openHome({})
    home.configure({ identity: { directory: `state/${'deep/'.repeat(20)}` } })
    const ended = await home.run('run')
    expect([ended.code, onlyMessage(ended)]).toMatchObject([2, { code: 'config_invalid' }])
    expect(onlyMessage(ended).text).toMatch(/control socket/)
    expect((await home.run('check')).code).toBe(2)
    expect(existsSync(home.path('state'))).toBe(false)
  })

  withoutRights('it may not be read', async () => {
    const home = openHome({})
    giveToNobody(home.directory)
    chmodSync(home.path('agent.yaml'), 0)
    const ended = await finish(['--config', 'agent.yaml'], { cwd: home.directory, wrap: asNobody })
    expect([ended.code, onlyMessage(ended)]).toMatchObject([2, { code: 'config_invalid' }])
    expect(onlyMessage(ended).text).toContain('EACCES')
  })
})

describe('a state directory that cannot be used ends with 1, and nothing is lost:', () => {
  run('it is a file, or lies below one', async () => {
    for (const directory of ['token', 'token/state']) {
      const home = openHome({})
      home.giveToken('x')
      home.configure({ identity: { directory } })
      const ended = await home.run('run')
      expect([ended.code, onlyMessage(ended)]).toMatchObject([1, { code: 'state_unusable' }])
      expect(onlyMessage(ended).text).toContain(home.path(directory))
    }
  })

  run('it is a symlink that leads nowhere, or to itself', async () => {
    for (const target of ['/nonexistent/place', 'state']) {
      const home = openHome({})
      symlinkSync(target, home.path('state'))
      const ended = await home.run('run')
      expect([ended.code, onlyMessage(ended)]).toMatchObject([1, { code: 'state_unusable' }])
    }
  })

  run('its lock, its key or its state is a directory', async () => {
    for (const name of ['lock', 'digest.key', 'state.json']) {
      const home = openHome({})
      mkdirSync(home.path('state'), { mode: 0o700 })
      mkdirSync(home.path('state', name))
      const ended = await home.run('run')
      expect([name, ended.code, onlyMessage(ended)]).toMatchObject([
        name,
        1,
        { code: 'state_unusable' },
      ])
      expect(onlyMessage(ended).text).toContain(home.path('state'))
    }
  })

  withoutRights('it may not be made or looked into', async () => {
    const start = (home: AgentHome) =>
      finish(['--config', 'agent.yaml'], { cwd: home.directory, wrap: asNobody })
    const unmakable = openHome({})
    giveToNobody(unmakable.directory)
    chmodSync(unmakable.directory, 0o555)
    const closed = openHome({})
    mkdirSync(closed.path('state'))
    writeFileSync(closed.path('state/digest.key'), 'x')
    giveToNobody(closed.directory)
    chmodSync(closed.path('state'), 0)
    for (const home of [unmakable, closed]) {
      const ended = await start(home)
      expect([ended.code, onlyMessage(ended)]).toMatchObject([1, { code: 'state_unusable' }])
      expect(onlyMessage(ended).text).toContain(home.path('state'))
    }
  })

  withoutRights('it belongs to somebody else', async () => {
    const home = openHome({})
    chmodSync(home.directory, 0o755)
    chmodSync(home.path('agent.yaml'), 0o644)
    mkdirSync(home.path('state'), { mode: 0o755 })
    if (asNobody.length === 0) return
    const ended = await finish(['--config', 'agent.yaml'], { cwd: home.directory, wrap: asNobody })
    expect([ended.code, onlyMessage(ended)]).toMatchObject([1, { code: 'state_unusable' }])
  })
})
