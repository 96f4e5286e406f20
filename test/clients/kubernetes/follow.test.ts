import { describe, expect } from 'bun:test'
import { SECRETS } from '../../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../../src/clients/kubernetes/api.ts'
import { followObject } from '../../../src/clients/kubernetes/follow.ts'
import { toBase64 } from '../../../src/runtime/base64.ts'
import { FakeClock } from '../../fakes.ts'
import { kubeForTests, needsKube } from '../../kube.ts'

const never = new AbortController().signal
const MINUTE = 60_000

describe('following one object', () => {
  const kube = kubeForTests()

  const secretOf = (namespace: string, value: string): KubeObject => ({
    metadata: { namespace, name: 'followed' },
    data: { key: toBase64(value) },
  })
  const create = (namespace: string, value: string): Promise<KubeObject> =>
    kube().client.create(SECRETS, secretOf(namespace, value), never)
  const change = (namespace: string, value: string): Promise<KubeObject> =>
    kube().client.merge(
      SECRETS,
      { namespace, name: 'followed' },
      { data: { key: toBase64(value) } },
      never,
    )

  function open(kubernetes: Kubernetes, namespace: string) {
    const clock = new FakeClock()
    const seen: (string | undefined)[] = []
    const follower = followObject({
      kubernetes,
      resource: SECRETS,
      ref: { namespace, name: 'followed' },
      now: () => clock.now(),
      seen: (object) => seen.push(valueOf(object)),
    })
    return { follower, clock, seen, value: () => valueOf(follower.latest()?.object) }
  }

  needsKube('sees it come, change and go within moments, and nothing else', async () => {
    await kube().namespace('follow-a')
    const { follower, seen, value } = open(kube().client, 'follow-a')
    expect(follower.latest()).toBeUndefined()
    await follower.look()
    expect(follower.latest()).toEqual({ object: undefined })
    await kube().client.create(
      SECRETS,
      { metadata: { namespace: 'follow-a', name: 'other' } },
      never,
    )
    await create('follow-a', 'one')
    await until(() => value() === 'one')
    await change('follow-a', 'two')
    await until(() => value() === 'two')
    await kube().client.remove(SECRETS, { namespace: 'follow-a', name: 'followed' }, {}, never)
    await until(() => value() === undefined)
    expect(seen).toEqual([undefined, 'one', 'two', undefined])
    follower.close()
  })

  needsKube('without the right to watch reads it every half minute, and no oftener', async () => {
    await kube().namespace('follow-b')
    await create('follow-b', 'one')
    await kube().applyManifests(role('follow-b', ['get']))
    const client = await kube().as({ namespace: 'follow-b', name: 'follower' })
    const { follower, clock, value } = open(client, 'follow-b')
    await follower.look()
    expect(value()).toBe('one')
    expect(follower.problem()).toBeUndefined()
    await change('follow-b', 'two')
    const mark = kube().auditMark()
    await clock.advance(29_000)
    await follower.look()
    await clock.advance(2000)
    await follower.look()
    await until(() => value() === 'two')
    const gets = kube()
      .auditLog(mark)
      .filter(({ user }) => user.endsWith('follow-b:follower'))
    expect(gets.map(({ verb }) => verb)).toEqual(['get'])
    follower.close()
  })

  needsKube('takes up the watch once the right is there', async () => {
    await kube().namespace('follow-c')
    await create('follow-c', 'one')
    await kube().applyManifests(role('follow-c', ['get']))
    const client = await kube().as({ namespace: 'follow-c', name: 'follower' })
    const { follower, clock, value } = open(client, 'follow-c')
    await follower.look()
    await kube().applyManifests(role('follow-c', ['get', 'list', 'watch']))
    await clock.advance(6 * MINUTE)
    await until(async () => {
      await clock.advance(6 * MINUTE)
      await follower.look()
      await change('follow-c', `x${clock.now()}`)
      await Bun.sleep(50)
      return value()?.startsWith('x') === true && follower.problem() === undefined
    })
    follower.close()
  })

  needsKube('names the missing right when it may do neither', async () => {
    await kube().namespace('follow-d')
    await kube().applyManifests(role('follow-d', []))
    const client = await kube().as({ namespace: 'follow-d', name: 'follower' })
    const { follower } = open(client, 'follow-d')
    await follower.look()
    expect(follower.latest()).toBeUndefined()
    expect(follower.problem()?.code).toBe('kubernetes_forbidden')
    expect(follower.problem()?.message).toContain('lacks the right to get secrets')
    follower.close()
  })

  needsKube('keeps what it saw through an outage, and goes on after it', async () => {
    await kube().namespace('follow-e')
    await create('follow-e', 'one')
    const { follower, clock, value } = open(kube().client, 'follow-e')
    await follower.look()
    await kube().kill()
    await until(() => follower.problem() !== undefined)
    expect(value()).toBe('one')
    expect(follower.problem()?.class).toBe('retry')
    await kube().revive()
    await change('follow-e', 'two')
    await until(async () => {
      await clock.advance(6000)
      await follower.look()
      return value() === 'two'
    })
    expect(follower.problem()).toBeUndefined()
    follower.close()
  })
})

function valueOf(object: KubeObject | undefined): string | undefined {
  const data = object?.['data'] as Record<string, string> | undefined
  return data?.['key'] === undefined ? undefined : atob(data['key'])
}

function role(namespace: string, verbs: string[]): string {
  return `
apiVersion: v1
kind: ServiceAccount
metadata: {name: follower, namespace: ${namespace}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: follower, namespace: ${namespace}}
rules: ${verbs.length === 0 ? '[]' : `[{apiGroups: [""], resources: [secrets], resourceNames: [followed], verbs: [${verbs.join(', ')}]}]`}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: follower, namespace: ${namespace}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: follower}
subjects: [{kind: ServiceAccount, name: follower, namespace: ${namespace}}]
`
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await condition()) return
    await Bun.sleep(25)
  }
  throw new Error('it never came about')
}
