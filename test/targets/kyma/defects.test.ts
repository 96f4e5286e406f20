/** The defects of the Go agent (reference/go-agent-measured.md §2, go-agent.md §12) that concern what is written: a test each that we have none. */
import { afterAll, afterEach, beforeAll, describe, expect } from 'bun:test'
import { APPLICATIONS, SECRETS } from '../../../src/clients/kubernetes/api.ts'
import { findEnvtest } from '../../../scripts/envtest.ts'
import { aBundle, basic, landscape, times } from '../../clients/mini-director.ts'
import type { World, WorldBundle } from '../../clients/mini-director.ts'
import { failureOf, json } from '../../clients/server.ts'
import { needsKube, startKube } from '../../kube.ts'
import type { Kube } from '../../kube.ts'
import { everythingIn, openScene, ownerOf, secretsNamedBy, servicesOf, uidOf } from './scene.ts'
import type { Scene } from './scene.ts'
import {
  clear,
  NAMESPACE,
  other,
  readApplication,
  readSecret,
  secretsIn,
  valueIn,
  writesIn,
} from './support.ts'
import type { Other } from './support.ts'

let kube: Kube
let person: Other

if (findEnvtest() !== undefined) {
  beforeAll(async () => {
    kube = await startKube()
    await kube.namespace(NAMESPACE)
    person = await other(kube, 'person')
  })
  afterEach(() => clear(kube))
  afterAll(() => kube.stop())
}

const scene = (world: World): Promise<Scene> => openScene(kube, world)
const everything = (): Promise<string[]> => everythingIn(kube)

describe('a: an application beyond the first page', () => {
  needsKube('is added and takes the place of none', async () => {
    await using it = await scene(landscape(200))
    await it.agent.pass()
    const before = await everything()
    it.world.applications.unshift({
      id: 'aaa',
      name: 'mp-newcomer',
      bundles: [aBundle('aaa-b', 1)],
    })
    const { results } = await it.agent.pass()
    expect(results).toEqual(['create application/aaa', 'create binding/aaa-b'])
    expect(await everything()).toEqual(expect.arrayContaining(before))
  })
})

describe('b: an empty page', () => {
  needsKube('removes nothing: it waits for a person', async () => {
    await using it = await scene(landscape(50, 1, 1))
    await it.agent.pass()
    const before = await everything()
    it.world.applications = []
    const { outcome, calls } = await it.agent.pass()
    expect(outcome.held).toMatchObject([{ kind: 'mass', applications: 50, bundles: 50 }])
    expect(writesIn(calls)).toEqual([])
    expect(await everything()).toEqual(before)
  })

  needsKube('that a person approves removes Applications before their Secrets', async () => {
    await using it = await scene(landscape(7, 1, 1))
    await it.agent.pass()
    it.world.applications = []
    const { outcome } = await it.agent.pass()
    it.agent.approvals = [{ hash: outcome.held[0]!.hash, at: it.agent.now }]
    const { calls } = await it.agent.pass()
    const order = writesIn(calls)
    expect(order).toHaveLength(14)
    for (const [index, text] of order.entries()) {
      const id = /^delete secrets mp-app-(\d+)-/.exec(text)?.[1]
      if (id !== undefined)
        expect(order.indexOf(`delete applications mp-app-${id}`)).toBeLessThan(index)
    }
    expect(await everything()).toEqual([])
  })
})

describe('c: credentials that the Director no longer shows', () => {
  needsKube('stay, with every reference to them, and nothing is written', async () => {
    await using it = await scene(landscape(10, 2, 1))
    await it.agent.pass()
    const before = await everything()
    const bundles = it.world.applications.flatMap((one) => one.bundles)
    for (const bundle of bundles) bundle.defaultInstanceAuth = null
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    bundles[0]!.defaultInstanceAuth = basic('app-0000-bundle-0000')
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    expect(await everything()).toEqual(before)
  })

  needsKube('stay also when what was known before is lost with the snapshot', async () => {
    await using it = await scene(landscape(3, 2, 1))
    const eventsOnly = aBundle('events-only', 0, 1)
    it.world.applications[0]!.bundles.push(eventsOnly)
    await it.agent.pass()
    const before = await everything()
    for (const { bundles } of it.world.applications)
      for (const bundle of bundles) bundle.defaultInstanceAuth = null
    it.agent.restart(true)
    const { problems, calls } = await it.agent.pass()
    expect(problems).toEqual(times(7, () => 'credentials_missing'))
    expect(writesIn(calls)).toEqual([])
    expect(await everything()).toEqual(before)
  })

  needsKube('of one bundle go when its grace is over, the reference first', async () => {
    await using it = await scene(landscape(2, 2, 1))
    await it.agent.pass()
    it.world.applications[0]!.bundles[0]!.defaultInstanceAuth = null
    await it.agent.pass()
    it.agent.now += it.agent.guard.credentialsGrace
    const { calls } = await it.agent.pass()
    expect(writesIn(calls)).toEqual([
      'patch applications mp-app-0000',
      'delete secrets mp-app-0000-app-0000-bundle-0000',
    ])
    expect(secretsNamedBy(await readApplication(kube, 'mp-app-0000'))).toEqual([
      '',
      'mp-app-0000-app-0000-bundle-0001',
    ])
  })
})

describe('d: two applications of one name', () => {
  needsKube('concern nobody else, and the one that is there keeps its objects', async () => {
    await using it = await scene(landscape(2, 1, 1))
    await it.agent.pass()
    const uid = uidOf(await readApplication(kube, 'mp-app-0001'))
    it.world.applications.unshift({ id: 'a-twin', name: 'mp-app-0001', bundles: [aBundle('t', 1)] })
    it.world.applications.push({ id: 'innocent', name: 'mp-innocent', bundles: [] })
    it.world.applications[1]!.bundles[0]!.defaultInstanceAuth = basic('rotated')
    const { problems, results } = await it.agent.pass()
    expect(problems).toEqual(['name_taken'])
    expect(results).toEqual(['create application/innocent', 'update binding/app-0000-bundle-0000'])
    expect(uidOf(await readApplication(kube, 'mp-app-0001'))).toBe(uid)
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })

  needsKube('that are both new: the first has the name, and the other one after it', async () => {
    await using it = await scene(landscape(1))
    it.world.applications.push({ id: 'zzz', name: 'mp-app-0000', bundles: [] })
    expect((await it.agent.pass()).results).toEqual(['create application/app-0000'])
    it.world.applications.shift()
    const held = await it.agent.pass()
    // The last one of the target: three fetches over ten minutes must agree.
    expect(held.outcome.held).toMatchObject([{ kind: 'last' }])
    expect(held.results).toEqual(['create application/zzz held'])
    expect(held.problems).toEqual(['name_taken'])
    it.agent.approvals = [{ hash: held.outcome.held[0]!.hash, at: it.agent.now }]
    const { calls, problems } = await it.agent.pass()
    expect(problems).toEqual([])
    expect(writesIn(calls)).toEqual([
      'delete applications mp-app-0000',
      'create applications mp-app-0000',
    ])
  })
})

describe('e, k: an answer that is none', () => {
  const page = (rest: object) => ({ runtime: { labels: {} }, applicationsForRuntime: rest })
  const whole = { pageInfo: { startCursor: '', endCursor: '', hasNextPage: false }, totalCount: 0 }
  const withNullBundles = {
    ...whole,
    data: [{ id: 'app-0000', name: 'mp-app-0000', labels: {}, auths: [], bundles: null }],
    totalCount: 1,
  }
  needsKube.each([
    ['HTTP 500 with an empty page', json({ data: page({ ...whole, data: [] }) }, 500)],
    [
      'errors beside an empty page',
      json({ data: page({ ...whole, data: [] }), errors: [{ message: 'x' }] }),
    ],
    ['a page of null', json({ data: page({ ...whole, data: null }) })],
    ['a page without members', json({ data: page({}) })],
    ['no page', json({ data: { runtime: { labels: {} } } })],
    ['bundles of null', json({ data: page(withNullBundles) })],
    ['data of null', json({ data: null })],
    ['no data', json({})],
    ['no runtime', json({ data: { ...page({ ...whole, data: [] }), runtime: null } })],
    ['HTML', { headers: { 'content-type': 'text/html' }, body: '<html>' }],
    ['JSON that is cut', { headers: { 'content-type': 'application/json' }, body: '{"data":' }],
    ['nothing', { body: '' }],
    ['HTTP 401', json({ errors: [] }, 401)],
    ['HTTP 429', json({}, 429)],
    ['HTTP 502', json({}, 502)],
  ])('(%s) changes nothing', async (_what, reply) => {
    await using it = await scene(landscape(2, 1, 1))
    await it.agent.pass()
    const before = await everything()
    it.answer(reply)
    await failureOf(it.agent.fetch())
    // Drift is repaired from what is known.
    expect(writesIn((await it.agent.apply()).calls)).toEqual([])
    it.answer(undefined)
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    expect(await everything()).toEqual(before)
  })
})

describe('j: what people change', () => {
  needsKube('of their own on a CR survives, and what is ours is put right', async () => {
    await using it = await scene(landscape(1, 1, 1))
    await it.agent.pass()
    await person.change(APPLICATIONS, 'mp-app-0000', {
      metadata: {
        labels: { team: 'a', 'applicationconnector.kyma-project.io/managed-by': null },
        annotations: { note: 'keep' },
      },
      spec: {
        description: 'edited',
        skipVerify: true,
        encodeUrl: true,
        tenant: 'theirs',
        group: 'theirs',
        labels: { 'connected-app': 'edited', own: 'label' },
        services: [],
      },
    })
    expect((await it.agent.pass()).results).toEqual(['update application/app-0000'])
    const { metadata, spec } = (await readApplication(kube, 'mp-app-0000'))!
    expect(metadata.labels).toEqual({
      'applicationconnector.kyma-project.io/managed-by': 'compass-runtime-agent',
      team: 'a',
    })
    expect(metadata.annotations).toEqual({ note: 'keep' })
    expect(spec).toMatchObject({
      ...{ skipVerify: true, encodeUrl: true, tenant: 'theirs', group: 'theirs' },
      description: 'Description not provided',
      labels: { 'connected-app': 'mp-app-0000', own: 'label' },
      services: [{ id: 'app-0000-bundle-0000' }],
    })
    // Nor does a later change of the application take anything away.
    it.world.applications[0]!.bundles.push(aBundle('another', 1))
    await it.agent.pass()
    expect((await readApplication(kube, 'mp-app-0000'))!['spec']).toMatchObject({
      ...{ skipVerify: true, encodeUrl: true, tenant: 'theirs' },
      labels: { own: 'label' },
    })
    for (let n = 0; n < 3; n++) expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })

  needsKube('of their own in a Secret survives, and a wrong password is put right', async () => {
    await using it = await scene(landscape(1, 1, 1))
    await it.agent.pass()
    const [secret] = await secretsIn(kube)
    const { name } = secret!.metadata
    await person.change(SECRETS, name, {
      metadata: { labels: { team: 'a' }, annotations: { note: 'keep' } },
      data: { extra: btoa('theirs') },
    })
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    await person.change(SECRETS, name, {
      metadata: { labels: { app: 'edited' }, ownerReferences: null },
      data: { password: btoa('wrong'), username: null, clientSecret: btoa('left over') },
    })
    expect((await it.agent.pass()).results).toEqual(['create binding/app-0000-bundle-0000'])
    const repaired = await readSecret(kube, name)
    expect(repaired?.metadata).toMatchObject({
      labels: { app: 'mp-app-0000', bundleId: 'app-0000-bundle-0000', team: 'a' },
      annotations: { note: 'keep' },
    })
    expect(ownerOf(repaired)).toBe(uidOf(await readApplication(kube, 'mp-app-0000')))
    expect(
      ['username', 'password', 'extra', 'clientSecret'].map((key) => valueIn(repaired, key)),
    ).toEqual(['app-0000-bundle-0000', 'canary-password', 'theirs', undefined])
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })

  needsKube('so that a Secret is not found any more is put right too', async () => {
    await using it = await scene(landscape(1, 1, 1))
    await it.agent.pass()
    const name = 'mp-app-0000-app-0000-bundle-0000'
    await person.change(SECRETS, name, { metadata: { labels: null }, data: { password: null } })
    expect((await it.agent.pass()).results).toEqual(['create binding/app-0000-bundle-0000'])
    expect(valueIn(await readSecret(kube, name), 'password')).toBe('canary-password')
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })

  needsKube('by deleting Secrets and CRs is made again, with all that belongs to it', async () => {
    await using it = await scene(landscape(2, 2, 1))
    await it.agent.pass()
    await person.remove(SECRETS, 'mp-app-0000-app-0000-bundle-0000')
    await person.remove(APPLICATIONS, 'mp-app-0001')
    expect((await it.agent.pass()).results).toEqual([
      'create application/app-0001',
      'create binding/app-0000-bundle-0000',
      'update binding/app-0001-bundle-0000',
      'update binding/app-0001-bundle-0001',
    ])
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })
})

describe('D8: a CR that a person deleted', () => {
  needsKube('comes back and owns its Secrets in the same pass', async () => {
    const world = landscape(1, 2, 1)
    const params = { ...(basic('p') as object), additionalHeaders: { X: ['y'] } }
    world.applications[0]!.bundles[0]!.defaultInstanceAuth = params
    await using it = await scene(world)
    await it.agent.pass()
    const before = uidOf(await readApplication(kube, 'mp-app-0000'))
    await person.remove(APPLICATIONS, 'mp-app-0000')
    await it.agent.pass()
    const after = uidOf(await readApplication(kube, 'mp-app-0000'))
    expect(after).not.toBe(before!)
    const secrets = await secretsIn(kube)
    expect(secrets.map(ownerOf)).toEqual([after, after, after])
  })
})

describe('D6: a foreign Application of the same name', () => {
  needsKube('stays as it is, is named, and keeps no other one back', async () => {
    const foreign = {
      metadata: { name: 'mp-app-0000', labels: { own: 'er' } },
      spec: { services: [] },
    }
    const { group, version, kind } = APPLICATIONS
    await person.create(APPLICATIONS, { apiVersion: `${group}/${version}`, kind, ...foreign })
    const before = await readApplication(kube, 'mp-app-0000')
    await using it = await scene(landscape(2, 1, 1))
    const { outcome, problems, results } = await it.agent.pass()
    expect(problems).toEqual(['object_foreign'])
    expect(outcome.problems[0]).toMatchObject({
      owner: { application: 'app-0000' },
      problem: { subject: 'mp-app-0000' },
    })
    expect(results).toEqual(['create application/app-0001', 'create binding/app-0001-bundle-0000'])
    expect(await readApplication(kube, 'mp-app-0000')).toEqual(before)
    await person.remove(APPLICATIONS, 'mp-app-0000')
    expect((await it.agent.pass()).problems).toEqual([])
  })

  needsKube('or a foreign Secret of it: the same', async () => {
    const metadata = { name: 'mp-app-0000-app-0000-bundle-0000', labels: { own: 'er' } }
    await person.create(SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata })
    await using it = await scene(landscape(2, 1, 1))
    const { outcome, results } = await it.agent.pass()
    expect(results).toContain('create binding/app-0000-bundle-0000 failed')
    expect(outcome.results.find((one) => one.outcome === 'failed')?.problem).toMatchObject({
      code: 'object_foreign',
      subject: 'mp-app-0000',
    })
    expect((await readSecret(kube, metadata.name))?.metadata.labels).toEqual({ own: 'er' })
    expect(await readSecret(kube, 'mp-app-0001-app-0001-bundle-0000')).toBeDefined()
  })
})

describe('n, D28: names that Kubernetes does not take', () => {
  needsKube('are a problem of their application each, and cost no request', async () => {
    const world = landscape(2)
    world.applications[0]!.name = 'Not A Name'
    world.applications[1]!.name = 'nor_this'
    await using it = await scene(world)
    const { problems, results, calls } = await it.agent.pass()
    expect(problems).toEqual(['application_invalid', 'application_invalid'])
    expect([results, writesIn(calls)]).toEqual([[], []])
  })

  needsKube('are made valid where the Director has not normalised them', async () => {
    const world = landscape(1, 1, 1)
    world.applications[0]!.name = 'Not A Name'
    world.runtimeLabels = {}
    await using it = await scene(world)
    expect((await it.agent.pass()).problems).toEqual([])
    expect(await readApplication(kube, 'mp-not-a-name')).toBeDefined()
    // Later it says that they are normal: nothing is renamed.
    world.runtimeLabels = { isNormalized: 'true' }
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })

  needsKube('as labels, being longer than one, still get their Secrets', async () => {
    const name = `mp-${'long-'.repeat(20)}name`
    const world = landscape(1, 1, 1)
    world.applications[0]!.name = name
    await using it = await scene(world)
    const { problems, results } = await it.agent.pass()
    expect(problems).toEqual(['application_invalid'])
    expect(results).toEqual(['create application/app-0000', 'create binding/app-0000-bundle-0000'])
    const [secret] = await secretsIn(kube)
    expect(secret!.metadata.labels!['app']).toBe(name.slice(0, 62))
    expect(secretsNamedBy(await readApplication(kube, name))).toEqual([secret!.metadata.name])
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })

  needsKube(
    'as ids of bundles are a problem of the bundle, and no CR names what is not there',
    async () => {
      const world = landscape(1, 1, 1)
      world.applications[0]!.bundles.push(aBundle('UPPER', 1), aBundle('l'.repeat(64), 1))
      await using it = await scene(world)
      expect((await it.agent.pass()).problems).toEqual([
        'application_invalid',
        'application_invalid',
      ])
      const names = secretsNamedBy(await readApplication(kube, 'mp-app-0000'))
      expect(names.filter((one) => one !== '')).toEqual(['mp-app-0000-app-0000-bundle-0000'])
      expect(await secretsIn(kube)).toHaveLength(1)
    },
  )
})

describe('rename', () => {
  needsKube('keeps the CR with its name and uid, and the Secrets', async () => {
    await using it = await scene(landscape(2, 1, 1))
    await it.agent.pass()
    const before = await everything()
    it.world.applications[0]!.name = 'mp-renamed'
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    it.world.applications[0]!.bundles[0]!.name = 'Renamed bundle'
    const { results } = await it.agent.pass()
    expect(results).toEqual(['update application/app-0000'])
    const after = await everything()
    expect(after.filter((one) => !before.includes(one))).toHaveLength(1)
    const application = await readApplication(kube, 'mp-app-0000')
    expect(JSON.stringify(application)).toContain('/mp-app-0000/renamed-bundle/api-0000')
    it.agent.restart(true)
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })
})

describe('o: lists within an application of more than a page', () => {
  needsKube('are mirrored whole', async () => {
    const world = landscape(1, 250, 1)
    world.applications.push({ id: 'wide', name: 'mp-wide', bundles: [aBundle('wide-b', 250, 250)] })
    await using it = await scene(world)
    await it.agent.pass()
    expect(servicesOf(await readApplication(kube, 'mp-app-0000'))).toHaveLength(250)
    expect(servicesOf(await readApplication(kube, 'mp-wide'))[0]!.entries).toHaveLength(500)
    expect(await secretsIn(kube)).toHaveLength(251)
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })
})

describe('p: the Secret of a bundle without an API', () => {
  needsKube('goes with the bundle', async () => {
    const world = landscape(1, 1, 1)
    world.applications[0]!.bundles.push(aBundle('no-api', 0, 1))
    await using it = await scene(world)
    await it.agent.pass()
    expect(await readSecret(kube, 'mp-app-0000-no-api')).toBeDefined()
    world.applications[0]!.bundles.pop()
    expect(writesIn((await it.agent.pass()).calls)).toEqual([
      'patch applications mp-app-0000',
      'delete secrets mp-app-0000-no-api',
    ])
  })
})

describe('D26: credentials that cannot be used', () => {
  const certificate = {
    __typename: 'CertificateOAuthCredentialData',
    ...{ clientId: 'c', certificate: 'pem', url: 'https://tokens.example' },
  }
  const half = { __typename: 'BasicCredentialData', username: 'user', password: '' }

  needsKube.each([
    ['OAuth with a certificate', certificate, 'credentials_unsupported'],
    ['a user without a password', half, 'application_invalid'],
  ])(
    '(%s) are named, and no CR names a Secret that is not there',
    async (_what, credential, code) => {
      const world = landscape(1, 2, 1)
      const [first] = world.applications[0]!.bundles as [WorldBundle]
      first.defaultInstanceAuth = { credential }
      await using it = await scene(world)
      const { outcome } = await it.agent.pass()
      expect(outcome.problems).toMatchObject([
        { owner: { application: 'app-0000', bundle: first.id }, problem: { code } },
      ])
      expect(secretsNamedBy(await readApplication(kube, 'mp-app-0000'))).toEqual([
        '',
        'mp-app-0000-app-0000-bundle-0001',
      ])
    },
  )

  needsKube('do not take the place of ones that work', async () => {
    await using it = await scene(landscape(1, 1, 1))
    await it.agent.pass()
    it.world.applications[0]!.bundles[0]!.defaultInstanceAuth = { credential: certificate }
    const { problems, calls } = await it.agent.pass()
    expect(problems).toEqual(['credentials_unsupported'])
    expect(writesIn(calls)).toEqual([])
  })
})
