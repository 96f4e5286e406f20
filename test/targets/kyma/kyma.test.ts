import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { APPLICATIONS, SECRETS } from '../../../src/clients/kubernetes/api.ts'
import type { Resource } from '../../../src/clients/kubernetes/api.ts'
import { planChanges } from '../../../src/model/plan.ts'
import { Secret } from '../../../src/model/secret.ts'
import { ObservedKyma } from '../../../src/targets/kyma-observe.ts'
import { createKymaRender } from '../../../src/targets/kyma-render.ts'
import { findEnvtest } from '../../../scripts/envtest.ts'
import { aBundle, basic, landscape } from '../../clients/mini-director.ts'
import type { World } from '../../clients/mini-director.ts'
import { failureOf } from '../../clients/server.ts'
import { needsKube, startKube } from '../../kube.ts'
import type { Kube } from '../../kube.ts'
import {
  application,
  basic as basicAuth,
  bundle,
  desired,
  headers,
  RUNTIME,
} from '../../model/samples.ts'
import { everythingIn, openScene, secretsNamedBy, uidOf } from './scene.ts'
import type { Scene } from './scene.ts'
import {
  clear,
  GATEWAY,
  NAMESPACE,
  openTarget,
  other,
  readApplication,
  readSecret,
  secretsIn,
  writesIn,
} from './support.ts'
import type { Other } from './support.ts'

let kube: Kube
let go: Other
let person: Other
const { signal } = new AbortController()

if (findEnvtest() !== undefined) {
  beforeAll(async () => {
    kube = await startKube()
    await kube.namespace(NAMESPACE)
    go = await other(kube, 'compass-runtime-agent')
    person = await other(kube, 'person')
  })
  afterEach(() => clear(kube))
  afterAll(() => kube.stop())
}

const scene = (world: World): Promise<Scene> => openScene(kube, world)
const PREFIX = 'runtime-agent.kyma-project.io'

describe('requests', () => {
  needsKube(
    'of a first pass are one an object and one a list, of the next ones the lists',
    async () => {
      await using it = await scene(landscape(40, 3, 2))
      const first = await it.agent.pass()
      expect(first.calls).toHaveLength(2 + 40 + 40 * 3)
      for (let n = 0; n < 2; n++) {
        const { calls } = await it.agent.pass()
        expect(calls.map(({ verb, resource }) => `${verb} ${resource}`).sort()).toEqual([
          'list applications',
          'list secrets',
        ])
      }
      it.world.applications[7]!.bundles[0]!.defaultInstanceAuth = basic('rotated')
      expect(writesIn((await it.agent.pass()).calls)).toEqual([
        'patch secrets mp-app-0007-app-0007-bundle-0000',
      ])
      // Nor is what was just written read again.
      expect((await it.agent.pass()).calls).toHaveLength(2)
    },
  )

  needsKube(
    'write a Secret before the CR that names it, and a new CR before its Secrets',
    async () => {
      await using it = await scene(landscape(1, 1, 1))
      const first = await it.agent.pass()
      expect(writesIn(first.calls)).toEqual([
        'create applications mp-app-0000',
        'create secrets mp-app-0000-app-0000-bundle-0000',
      ])
      it.world.applications[0]!.bundles.push(aBundle('new', 1))
      expect(writesIn((await it.agent.pass()).calls)).toEqual([
        'create secrets mp-app-0000-new',
        'patch applications mp-app-0000',
      ])
    },
  )
})

/** As the Go agent left it, before things changed in Compass. */
async function leftByGo(data: Record<string, string>): Promise<void> {
  const name = 'mp-app-0000'
  const made = await go.create(APPLICATIONS, {
    apiVersion: 'applicationconnector.kyma-project.io/v1alpha1',
    kind: 'Application',
    metadata: {
      name,
      labels: { 'applicationconnector.kyma-project.io/managed-by': 'compass-runtime-agent' },
    },
    spec: {
      description: 'as it was',
      labels: { 'connected-app': name },
      skipVerify: true,
      encodeUrl: false,
      services: [],
      compassMetadata: { applicationId: 'app-0000', authentication: { clientIds: [] } },
    },
  })
  const { apiVersion = '', kind = '', metadata } = made
  await go.create(SECRETS, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: `${name}-app-0000-bundle-0000`,
      labels: { app: name, bundleId: 'app-0000-bundle-0000' },
      ownerReferences: [{ apiVersion, kind, name, uid: metadata.uid! }],
    },
    data,
  })
}

describe('what the Go agent left', () => {
  needsKube('and is out of date is taken over, once', async () => {
    await leftByGo({ clientId: btoa('old'), clientSecret: btoa('old') })
    const uid = uidOf(await readApplication(kube, 'mp-app-0000'))
    await using it = await scene(landscape(1, 1, 1))
    const { calls, problems } = await it.agent.pass()
    expect(problems).toEqual([])
    expect(calls).toHaveLength(4)
    const taken = await readApplication(kube, 'mp-app-0000')
    expect(uidOf(taken)).toBe(uid)
    expect(taken!['spec']).toMatchObject({
      ...{ skipVerify: true, encodeUrl: false, description: 'Description not provided' },
      services: [{ id: 'app-0000-bundle-0000' }],
    })
    const secret = await readSecret(kube, 'mp-app-0000-app-0000-bundle-0000')
    expect(Object.keys(secret!['data'] as object).sort()).toEqual(['password', 'username'])
    it.agent.restart(true)
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    // And again when it changes once more.
    it.world.applications[0]!.bundles.push(aBundle('new', 1))
    expect((await it.agent.pass()).problems).toEqual([])
  })

  needsKube(
    'of applications that are gone goes, with Secrets whose CR went without them',
    async () => {
      await leftByGo({ username: btoa('u'), password: btoa('p') })
      await person.remove(APPLICATIONS, 'mp-app-0000')
      await using it = await scene({
        runtimeLabels: { isNormalized: 'true' },
        applications: [
          { id: 'a1', name: 'mp-a1', bundles: [] },
          { id: 'a2', name: 'mp-a2', bundles: [] },
        ],
      })
      // As long as it is all that there is of ours, it may be the last.
      expect((await it.agent.pass()).outcome.held).toMatchObject([{ kind: 'last' }])
      expect(writesIn((await it.agent.pass()).calls)).toEqual([
        'delete secrets mp-app-0000-app-0000-bundle-0000',
      ])
      expect(await secretsIn(kube)).toEqual([])
    },
  )

  needsKube(
    'and finalizers keep is removed once, has its name and its Secrets until they are gone, and is named',
    async () => {
      await using it = await scene(landscape(3, 1, 1))
      await it.agent.pass()
      const holds = (finalizers: string[] | null) =>
        kube.client.merge(
          APPLICATIONS,
          { name: 'mp-app-0000' },
          { metadata: { finalizers } },
          signal,
        )
      await holds(['example.com/hold'])
      const [gone] = it.world.applications.splice(0, 1)
      // Another one of that name waits, in the pass that removes the old one and from then on.
      it.world.applications.push({ ...gone!, id: 'other', bundles: [aBundle('new', 1)] })
      const first = await it.agent.pass()
      expect(first.results).toContain('create application/other held')
      expect([...new Set(first.problems)]).toEqual(['name_taken'])
      for (let n = 0; n < 2; n++) {
        const { calls, problems, outcome } = await it.agent.pass()
        expect([writesIn(calls), problems]).toEqual([[], ['name_taken']])
        expect(outcome.problems[0]?.problem.message).toContain('its finalizers keep it there')
      }
      await holds(null)
      expect(await readApplication(kube, 'mp-app-0000')).toBeUndefined()
      expect((await it.agent.pass()).problems).toEqual([])
      expect((await readApplication(kube, 'mp-app-0000'))?.['spec']).toMatchObject({
        compassMetadata: { applicationId: 'other' },
      })
    },
  )

  needsKube(
    'twice for one application: the older is kept in step, the other is left and named',
    async () => {
      await using it = await scene(landscape(1, 1, 1))
      await it.agent.pass()
      const original = (await readApplication(kube, 'mp-app-0000'))!
      const { apiVersion, kind, spec } = original
      // Creation has whole seconds.
      await Bun.sleep(1100)
      const metadata = { name: 'mp-a-copy' }
      await person.create(APPLICATIONS, { apiVersion: apiVersion!, kind: kind!, metadata, spec })
      const before = await everythingIn(kube)
      it.world.applications[0]!.name = 'mp-a-copy'
      const { problems, calls } = await it.agent.pass()
      expect([problems, writesIn(calls)]).toEqual([['object_foreign'], []])
      expect(await everythingIn(kube)).toEqual(before)
    },
  )
})

describe('a Secret whose name is another one now', () => {
  needsKube(
    'as its bundle went to another application, is made anew and the old one goes',
    async () => {
      await using it = await scene(landscape(2, 2, 1))
      await it.agent.pass()
      const [first, second] = it.world.applications
      second!.bundles.push(first!.bundles.pop()!)
      const { calls } = await it.agent.pass()
      expect(writesIn(calls).sort()).toEqual([
        'create secrets mp-app-0001-app-0000-bundle-0001',
        'delete secrets mp-app-0000-app-0000-bundle-0001',
        'patch applications mp-app-0000',
        'patch applications mp-app-0001',
      ])
      expect(secretsNamedBy(await readApplication(kube, 'mp-app-0001'))).toContain(
        'mp-app-0001-app-0000-bundle-0001',
      )
      expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    },
  )

  needsKube('as its CR was deleted and the application renamed, too', async () => {
    await using it = await scene(landscape(2, 1, 1))
    await it.agent.pass()
    await person.remove(APPLICATIONS, 'mp-app-0000')
    it.world.applications[0]!.name = 'mp-renamed'
    await it.agent.pass()
    const names = (await secretsIn(kube)).map(({ metadata }) => metadata.name)
    expect(names).toEqual(['mp-app-0001-app-0001-bundle-0000', 'mp-renamed-app-0000-bundle-0000'])
    expect(secretsNamedBy(await readApplication(kube, 'mp-renamed'))).toEqual([names[1]!])
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })
})

describe('people', () => {
  const annotate = (name: string, what: string) =>
    person.change(APPLICATIONS, name, {
      metadata: { annotations: { [`${PREFIX}/${what}`]: 'disabled' } },
      spec: { description: 'theirs' },
    })

  needsKube('who want a CR left as it is are heard', async () => {
    await using it = await scene(landscape(2, 1, 1))
    await it.agent.pass()
    await annotate('mp-app-0000', 'reconcile')
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    it.world.applications.shift()
    expect(writesIn((await it.agent.pass()).calls)).toEqual([])
  })

  needsKube(
    'who want a CR kept keep it with its Secrets; until then it is kept in step',
    async () => {
      await using it = await scene(landscape(2, 1, 1))
      await it.agent.pass()
      await annotate('mp-app-0000', 'prune')
      expect((await it.agent.pass()).results).toEqual(['update application/app-0000'])
      it.world.applications.shift()
      expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    },
  )

  needsKube(
    'who keep a field by server-side apply are a conflict that has their name',
    async () => {
      await using it = await scene(landscape(2, 1, 1))
      await it.agent.pass()
      await person.apply(APPLICATIONS, {
        apiVersion: 'applicationconnector.kyma-project.io/v1alpha1',
        kind: 'Application',
        metadata: { name: 'mp-app-0000' },
        spec: { description: 'of GitOps' },
      })
      it.world.applications[1]!.bundles.push(aBundle('new', 1))
      const { outcome, results } = await it.agent.pass()
      expect(results).toEqual([
        'create binding/new',
        'update application/app-0000 failed',
        'update application/app-0001',
      ])
      const failed = outcome.results.find((one) => one.outcome === 'failed')?.problem
      expect(failed?.code).toBe('kubernetes_conflict')
      expect(failed?.subject).toBe('mp-app-0000')
      expect(failed?.message).toContain('person')
      expect(failed?.message).toContain('description')
    },
  )
})

describe('a cluster', () => {
  needsKube(
    'in which something changes between looking and writing loses nothing of it',
    async () => {
      const target = openTarget(kube.client)
      const apps = [application('a', { bundles: [bundle('a1')] }), application('b')]
      const plan = async () => {
        const observed = await target.observe(RUNTIME, signal)
        const changes = planChanges(target.render(desired(apps), observed), observed, desired(apps))
        return { target: 'kyma', changes }
      }
      await target.apply(await plan(), signal)
      apps[0] = application('a', { description: 'changed', bundles: [bundle('a2')] })
      const stale = await plan()
      await person.change(APPLICATIONS, 'mp-app-a', { metadata: { labels: { own: 'er' } } })
      await person.change(SECRETS, 'mp-app-a-a1', { metadata: { labels: { own: 'er' } } })
      const results = await target.apply(stale, signal)
      expect(results.map(({ key, outcome }) => `${key} ${outcome}`)).toEqual([
        'binding/a2 applied',
        'application/a held',
        'binding/a1 held',
      ])
      const again = await target.apply(await plan(), signal)
      expect(again.map(({ outcome }) => outcome)).toEqual(['applied', 'applied'])
      expect((await readApplication(kube, 'mp-app-a'))?.metadata.labels).toMatchObject({
        own: 'er',
      })
    },
  )

  needsKube('without the right to read or write says which', async () => {
    await kube.applyManifests([
      {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { namespace: NAMESPACE, name: 'poor' },
      },
    ])
    const poor = await kube.as({ namespace: NAMESPACE, name: 'poor' })
    const failure = await failureOf(openTarget(poor).observe(RUNTIME, signal))
    expect(failure.code).toBe('kubernetes_forbidden')
    expect(failure.message).toMatch(/lacks the right to list (applications|secrets)/)
  })

  needsKube(
    'that refuses one Secret holds the CR that would name it, and nothing else',
    async () => {
      await using it = await scene(landscape(2, 1, 1))
      await it.agent.pass()
      const [first, second] = it.world.applications
      first!.bundles.push(aBundle('good', 1), {
        ...aBundle('too-large', 1),
        defaultInstanceAuth: basic('x'.repeat(1_200_000)),
      })
      second!.bundles.push(aBundle('other', 1))
      const { outcome, results } = await it.agent.pass()
      expect(results).toEqual([
        'create binding/good',
        'create binding/other',
        'create binding/too-large failed',
        'update application/app-0000 held',
        'update application/app-0001',
      ])
      const problem = outcome.results.find((one) => one.outcome === 'failed')?.problem
      expect(problem).toMatchObject({ code: 'kubernetes_refused', subject: 'mp-app-0000' })
      const names = secretsNamedBy(await readApplication(kube, 'mp-app-0000'))
      expect(names).toEqual(['mp-app-0000-app-0000-bundle-0000'])
      first!.bundles.pop()
      expect((await it.agent.pass()).results).toEqual(['update application/app-0000'])
    },
  )

  needsKube('that is down for a while is in step again as soon as it is back', async () => {
    await using it = await scene(landscape(2, 1, 1))
    await it.agent.pass()
    await kube.kill()
    it.world.applications[0]!.bundles[0]!.defaultInstanceAuth = basic('rotated')
    await it.agent.fetch()
    expect((await failureOf(it.agent.apply())).code).toBe('unreachable')
    await kube.revive()
    expect((await it.agent.apply()).results).toEqual(['update binding/app-0000-bundle-0000'])
  })

  needsKube('without the kind says so, and goes on by itself once it is there', async () => {
    await person.remove(DEFINITIONS, 'applications.applicationconnector.kyma-project.io')
    await using it = await scene(landscape(2, 1, 1))
    const failure = await failureOf(until(() => openTarget(kube.client).observe(RUNTIME, signal)))
    expect(failure.code).toBe('kubernetes_missing')
    await kube.applyManifests(
      readFileSync(new URL('../../kube/application.yaml', import.meta.url), 'utf8'),
    )
    expect((await it.agent.pass()).results).toHaveLength(4)
  })
})

const DEFINITIONS: Resource = {
  ...{ group: 'apiextensions.k8s.io', version: 'v1', plural: 'customresourcedefinitions' },
  ...{ kind: 'CustomResourceDefinition', namespaced: false },
}

/** Until it fails: a kind that is removed is still served for a moment. */
async function until(work: () => Promise<unknown>): Promise<void> {
  for (;;) {
    await work()
    await Bun.sleep(50)
  }
}

describe('a place that is not there', () => {
  needsKube(
    '(the namespace) is said once, before many Applications name what is missing',
    async () => {
      const target = openTarget(kube.client, 'missing')
      const apps = Array.from({ length: 40 }, (_, n) => application(`m${n}`))
      const observed = await target.observe(RUNTIME, signal)
      const changes = planChanges(target.render(desired(apps), observed), observed, desired(apps))
      const results = await target.apply({ target: 'kyma', changes }, signal)
      expect(results.filter(({ outcome }) => outcome === 'applied').length).toBeLessThanOrEqual(17)
      expect(results.find(({ outcome }) => outcome === 'failed')?.problem).toMatchObject({
        code: 'kubernetes_missing',
        message: expect.stringContaining('the namespace missing does not exist'),
      })
    },
  )
})

test('what is rendered prints no secret, and a plan of it neither', () => {
  const render = createKymaRender({ gatewayUrl: GATEWAY, digestKey: new Secret('canary-key') })
  const auth = { ...basicAuth('canary-user', 'canary-word'), ...headers({ X: ['canary-header'] }) }
  const want = desired([application('a', { bundles: [bundle('a1', { auth })] })])
  const observed = new ObservedKyma([], [])
  const rendered = render(want, observed)
  const changes = planChanges(rendered, observed, want)
  expect(changes).toHaveLength(3)
  for (const text of [JSON.stringify(changes), Bun.inspect(changes, { depth: 20 })])
    for (const secret of ['canary-user', 'canary-word', 'canary-header', btoa('canary-word')])
      expect(text).not.toContain(secret)
})
