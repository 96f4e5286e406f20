import { describe, expect, test } from 'bun:test'
import { Secret } from '../../src/model/secret.ts'
import type { ValueReaders, ValueSource } from '../../src/config/value.ts'
import { describeSource, resolveValue } from '../../src/config/value.ts'
import { configOf, problemsOf } from './agent.ts'

function readers(files: Record<string, string>, env: Record<string, string> = {}): ValueReaders {
  return {
    file: (path) => Promise.resolve(files[path]),
    env: (name) => env[name],
    secret: ({ namespace, name, key }) => Promise.resolve(files[`${namespace}/${name}/${key}`]),
  }
}

const token = (yaml: string) => configOf(`version: 1\nconnector: {token: ${yaml}}`).connector.token

describe('value source', () => {
  test('is read from the value, a file, a variable, a credential of systemd or a Secret', async () => {
    const surroundings = readers(
      {
        '/etc/agent/token': 'from-file\n',
        '/run/credentials/x/token': 'from-systemd',
        'kyma-system/x.y/TOKEN': 'from-cluster',
      },
      { TOKEN: ' from-env ', CREDENTIALS_DIRECTORY: '/run/credentials/x' },
    )
    const read = async (yaml: string) => (await resolveValue(token(yaml), surroundings))?.reveal()
    expect(await read('{value: here}')).toBe('here')
    expect(await read('{file: token}')).toBe('from-file')
    expect(await read('{env: TOKEN}')).toBe('from-env')
    expect(await read('{credential: token}')).toBe('from-systemd')
    expect(await read('{secret: kyma-system/x.y/TOKEN}')).toBe('from-cluster')
  })

  test('may have many lines, as certificates do', async () => {
    const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'
    const text = `version: 1\nconnector:\n  ca:\n    value: |\n${pem.replace(/^/gm, '      ')}\n`
    const { ca } = configOf(text).connector
    expect(ca && (await resolveValue(ca, readers({})))?.reveal()).toBe(pem)
  })

  test('is undefined when there is nothing, or only white space', async () => {
    const surroundings = readers({ '/empty': ' \n' })
    const sources: ValueSource[] = [
      { from: 'file', file: '/missing' },
      { from: 'file', file: '/empty' },
      { from: 'env', env: 'MISSING' },
      { from: 'credential', credential: 'token' },
    ]
    const values = await Promise.all(sources.map((source) => resolveValue(source, surroundings)))
    expect(values).toEqual([undefined, undefined, undefined, undefined])
  })

  test('is read anew at each call, so that a new token is seen', async () => {
    const files = { '/token': 'first' }
    const source: ValueSource = { from: 'file', file: '/token' }
    expect((await resolveValue(source, readers(files)))?.reveal()).toBe('first')
    files['/token'] = 'second'
    expect((await resolveValue(source, readers(files)))?.reveal()).toBe('second')
  })

  test('lets an error of the reader through', () => {
    const refuse = { ...readers({}), file: () => Promise.reject(new Error('no right')) }
    expect(resolveValue({ from: 'file', file: '/x' }, refuse)).rejects.toThrow('no right')
  })

  test('shows neither the value nor the file of a credential above its directory', () => {
    const config = configOf('version: 1\nconnector: {token: {value: s3cret-token}}')
    expect(JSON.stringify(config)).not.toContain('s3cret')
    expect(Bun.inspect(config)).not.toContain('s3cret')
    expect(describeSource({ from: 'value', value: new Secret('s3cret') })).not.toContain('s3cret')
    expect(problemsOf('version: 1\nconnector: {token: {credential: ../x}}')).toHaveLength(1)
  })

  test.each([
    [
      's3cret',
      '2:20: connector.token: found text, want a section with file, env, credential, secret, value',
    ],
    [
      '[s3cret]',
      '2:20: connector.token: found a list, want a section with file, env, credential, secret, value',
    ],
    ['{value: [s3cret]}', '2:28: connector.token.value: found a list, want the value as text'],
    ['{value: 123456}', '2:28: connector.token.value: found a number, want the value as text'],
    ['{valeu: s3cret}', '2:21: connector.token.valeu: unknown key, did you mean value?'],
    [
      '{}',
      '2:20: connector.token: found an empty section, want exactly one of file, env, credential, secret, value',
    ],
    [
      '{env: A, file: b}',
      '2:20: connector.token: found a section with env, file, want exactly one of file, env, credential, secret, value',
    ],
    [
      '{secret: {name: x}}',
      '2:29: connector.token.secret: found a section, want namespace/name/key of a Secret',
    ],
    [
      '{secret: s3cret-token}',
      '2:29: connector.token.secret: found text, want namespace/name/key of a Secret',
    ],
  ])('refuses %s without showing it', (yaml, problem) => {
    expect(problemsOf(`version: 1\nconnector: {token: ${yaml}}`)).toContain(problem)
    expect(problemsOf(`version: 1\nconnector: {token: ${yaml}}`).join()).not.toContain('s3cret')
  })
})
