import { describe, expect, test } from 'bun:test'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject } from '../../src/clients/kubernetes/api.ts'
import type { Application } from '../../src/model/application.ts'
import { bindingName } from '../../src/model/names.ts'
import { Secret } from '../../src/model/secret.ts'
import { ObservedSecrets, createSecretRender } from '../../src/targets/kubernetes-render.ts'
import { changeOfSecret, newSecret, readSecret } from '../../src/targets/kubernetes-secret.ts'
import { RUNTIME, application, basic, bundle, desired } from '../model/samples.ts'

const digestKey = new Secret('key')
const place = { namespace: 'team-a', mark: { agent: 'default', runtimeId: RUNTIME } }
const nothing = new ObservedSecrets([])

const renderer = () => createSecretRender({ types: [], digestKey })

const render = (applications: Application[], observed = nothing) =>
  renderer()(desired(applications), observed)

/** As the API server would list it. */
function written(applications: Application[]): KubeObject {
  const [object] = render(applications).objects.values()
  const secret = newSecret(object!.name, object!.content, place)
  return { ...secret, metadata: { ...secret.metadata, uid: 'u', resourceVersion: '1' } }
}

const seen = (object: KubeObject) => readSecret(digestKey, object)!

describe('what a namespace should hold', () => {
  test('is a Secret a bundle, and what was written is read as it was rendered', () => {
    const app = application('a/b%', { bundles: [bundle('x/y')] })
    const { objects } = render([app])
    const [object] = objects.values()
    expect(object).toMatchObject({
      key: 'binding/x/y',
      name: bindingName(app.name, app.bundles[0]!),
      owner: { application: 'a/b%', bundle: 'x/y' },
    })
    const { key, owner, digest, credentialed, revision } = seen(written([app]))
    expect({ key, owner, digest }).toEqual({
      key: object!.key,
      owner: object!.owner as never,
      digest: object!.digest,
    })
    expect({ credentialed, revision }).toEqual({ credentialed: true, revision: 1 })
  })

  test('is rendered once for an application that stays, and for another one anew', () => {
    const again = renderer()
    const apps = [application('a')]
    const content = () => [...again(desired(apps), nothing).objects.values()][0]!.content
    const first = content()
    expect(content()).toBe(first)
    apps[0] = application('a')
    expect(content()).not.toBe(first)
  })

  test('holds no second Secret of a name: the first one has it', () => {
    const held = seen({ ...written([application('a')]), kind: SECRETS.kind })
    const name = held.name
    const other = { ...held, key: 'binding/other', name: bindingName('App b', bundle('b-1')) }
    const { objects, problems } = render(
      [application('a'), application('b')],
      new ObservedSecrets([held, other]),
    )
    expect([...objects.values()].map((one) => one.name)).toEqual([name])
    expect(problems.map(({ problem, withheld }) => [problem.code, withheld])).toEqual([
      ['name_taken', true],
    ])
  })

  test('gives a bundle id of two applications to the one that had it', () => {
    const two = ['a', 'b'].map((id) => application(id, { bundles: [bundle('same')] }))
    const owners = (observed = nothing) =>
      [...render(two, observed).objects.values()].map(({ owner }) => owner)
    expect(owners()).toMatchObject([{ application: 'a' }])
    const of = seen(written(two.slice(1)))
    expect(owners(new ObservedSecrets([of]))).toMatchObject([{ application: 'b' }])
  })

  test('leaves out what cannot be used, and keeps what it had', () => {
    const credential = {
      type: 'certificate_oauth',
      clientId: new Secret('c'),
      certificate: new Secret('PEM'),
      tokenUrl: 'https://tokens.example',
    } as const
    const { objects, problems } = render([
      application('a', { bundles: [bundle('x', { auth: { credential } }), bundle('y')] }),
    ])
    expect([...objects.keys()]).toEqual(['binding/y'])
    expect(problems).toMatchObject([
      { owner: { bundle: 'x' }, withheld: true, problem: { code: 'credentials_unsupported' } },
    ])
  })
})

describe('what changes of a Secret', () => {
  const app = (password: string, name = 'App') =>
    application('a', { name, bundles: [bundle('b', { auth: basic('user', password) })] })
  const change = (from: KubeObject, to: Application) => {
    const [object] = render([to]).objects.values()
    const { data, metadata } = changeOfSecret(seen(from), object!.content)
    return { data: data as Record<string, string | null>, metadata }
  }
  const revision = ({ data }: ReturnType<typeof change>) =>
    Buffer.from(data['ucl-revision'] ?? '', 'base64').toString()

  test('counts a change of values, and nothing else', () => {
    const old = written([app('old')])
    expect(revision(change(old, app('new')))).toBe('2')
    expect(revision(change(old, app('old', 'Renamed')))).toBe('1')
    const password = Buffer.from('by hand').toString('base64')
    const edited = { ...old, data: { ...Object(old['data']), password } }
    expect(revision(change(edited, app('old')))).toBe('1')
    expect(revision(change(edited, app('new')))).toBe('2')
  })

  test('is of the version that was read, and takes away what it has no more', () => {
    const { data, metadata } = change(written([app('old')]), app('old'))
    expect(metadata).toMatchObject({ resourceVersion: '1' })
    expect(data).toMatchObject({
      'client-id': null,
      'csrf-token-uri': null,
      host: expect.any(String),
    })
  })
})

test('a Secret with our labels that does not say what it is of is none that we know', () => {
  const { metadata } = written([application('a')])
  const { annotations: _, ...rest } = metadata
  expect(
    readSecret(digestKey, { metadata: rest, data: { 'ucl-bundle-id': 'eA==' } }),
  ).toBeUndefined()
  expect(readSecret(digestKey, { metadata: rest, data: 'nothing' })).toBeUndefined()
})
