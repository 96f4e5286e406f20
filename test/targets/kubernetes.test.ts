import { describe, expect } from 'bun:test'
import { kubeForTests, needsKube } from '../kube.ts'
import { RUNTIME, application, bare, basic, bundle, numbers, oauth } from '../model/samples.ts'
import {
  annotation,
  dataOf,
  encode,
  Namespace,
  outcomes,
  pass,
  versionOf,
} from './kubernetes-place.ts'
import { targetContract } from './target.contract.ts'

const kube = kubeForTests()

targetContract(
  'kubernetes',
  async () => {
    const namespace = await Namespace.make(kube())
    return {
      open: () => namespace.target(),
      writes: async () => JSON.stringify((await namespace.secrets()).map(versionOf)),
      damage: async (_key, name) => {
        await namespace.edit(name, { data: { password: encode('edited by hand') } })
      },
      close: () => undefined,
    }
  },
  { shape: { application: () => [], bundle: (id) => [`binding/${id}`] }, run: needsKube },
)

describe('a binding in a namespace', () => {
  needsKube('is a Secret of servicebinding.io with the keys of files and our marks', async () => {
    const namespace = await Namespace.make(kube())
    const app = application('a-1', { name: 'mp-crm', bundles: [bundle('b-1', { name: 'Sales' })] })
    await pass(namespace.target({ agent: 'cluster-a' }), [app])
    const secret = await namespace.secret()
    expect(secret['type']).toBe('servicebinding.io/ucl-api')
    expect(secret.metadata.name).toMatch(/^ucl-mp-crm-sales-[0-9a-f]{8}$/)
    expect(secret.metadata.labels).toEqual({
      'app.kubernetes.io/managed-by': 'runtime-agent',
      'runtime-agent.kyma-project.io/runtime-id': RUNTIME,
      'runtime-agent.kyma-project.io/agent': 'cluster-a',
    })
    expect(secret.metadata.annotations).toEqual({
      'runtime-agent.kyma-project.io/source': 'a-1/b-1',
      'runtime-agent.kyma-project.io/hash': expect.stringMatching(/^[0-9a-f]{64}$/),
      'runtime-agent.kyma-project.io/application': 'mp-crm',
      'runtime-agent.kyma-project.io/bundle': 'Sales',
    })
    const { '.metadata': descriptor, ...data } = dataOf(secret)
    expect(data).toEqual({
      type: 'ucl-api',
      provider: 'ucl',
      uri: 'https://api.example/v1',
      host: 'api.example',
      port: '443',
      'target-urls': '{"API b-1-a":"https://api.example/v1"}',
      apis: '[{"id":"b-1-a","name":"API b-1-a","target-url":"https://api.example/v1"}]',
      events: '[]',
      'credentials-type': 'basic_auth',
      username: 'user',
      password: 'pass',
      'ucl-application-id': 'a-1',
      'ucl-bundle-id': 'b-1',
      'ucl-revision': '1',
    })
    const { metaDataProperties, credentialProperties } = JSON.parse(descriptor!)
    const described = [...metaDataProperties, ...credentialProperties].map(({ name }) => name)
    expect(described.sort()).toEqual(Object.keys(data).sort())
  })

  needsKube(
    'costs one request when nothing changed, and no value of a Secret travels',
    async () => {
      const namespace = await Namespace.make(kube())
      const target = namespace.target()
      const apps = [application('a'), application('b')]
      await pass(target, apps)
      const mark = kube().auditMark()
      expect(outcomes(await pass(target, apps))).toEqual([])
      expect(namespace.calls(mark)).toEqual(['list secrets'])
    },
  )

  needsKube.each([
    [3, ['list secrets', ...Array<string>(3).fill('get secrets')]],
    [20, ['list secrets', 'list secrets']],
  ])('of which %d are edited costs what it takes to read these', async (count, reads) => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    const apps = numbers(24).map((n) => application(`app-${n}`))
    await pass(target, apps)
    for (const { metadata } of (await namespace.secrets()).slice(0, count))
      await namespace.edit(metadata.name, { data: { password: encode('by hand') } })
    const mark = kube().auditMark()
    expect((await pass(target, apps)).results).toHaveLength(count)
    const calls = namespace.calls(mark)
    expect(calls.filter((call) => !call.startsWith('patch'))).toEqual(reads)
    expect(calls).toHaveLength(reads.length + count)
  })

  needsKube('is written once for a rotated password, and tells of it by its revision', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    const apps = (password: string) => [
      application('a', { bundles: [bundle('a1', { auth: basic('user', password) })] }),
      application('b'),
    ]
    await pass(target, apps('old'))
    const mark = kube().auditMark()
    expect(outcomes(await pass(target, apps('new')))).toEqual(['binding/a1 applied'])
    expect(namespace.calls(mark).filter((call) => !call.startsWith('list'))).toEqual([
      'patch secrets',
    ])
    const revisions = (await namespace.secrets()).map((one) => dataOf(one)['ucl-revision'])
    expect(revisions.sort()).toEqual(['1', '2'])
  })

  needsKube('loses the keys of credentials that it has no more', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [application('a')])
    const { metadata } = await namespace.secret()
    // Written by somebody else, so that server-side apply would leave it behind.
    await namespace.edit(metadata.name, { data: { password: encode('by hand') } })
    await pass(target, [application('a', { bundles: [bundle('a-1', { auth: oauth() })] })])
    const data = dataOf(await namespace.secret())
    expect(data).toMatchObject({ 'client-id': 'client', 'client-secret': 'client-secret' })
    expect(Object.keys(data)).not.toContain('password')
    expect(Object.keys(data)).not.toContain('username')
  })

  needsKube('keeps what people add: labels, annotations, keys of their own', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [application('a')])
    const { metadata } = await namespace.secret()
    const added = { labels: { team: 'orders' }, annotations: { note: 'ours' } }
    await namespace.edit(metadata.name, { metadata: added, data: { 'own-key': encode('own') } })
    const before = versionOf(await namespace.secret())
    expect(outcomes(await pass(target, [application('a')]))).toEqual([])
    expect(versionOf(await namespace.secret())).toBe(before)
    const rotated = [application('a', { bundles: [bundle('a-1', { auth: basic('u', 'new') })] })]
    for (const one of [target, namespace.target()]) await pass(one, rotated)
    const after = await namespace.secret()
    expect(after.metadata).toMatchObject(added)
    expect(dataOf(after)).toMatchObject({ 'own-key': 'own', password: 'new' })
  })

  needsKube.each([
    ['an edited password', { data: { password: encode('x') } }],
    ['a key taken away', { data: { apis: null } }],
    ['a key of ours too many', { data: { 'client-secret': encode('x') } }],
    ['another revision', { data: { 'ucl-revision': encode('x') } }],
    ['a changed hash', { metadata: { annotations: { [annotation('hash')]: 'x' } } }],
    ['no source', { metadata: { annotations: { [annotation('source')]: null } } }],
    ['another title', { metadata: { annotations: { [annotation('bundle')]: 'x' } } }],
  ] as [string, Record<string, unknown>][])('is put right after %s', async (_what, change) => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [application('a')])
    const before = await namespace.secret()
    await namespace.edit(before.metadata.name, change)
    expect(outcomes(await pass(target, [application('a')]))).toEqual(['binding/a-1 applied'])
    const after = await namespace.secret()
    expect(after.metadata.annotations).toEqual(before.metadata.annotations)
    expect(dataOf(after)).toEqual(dataOf(before))
    expect(outcomes(await pass(target, [application('a')]))).toEqual([])
  })

  needsKube('is made again after somebody removed it', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [application('a'), application('b')])
    const [first, second] = await namespace.secrets()
    await namespace.remove(first!.metadata.name)
    expect(outcomes(await pass(target, [application('a'), application('b')]))).toEqual([
      'binding/a-1 applied',
    ])
    const after = await namespace.secrets()
    expect(after.map(({ metadata }) => metadata.name)).toEqual([
      first!.metadata.name,
      second!.metadata.name,
    ])
    expect(versionOf(after[1]!)).toBe(versionOf(second!))
  })

  needsKube('keeps name and revision when it is renamed, and tells the new names', async () => {
    const namespace = await Namespace.make(kube())
    const app = (name: string) => [
      application('a', { name, bundles: [bundle('a-1', { name: `Bundle of ${name}` })] }),
    ]
    await pass(namespace.target(), app('old'))
    const before = await namespace.secret()
    await pass(namespace.target(), app('new'))
    const after = await namespace.secret()
    expect(after.metadata.name).toBe(before.metadata.name)
    expect(after.metadata.annotations).toMatchObject({
      [annotation('application')]: 'new',
      [annotation('bundle')]: 'Bundle of new',
    })
    expect(dataOf(after)).toEqual(dataOf(before))
  })

  needsKube('stays at its revision under a new digest key', async () => {
    const namespace = await Namespace.make(kube())
    await pass(namespace.target(), [application('a')])
    const other = namespace.target({ digestKey: 'another' })
    expect(outcomes(await pass(other, [application('a')]))).toEqual(['binding/a-1 applied'])
    expect(dataOf(await namespace.secret())['ucl-revision']).toBe('1')
    expect(outcomes(await pass(other, [application('a')]))).toEqual([])
  })

  needsKube('keeps its kind of Secret, which cannot change, when its type changes', async () => {
    const namespace = await Namespace.make(kube())
    const types = (type: string) => ({ types: [{ application: '*', type }] })
    await pass(namespace.target(types('rest')), [application('a')])
    const target = namespace.target(types('odata'))
    expect(outcomes(await pass(target, [application('a')]))).toEqual(['binding/a-1 applied'])
    const secret = await namespace.secret()
    expect(secret['type']).toBe('servicebinding.io/rest')
    expect(dataOf(secret)).toMatchObject({ type: 'odata', 'ucl-revision': '2' })
    expect(outcomes(await pass(target, [application('a')]))).toEqual([])
  })

  needsKube('with credentials is not replaced by one without while these are unknown', async () => {
    const namespace = await Namespace.make(kube())
    await pass(namespace.target(), [application('a')])
    const before = versionOf(await namespace.secret())
    const hidden = bare('a-1', { authMissingSince: 1 })
    const outcome = await pass(namespace.target(), [application('a', { bundles: [hidden] })])
    expect(outcome.problems.map(({ problem }) => problem.code)).toEqual(['credentials_missing'])
    expect(versionOf(await namespace.secret())).toBe(before)
  })

  needsKube('takes whatever Compass calls things', async () => {
    const namespace = await Namespace.make(kube())
    const names = [
      '',
      '---',
      'Größe Ü',
      'a/b',
      '../..',
      '__proto__',
      '\u0000',
      '😀'.repeat(300),
      'x\ny',
    ]
    const apps = names.map((name, n) =>
      application(`app/${n}%2F`, {
        name,
        bundles: [
          bundle(`${n}/${name}`, {
            name,
            auth: basic(`\u0000${name}`, '\ud800'),
            apis: [{ id: 'x', name, targetUrl: name }],
          }),
        ],
      }),
    )
    const target = namespace.target()
    const first = await pass(target, apps)
    expect(new Set(first.results.map(({ outcome }) => outcome))).toEqual(new Set(['applied']))
    expect(first.results).toHaveLength(names.length)
    for (const again of [target, namespace.target()])
      expect(outcomes(await pass(again, apps))).toEqual([])
    const values = (await namespace.secrets()).map((one) => dataOf(one)['username'])
    expect(values.toSorted()).toEqual(names.map((name) => `\u0000${name}`).sort())
  })

  needsKube('of more than 1 MiB is a problem of its own', async () => {
    const namespace = await Namespace.make(kube())
    const sized = (length: number) =>
      application('large', {
        bundles: [bundle('l', { auth: basic('u', 'x'.repeat(length)) }), bundle('small')],
      })
    const { results, problems } = await pass(namespace.target(), [sized(1024 * 1024)])
    expect(results.map(({ key }) => key)).toEqual(['binding/small'])
    expect(problems.map(({ problem, withheld }) => [problem.code, withheld])).toEqual([
      ['application_invalid', true],
    ])
    const fits = await pass(namespace.target(), [sized(1024 * 1024 - 1200)])
    expect(outcomes(fits)).toEqual(['binding/l applied'])
  })
})

describe('no value of a Secret', () => {
  needsKube('is shown by plans and problems', async () => {
    const namespace = await Namespace.make(kube())
    const auth = basic('user', 'CANARY\n')
    const outcome = await pass(namespace.target(), [
      application('a', { bundles: [bundle('b', { auth })] }),
    ])
    expect(outcome.plan.changes).toHaveLength(1)
    expect(JSON.stringify(outcome)).not.toContain('CANARY')
    expect(JSON.stringify(outcome)).not.toContain(encode('CANARY\n'))
    expect(Bun.inspect(outcome, { depth: 20 })).not.toContain('CANARY')
  })
})
