/** Programs of others that read what the target publishes, as docs/consume.md tells them to. Units are booted by test/nspawn. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { parseConfig } from '../../src/config/parse.ts'
import { bindingName } from '../../src/model/names.ts'
import { application, basic, bundle, desired } from '../model/samples.ts'
import { skipUnless } from '../skip.ts'
import { ROOT } from '../source.ts'
import { Output } from '../targets/output.ts'
import { pass } from '../targets/target.contract.ts'

const EXAMPLES = join(ROOT, 'deploy/systemd/examples')
const units = fs
  .readdirSync(EXAMPLES)
  .filter((name) => name.endsWith('.service'))
  .sort()
const read = (...path: string[]): string => fs.readFileSync(join(...path), 'utf8')
const page = read(ROOT, 'docs/consume.md')

describe('docs/consume.md', () => {
  test.each([...units, 'agent.yaml'])('prints deploy/systemd/examples/%s', (name) => {
    expect(page).toContain(`\n${read(EXAMPLES, name)}\`\`\`\n`)
  })

  test('prints an agent.yaml that is right, and that tells every unit of its bindings', () => {
    const given = { file: 'agent.yaml', cwd: '/etc/runtime-agent', env: () => undefined }
    const { config, problems } = parseConfig(read(EXAMPLES, 'agent.yaml'), given)
    expect(problems).toBeUndefined()
    const [target] = config!.targets
    const told = target?.kind === 'files' ? target.onChange.flatMap((one) => one.command) : []
    expect(told.filter((word) => word.endsWith('.service')).sort()).toEqual(units)
  })
})

const withAnalyze = skipUnless(Bun.which('systemd-analyze') !== null, {
  why: 'systemd-analyze is not installed',
  how: 'apt-get install systemd',
})

withAnalyze('systemd finds nothing wrong in the units', () => {
  for (const name of units) {
    const copy = join(output.base, name)
    // It looks whether the program is there.
    fs.writeFileSync(copy, read(EXAMPLES, name).replaceAll('/usr/local/bin/orders', '/bin/sh'))
    fs.copyFileSync(
      join(ROOT, 'deploy/systemd/runtime-agent-online.service'),
      join(output.base, 'runtime-agent-online.service'),
    )
    const { stderr, status } = spawnSync('systemd-analyze', ['verify', '--man=no', copy], {
      encoding: 'utf8',
    })
    expect(stderr.split('\n').filter((line) => line.includes(name))).toEqual([])
    expect(status, stderr).toBe(0)
  }
})

/** All that shells, quotes and line ends could spoil. */
const PASSWORD = "a b\"c\\d`e\nsecond line 'f' # ; ä🦊 $HOME $(id) %s"
const orders = bindingName('crm', { id: 'b1', name: 'orders' })
const parsable = PASSWORD.replaceAll('$', '')

const output = new Output()
afterAll(() => output.remove())
beforeAll(async () => {
  const bundles = [
    bundle('b1', { name: 'orders', auth: basic('user', PASSWORD) }),
    bundle('b2', { name: 'plain', auth: basic('user', parsable) }),
  ]
  const crm = application('a', { name: 'crm', providerName: 'vendor', bundles })
  await pass(output.open({ config: { vcap: true } }), desired([crm]))
})

const LIBRARIES = join(ROOT, '.cache/python')
const python = Bun.which('python3')
const runPython = (script: string, env: Record<string, string>) =>
  spawnSync(python ?? '', ['-c', script], {
    encoding: 'utf8',
    env: { PYTHONPATH: LIBRARIES, PYTHONIOENCODING: 'utf-8', ...env },
  })
const canRead = python !== null && runPython('import cfenv, pyservicebinding', {}).status === 0
const withPython = skipUnless(canRead, {
  why: 'the binding libraries of Python are not installed',
  how: 'python3 -m pip install --no-deps --require-hashes --target .cache/python -r test/consumers/requirements.txt',
})

describe('Python', () => {
  withPython('reads bindings below SERVICE_BINDING_ROOT with pyservicebinding', () => {
    const script = `
import json
from pyservicebinding import binding
found = binding.ServiceBinding().bindings('ucl-api', 'vendor')
print(json.dumps(sorted(one['password'] for one in found)))
print(json.dumps(len(binding.ServiceBinding().bindings('ucl-api', 'another'))))`
    const root = output.path('current/bindings')
    const { stdout, stderr } = runPython(script, { SERVICE_BINDING_ROOT: root })
    expect(stderr).toBe('')
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([[PASSWORD, parsable].sort(), 0])
  })

  withPython('reads the one JSON file with cfenv, by the line of the page', () => {
    const line = /^ExecStart=\/bin\/sh -c '(VCAP_SERVICES=.*)'$/m.exec(page)?.[1] ?? ''
    const script = `
import json, cfenv
one = cfenv.AppEnv().get_service(name='${orders}')
print(json.dumps([one.credentials['password'], one.env['label'], one.env['tags']]))`
    // systemd makes one of two, and the program of the page is python3 here.
    const command = line.replaceAll('$$', '$').replace('/usr/local/bin/orders', 'python3 -c "$0"')
    const { stdout, stderr } = spawnSync('/bin/sh', ['-c', command, script], {
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'] ?? '',
        PYTHONPATH: LIBRARIES,
        VCAP_SERVICES_FILE_PATH: output.path('current/vcap_services.json'),
      },
    })
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toEqual([PASSWORD, 'ucl-api', ['ucl-api', 'vendor']])
  })
})

const GENERATOR = 'systemd/user-environment-generators/30-systemd-environment-d-generator'
const generator = ['/usr/lib', '/lib'].map((lib) => join(lib, GENERATOR)).find(fs.existsSync)

/**
 * The one program of systemd that runs its parser of EnvironmentFile= without being the first process. It expands variables
 * afterwards, which EnvironmentFile= does not: so no `$` here, and test/nspawn for those.
 */
const withParser = skipUnless(generator !== undefined, {
  why: 'the generator of environment.d is not installed',
  how: 'apt-get install systemd',
})

withParser("systemd's own parser reads env/<binding>.env as it was meant", () => {
  const name = bindingName('crm', { id: 'b2', name: 'plain' })
  fs.mkdirSync(join(output.base, 'environment.d'))
  fs.copyFileSync(
    output.path(`current/env/${name}.env`),
    join(output.base, 'environment.d/binding.conf'),
  )
  const env = { XDG_CONFIG_HOME: output.base, HOME: '/nonexistent' }
  const { stdout, stderr } = spawnSync(generator ?? '', { encoding: 'utf8', env })
  expect(stderr).toBe('')
  const variable = `${name.replaceAll('-', '_').toUpperCase()}_PASSWORD`
  // It prints with the escapes of C, in quotes when there are some.
  const shown = new RegExp(`^${variable}="(.*)"$`, 'm').exec(stdout)?.[1]
  const plain = shown?.replace(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one))
  expect(plain).toBe(parsable)
})
