import { describe, expect, test } from 'bun:test'
import { MAX_CONFIG_BYTES } from '../../src/config/check.ts'
import { configOf, filesOf, problemsOf, warningsOf } from './agent.ts'

const files = (more: string) => `version: 1\ntargets:\n  - kind: files\n    directory: out\n${more}`

describe('a valid agent.yaml', () => {
  test('needs only its version; all else has a default', () => {
    const { connector, director, identity, guard, targets, status, ...rest } =
      configOf('version: 1')
    expect(connector.token).toEqual({ from: 'file', file: '/etc/runtime-agent/token' })
    expect(director).toEqual({ interval: 180_000, instanceAuths: 'never' })
    expect(identity).toEqual({ store: 'disk', directory: '/var/lib/runtime-agent/state' })
    expect(guard).toEqual({
      ordinary: { count: 5, percent: 20 },
      massDeletion: 'hold',
      credentialsGrace: 86_400_000,
    })
    expect(targets).toEqual([])
    expect(status.listen).toEqual({ host: '127.0.0.1', port: 8090 })
    expect(rest).toEqual({
      version: 1,
      name: 'default',
      runtime: {},
      labels: { custom: {} },
      renewal: { threshold: 0.3, windows: [] },
      kubernetes: {},
      log: { level: 'info', format: 'auto' },
      insecureSkipVerify: false,
    })
  })

  test('takes relative paths from the directory of the file', () => {
    const config = configOf(
      files('identity: {directory: ./state/}\nconnector: {token: {file: ../token}}'),
    )
    expect(config.identity.directory).toBe('/etc/agent/state')
    expect(filesOf(config)[0]?.directory).toBe('/etc/agent/out')
    expect(config.connector.token).toEqual({ from: 'file', file: '/etc/token' })
  })

  test('names a target after its kind, and gives its hooks their defaults', () => {
    const [target] = filesOf(configOf(files('    onChange: [{command: [reload, "5"]}]')))
    expect(target?.name).toBe('files')
    expect(target?.onChange).toEqual([
      { bindings: ['*'], command: ['reload', '5'], timeout: 30_000 },
    ])
  })

  test.each([
    ['hold', 'hold'],
    ['off', 'off'],
    ['{after: 24h}', { after: 86_400_000 }],
  ])('guard.massDeletion: %s', (yaml, expected) => {
    expect(configOf(`version: 1\nguard: {massDeletion: ${yaml}}`).guard.massDeletion).toEqual(
      expected as never,
    )
  })

  test('opens no port with status.listen: off', () => {
    expect(configOf('version: 1\nstatus: {listen: off}').status.listen).toBeUndefined()
  })

  test('keeps labels as the JSON that they are', () => {
    const text =
      'version: 1\nlabels: {custom: {team: orders, n: 5, tags: [a, null], on: true, deep: {x: 1.5}}}'
    expect(configOf(text).labels.custom).toEqual({
      team: 'orders',
      n: 5,
      tags: ['a', null],
      on: true,
      deep: { x: 1.5 },
    })
  })

  test('may be JSON, begin with a byte order mark, and end its lines with CR LF', () => {
    expect(configOf('{"version": 1, "name": "a"}').name).toBe('a')
    expect(configOf('\uFEFFversion: 1\r\nname: a\r\n').name).toBe('a')
  })

  test('may repeat a part by an alias', () => {
    const text = files('    onChange: [&h {command: [x]}, *h]')
    expect(filesOf(configOf(text))[0]?.onChange).toHaveLength(2)
  })

  test('warns of what is allowed and dangerous', () => {
    const text = [
      'version: 1',
      'insecureSkipVerify: true',
      'status: {listen: "0.0.0.0:8090"}',
      'guard: {massDeletion: off}',
      'connector: {token: {env: NOT_SET}, ca: {credential: ca}}',
    ]
    expect(warningsOf(text.join('\n'))).toEqual([
      '2:21: insecureSkipVerify: TLS servers are not verified: anybody on the way can read and change everything',
      '3:18: status.listen: other machines can read the status without login',
      '4:23: guard.massDeletion: nothing stops a fault elsewhere from emptying this runtime',
      '5:20: connector.token: the variable NOT_SET is not set here',
      '5:40: connector.ca: CREDENTIALS_DIRECTORY is not set here: credentials exist only in a unit of systemd with LoadCredential=',
    ])
  })
})

describe('a wrong agent.yaml', () => {
  test('is told all that is wrong at once, in the order of the file', () => {
    const text = `version: 1
nam: a
connector:
  url: http://connector.example/graphql
director: {interval: 3, instanceAuths: request}
targets:
  - kind: files
    directory: 7
  - {kind: files, directory: /x, onChange: [{command: [], timeout: 2h}]}
log: loud`
    expect(problemsOf(text)).toEqual([
      '2:1: nam: unknown key, did you mean name?',
      '4:8: connector.url: found "http://connector.example/graphql", want an https:// URL (http:// only for this machine)',
      '5:22: director.interval: found 3, want a length of time such as 30s, 3m or 24h, from 1s to 1d',
      '5:40: director.instanceAuths: found "request", want never (request is not in this version yet)',
      '8:16: targets[0].directory: found 7, want a directory path',
      '9:12: targets[1].kind: targets[0] has the name "files" already, want another name (a target without a name has that of its kind)',
      '9:55: targets[1].onChange[0].command: found an empty list, want a list: the program and its arguments',
      '9:68: targets[1].onChange[0].timeout: found "2h", want a length of time such as 30s, 3m or 24h, from 1s to 1h',
      '10:6: log: found "loud", want a section with level, format',
    ])
  })

  test.each([
    ['', '1:1: holds nothing, want at least version: 1'],
    ['# only a comment\n', '1:1: holds nothing, want at least version: 1'],
    ['name: a', '1:1: version: missing, want the number 1'],
    ['version: 2', '1:10: version: found 2, want the number 1'],
    ['version: "1"', '1:10: version: found "1", want the number 1'],
    ['- a', '1:1: found a list, want a section with keys'],
    ['agent', '1:1: found "agent", want a section with keys'],
    ['version: 1\nlog:', '2:1: log: found nothing, want a section with level, format'],
    ['version: 1\nlog: []', '2:6: log: found an empty list, want a section with level, format'],
    ['version: 1\ntargets: {}', '2:10: targets: found an empty section, want a list of targets'],
    [
      'version: 1\ntargets: [[]]',
      '2:11: targets[0].kind: missing, want files, kyma, kubernetes or dapr',
    ],
    [
      'version: 1\ntargets: [{kind: files}]',
      '2:11: targets[0].directory: missing, want a directory path',
    ],
    [
      'version: 1\nname: Not_A_Name',
      '2:7: name: found "Not_A_Name", want a name of lower-case letters, digits and -, at most 63',
    ],
    [
      'version: 1\nrenewal: {windows: [Sat]}',
      '2:21: renewal.windows[0]: found "Sat", want a window such as "Sat 02:00-04:00 UTC"',
    ],
    [
      'version: 1\nrenewal: {threshold: .inf}',
      '2:22: renewal.threshold: found .inf, want a number from 0.05 to 0.95',
    ],
    [
      'version: 1\nguard: {ordinary: {count: 1.5}}',
      '2:27: guard.ordinary.count: found 1.5, want a whole number from 0 to 100000',
    ],
    [
      'version: 1\nguard: {massDeletion: {after: 1s}}',
      '2:31: guard.massDeletion.after: found "1s", want a length of time such as 30s, 3m or 24h, from 1m to 365d',
    ],
    [
      'version: 1\nguard: {massDeletion: false}',
      '2:23: guard.massDeletion: found false, want hold or off',
    ],
    [
      'version: 1\nproxy: {}',
      '2:8: proxy.url: missing, want a URL such as http://proxy.example:3128',
    ],
    [
      'version: 1\nstatus: {listen: 8090}',
      '2:18: status.listen: found 8090, want an address such as 127.0.0.1:8090, or off',
    ],
    [
      'version: 1\nidentity: {directory: ~/x}',
      '2:23: identity.directory: found "~/x", want a directory path (~ is not expanded)',
    ],
    [
      'version: 1\nidentity: {directory: /..}',
      '2:23: identity.directory: found "/..", want a directory path other than /',
    ],
  ])('%j', (text, problem) => {
    expect(problemsOf(text)).toEqual([problem])
  })

  test('shows at most sixty characters of what it found, on one line', () => {
    const [problem] = problemsOf(`version: 1\nname: "${'x'.repeat(500)}\\n"`)
    expect(problem).toContain(`"${'x'.repeat(60)}…"`)
    const [key] = problemsOf('version: 1\n"a\\nb": 1')
    expect(key).toStartWith('2:1: ["a\\nb"]: unknown key')
  })

  test('shows no password of a URL, and nothing of proxy.url', () => {
    const all = problemsOf(
      'version: 1\nconnector: {url: "https://u:p@ss/w@connector.example"}\nproxy: {url: "ftp://u:pass@x"}',
    )
    expect(all).toHaveLength(2)
    expect(all.join()).not.toMatch(/p@ss|pass@/)
  })

  test.each(['broker: {listen: "127.0.0.1:1"}'])('%s is of a coming version', (part) => {
    const key = part.split(':')[0]
    expect(problemsOf(`version: 1\n${part}`)).toEqual([`2:1: ${key}: not in this version yet`])
  })

  test('a target of kind cloudfoundry is of a coming version', () => {
    expect(problemsOf('version: 1\ntargets: [{kind: cloudfoundry, namespace: x}]')).toEqual([
      '2:18: targets[0].kind: found "cloudfoundry", want files, kyma, kubernetes or dapr (cloudfoundry is not in this version yet)',
    ])
  })
})

describe('labels', () => {
  test.each([
    ['scenarios: [DEFAULT]', 'another key: Compass keeps the formations in scenarios'],
    ['isNormalized: "true"', 'another key: isNormalized changes the names of all applications'],
    ['runtime_consoleUrl: x', 'labels.consoleUrl instead'],
    ['runtime_eventServiceUrl: x', 'labels.eventGatewayUrl instead'],
    ['a-b: x', 'a label key of letters, digits and _, at most 256'],
    [`${'k'.repeat(257)}: x`, 'a label key of letters, digits and _, at most 256'],
    ['ok: null', 'any value but null'],
    ['ok: [.nan]', 'any value but null'],
  ])('refuses %s', (label, want) => {
    const [problem, ...more] = problemsOf(`version: 1\nlabels: {custom: {${label}}}`)
    expect(more).toEqual([])
    expect(problem).toEndWith(`, want ${want}`)
  })

  test.each(['__proto__', 'constructor', 'prototype'])(
    'refuses the key %s instead of losing it',
    (key) => {
      expect(problemsOf(`version: 1\nlabels: {custom: {${key}: x}}`)).toEqual([
        `2:19: labels.custom.${key}: this key cannot be used`,
      ])
    },
  )

  test.each([
    'http://gateway.example',
    'https://user@gateway.example',
    'https://gateway.example/#x',
    'ftp://gateway.example',
    'gateway.example',
    'http://127.0.0.1.example',
  ])('refuses the URL %s', (url) => {
    expect(problemsOf(`version: 1\nlabels: {consoleUrl: "${url}"}`)).toHaveLength(1)
  })

  test.each([
    'https://gateway.example/x?y=z',
    'http://localhost:1',
    'http://127.0.0.1:8080',
    'http://[::1]:1/',
  ])('takes the URL %s', (url) => {
    expect(configOf(`version: 1\nlabels: {consoleUrl: "${url}"}`).labels.consoleUrl).toBe(url)
  })
})

describe('directories', () => {
  const two = (state: string, out: string, other = '/other') =>
    `version: 1\nidentity: {directory: ${state}}\ntargets:\n- {kind: files, directory: ${out}}\n- {kind: files, name: b, directory: ${other}}`

  test('an output directory below the state directory is refused, and the reverse', () => {
    expect(problemsOf(two('/var/x', '/var/x/out'))).toEqual([
      '4:28: targets[0].directory: /var/x/out lies below the state directory (/var/x), want a directory apart from it',
    ])
    expect(problemsOf(two('/var/x/state', '/var/x'))).toEqual([
      '4:28: targets[0].directory: /var/x lies above the state directory (/var/x/state), want a directory apart from it',
    ])
  })

  test('the state directory counts also when it is the default one', () => {
    expect(
      problemsOf('version: 1\ntargets: [{kind: files, directory: /var/lib/runtime-agent}]'),
    ).toHaveLength(1)
  })

  test('two targets cannot share a directory, however it is written', () => {
    expect(problemsOf(two('/state', '/out', '/x/../out/'))).toEqual([
      '5:37: targets[1].directory: /out is also targets[0].directory (/out), want a directory apart from it',
    ])
    expect(problemsOf(two('/state', '/out', '/out/b'))).toHaveLength(1)
  })

  test('directories side by side are fine, also when one name begins with the other', () => {
    expect(problemsOf(two('/var/agent', '/var/agent-out', '/var/agent-out2'))).toEqual([])
  })

  test('contradictions are named beside other problems', () => {
    const problems = problemsOf(`${two('/var/x', '/var/x')}\nlog: {level: loud}`)
    expect(problems).toHaveLength(2)
  })
})

describe('size', () => {
  test('a file above 1 MiB is refused unread', () => {
    expect(problemsOf(`version: 1\n#${'ä'.repeat(MAX_CONFIG_BYTES / 2)}`)).toEqual([
      '1:1: is larger than 1 MiB',
    ])
  })

  test('a large file of nonsense has every line of it named', () => {
    const text = `version: 1\n${Array.from({ length: 20_000 }, (_, i) => `key${i}: x`).join('\n')}`
    expect(problemsOf(text)).toHaveLength(20_000)
  })
})
