/** What is pure of the target kyma: nothing that was written ever seems to have drifted, whatever is in it. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { KubeObject } from '../../../src/clients/kubernetes/api.ts'
import type { Application, Auth } from '../../../src/model/application.ts'
import { Secret } from '../../../src/model/secret.ts'
import type { Desired } from '../../../src/model/target.ts'
import { ApplicationWish, newApplication } from '../../../src/targets/kyma-application.ts'
import { ObservedKyma, readApplication } from '../../../src/targets/kyma-observe.ts'
import { createKymaRender } from '../../../src/targets/kyma-render.ts'
import { newSecret, readSecret, SecretWish } from '../../../src/targets/kyma-secret.ts'
import { bare, bundle, desired, oauth, application, basic } from '../../model/samples.ts'
import { GATEWAY, NAMESPACE } from './support.ts'

const digestKey = new Secret('digest-key-of-a-test')
const openRender = () => createKymaRender({ gatewayUrl: GATEWAY, digestKey })
const EMPTY = new ObservedKyma([], [])

/** What an API server makes of an object: JSON in UTF-8, members of maps in the order of their names. */
function stored(object: KubeObject, uid: string): KubeObject {
  const sorted = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(sorted)
    if (typeof value === 'string') return value.toWellFormed()
    if (typeof value !== 'object' || value === null) return value
    const members = Object.entries(value).map(([key, one]) => [key, sorted(one)] as const)
    return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)))
  }
  const copy = sorted(JSON.parse(JSON.stringify(object))) as KubeObject
  return { ...copy, metadata: { ...copy.metadata, uid, resourceVersion: '1' } }
}

/** The cluster after everything that is rendered was written into an empty one. */
function written(want: Desired): ObservedKyma {
  const { objects } = openRender()(want, EMPTY)
  const contents = [...objects.values()].map(({ content }) => content)
  const applications = contents
    .filter((one) => one instanceof ApplicationWish)
    .map((wish) =>
      stored(newApplication(wish.owned(), false), `uid-of-${wish.owned().metadata.name}`),
    )
  const secrets = contents
    .filter((one) => one instanceof SecretWish)
    .map((wish) => {
      const uid = `uid-of-${wish.ids.application}`
      return stored(newSecret(wish, NAMESPACE, uid), `uid-of-${wish.name}`)
    })
  return new ObservedKyma(
    applications.map(readApplication),
    secrets.map((one) => readSecret(digestKey, one)).filter((one) => one !== undefined),
  )
}

const digests = (objects: ReadonlyMap<string, { digest: string }>) =>
  [...objects].map(([key, { digest }]) => [key, digest]).sort()

describe('what was written', () => {
  const lone = fc.constantFrom('\uD800', 'a\uDC00b')
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 12 }), lone)
  const secret = text.map((value) => new Secret(value))
  const map = fc.dictionary(text, fc.array(secret, { maxLength: 2 }), { maxKeys: 4 })
  const auth: fc.Arbitrary<Auth> = fc.record(
    {
      credential: fc.oneof(
        fc.record({ type: fc.constant('basic' as const), username: secret, password: secret }),
        fc.record({
          ...{ type: fc.constant('oauth' as const), clientId: secret, clientSecret: secret },
          tokenUrl: text,
        }),
      ),
      headers: map,
      queryParams: map,
      csrf: fc.record({ tokenUrl: text }),
    },
    { requiredKeys: [] },
  )
  const definition = fc.record({ id: text, name: text, targetUrl: text })
  const some = fc.record({
    ...{ name: text, description: text, authIds: fc.array(text, { maxLength: 3 }) },
    bundles: fc.array(
      fc.record({
        ...{ name: text, description: text, inputSchema: text, auth },
        apis: fc.array(definition, { maxLength: 3 }),
        events: fc.array(definition, { maxLength: 3 }),
      }),
      { maxLength: 3 },
    ),
  })

  test('is seen as it is rendered, whatever text is in it', () => {
    fc.assert(
      fc.property(some, ({ bundles, ...rest }) => {
        const want = desired([
          application('a', { ...rest, bundles: bundles.map((one, n) => bundle(`b${n}`, one)) }),
        ])
        const observed = written(want)
        const rendered = openRender()(want, observed)
        expect(digests(rendered.objects)).toEqual(digests(observed.objects))
      }),
      { numRuns: 300 },
    )
  })

  test('in another order is the same, and with another word it is not', () => {
    const apis = [
      { id: '1', name: 'one', targetUrl: 'https://one.example' },
      { id: '2', name: 'two', targetUrl: 'https://two.example' },
    ]
    const of = (more: Partial<Application>) =>
      [...openRender()(desired([application('a', more)]), EMPTY).objects.values()][0]!.digest
    const first = bundle('b1', { apis })
    const second = bundle('b2')
    const plain = of({ bundles: [first, second], authIds: ['x', 'y'] })
    const turned = { ...first, apis: apis.toReversed() }
    expect(of({ bundles: [second, turned], authIds: ['y', 'x'] })).toBe(plain)
    for (const other of [
      { bundles: [first], authIds: ['x', 'y'] },
      { bundles: [first, second], authIds: ['x'] },
      { bundles: [first, { ...second, name: 'x' }], authIds: ['x', 'y'] },
      { bundles: [first, second], authIds: ['x', 'y'], description: 'x' },
      { bundles: [{ ...first, auth: oauth() }, second], authIds: ['x', 'y'] },
    ])
      expect(of(other)).not.toBe(plain)
  })
})

describe('an unchanged application', () => {
  test('is rendered once, and again where its CR has another uid or its bundles other credentials', () => {
    const render = openRender()
    const one = application('a', { bundles: [bundle('b1')] })
    const want = desired([one, application('b')])
    const observed = written(want)
    const objects = (of: Desired, at: ObservedKyma) => render(of, at).objects
    const first = objects(want, observed)
    expect(objects(want, observed).get('binding/b1')).toBe(first.get('binding/b1'))
    const recreated = new ObservedKyma(
      [...observed.byId.values()].map((seen) => ({ ...seen, uid: 'another' })),
      [...observed.secrets.values()],
    )
    const again = objects(want, recreated)
    expect(again.get('application/a')).toBe(first.get('application/a'))
    expect(again.get('binding/b1')!.digest).not.toBe(first.get('binding/b1')!.digest)
    const rotated = { ...one, bundles: [bundle('b1', { auth: basic('user', 'rotated') })] }
    const after = objects(desired([rotated]), observed)
    expect(after.get('binding/b1')!.digest).not.toBe(first.get('binding/b1')!.digest)
    expect(after.get('application/a')!.digest).toBe(first.get('application/a')!.digest)
  })

  test('of which nobody knows the credentials keeps what is published, also where its CR changes', () => {
    const observed = written(desired([application('a', { bundles: [bundle('b1'), bundle('b2')] })]))
    const unknown = bare('b1', { authMissingSince: 1 })
    const want = desired([
      application('a', { description: 'changed', bundles: [unknown, bundle('b2')] }),
    ])
    const { objects, problems } = openRender()(want, observed)
    expect([...objects.keys()]).toEqual(['application/a', 'binding/b2'])
    expect(problems).toMatchObject([{ owner: { bundle: 'b1' }, withheld: true }])
    const { content } = objects.get('application/a')!
    const sent = content instanceof ApplicationWish ? JSON.stringify(content.owned()) : ''
    expect(sent).toContain('"secretName":"mp-app-a-b1"')
    expect(sent).toContain('"description":"changed"')
  })
})
