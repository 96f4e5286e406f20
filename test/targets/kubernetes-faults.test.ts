import { describe, expect } from 'bun:test'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../src/clients/kubernetes/api.ts'
import { AgentError } from '../../src/model/problem.ts'
import { bindingName } from '../../src/model/names.ts'
import { kubeForTests, needsKube } from '../kube.ts'
import { application, basic, bundle } from '../model/samples.ts'
import {
  annotation,
  dataOf,
  encode,
  Namespace,
  outcomes,
  pass,
  patchStatus,
  signal,
  targetsOf,
  versionOf,
} from './kubernetes-place.ts'

const kube = kubeForTests()
const one = application('a')
const two = application('b')
const nameOf = ({ name, bundles }: typeof one): string => bindingName(name, bundles[0]!)
const rotated = application('a', { bundles: [bundle('a-1', { auth: basic('user', 'new') })] })

const codeOf = (thrown: unknown) =>
  thrown instanceof AgentError ? `${thrown.code}: ${thrown.message}` : thrown

/** A Secret as a person makes it. */
function foreign(namespace: Namespace, some: Partial<KubeObject> = {}): Promise<KubeObject> {
  const metadata = { name: nameOf(one), namespace: namespace.name }
  const secret = { metadata, type: 'Opaque', data: { theirs: encode('value') }, ...some }
  return kube().client.create(SECRETS, secret, signal)
}

/** A client that does something before each call of `method`. */
function before(method: 'create' | 'merge' | 'remove', act: () => Promise<unknown>): Kubernetes {
  const client = kube().client
  return new Proxy(client, {
    get(_, name) {
      const member: unknown = Reflect.get(client, name)
      if (name !== method || typeof member !== 'function') return member
      return async (...given: unknown[]) => {
        await act()
        return Reflect.apply(member, client, given) as unknown
      }
    },
  })
}

describe('a Secret that is not ours', () => {
  needsKube('of the same name is a problem of its binding, and stays as it is', async () => {
    const namespace = await Namespace.make(kube())
    const theirs = await foreign(namespace)
    const target = namespace.target()
    const outcome = await pass(target, [one, two])
    expect(outcomes(outcome)).toEqual(['binding/a-1 failed object_foreign', 'binding/b-1 applied'])
    expect(outcome.results[0]?.problem).toMatchObject({
      message: `Cannot create ${nameOf(one)}: there is one that is not of this agent`,
      subject: 'App a / Bundle a-1',
    })
    expect(outcomes(await pass(target, [two]))).toEqual([])
    const after = await namespace.secrets()
    expect(after.map(versionOf)).toContain(versionOf(theirs))
    await namespace.remove(nameOf(one))
    expect(outcomes(await pass(target, [one, two]))).toEqual(['binding/a-1 applied'])
  })

  needsKube(
    'would be merged into by server-side apply, which is why we do not use it',
    async () => {
      const namespace = await Namespace.make(kube())
      await foreign(namespace)
      const metadata = { name: nameOf(one), namespace: namespace.name }
      const ours = { metadata, data: { password: encode('ours') } }
      const merged = await kube().client.apply(SECRETS, ours, signal)
      expect(dataOf(merged)).toEqual({ theirs: 'value', password: 'ours' })
    },
  )

  needsKube('of another agent, or of another runtime, is none of our business', async () => {
    const namespace = await Namespace.make(kube())
    const [first, second] = [
      namespace.target({ agent: 'first' }),
      namespace.target({ agent: 'second' }),
    ]
    await pass(first, [one])
    await pass(second, [two])
    const before = (await namespace.secrets()).map(versionOf)
    expect(outcomes(await pass(first, [one]))).toEqual([])
    expect(outcomes(await pass(second, [two]))).toEqual([])
    expect(outcomes(await pass(second, [one, two]))).toEqual(['binding/a-1 failed object_foreign'])
    expect((await namespace.secrets()).map(versionOf)).toEqual(before)
    expect(outcomes(await pass(second, []))).toEqual(['binding/b-1 applied'])
    expect((await namespace.secrets()).map(versionOf)).toEqual(before.slice(0, 1))
    const { objects } = await first.observe('another-runtime', signal)
    expect(objects.size).toBe(0)
  })

  needsKube('any more, as a person took the labels away, is given up', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [one])
    const labels = { [annotation('agent')]: null }
    const released = await namespace.edit(nameOf(one), { metadata: { labels } })
    expect(outcomes(await pass(target, []))).toEqual([])
    expect(versionOf(await namespace.secret())).toBe(versionOf(released))
  })

  needsKube('but a copy of ours with its marks is left, and told of', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [one])
    const ours = await namespace.secret()
    const { labels, annotations } = ours.metadata
    const metadata = { name: 'a-copy', namespace: namespace.name, labels, annotations }
    await Bun.sleep(1100) // creationTimestamp has whole seconds
    await foreign(namespace, { ...ours, metadata } as KubeObject)
    const { results, problems } = await pass(target, [one])
    expect(results).toEqual([])
    expect(problems.map(({ problem }) => [problem.code, problem.subject])).toEqual([
      ['object_foreign', 'a-copy'],
    ])
    await pass(target, [])
    const { metadata: left } = await namespace.secret()
    expect(left.name).toBe('a-copy')
  })
})

describe('what the cluster refuses', () => {
  needsKube('hits all when the namespace is missing, and heals when it comes', async () => {
    const client = kube().client
    const [target] = targetsOf({ namespaces: ['late'], kubernetes: client })
    expect(await pass(target!, [one, two]).catch(codeOf)).toStartWith('kubernetes_missing: ')
    await kube().namespace('late')
    expect(outcomes(await pass(target!, [one, two]))).toEqual([
      'binding/a-1 applied',
      'binding/b-1 applied',
    ])
  })

  needsKube('by a policy fails that binding alone', async () => {
    const namespace = await Namespace.make(kube())
    await kube().applyManifests(policyAgainst(nameOf(one), namespace.name))
    const metadata = { name: nameOf(one), namespace: namespace.name }
    for (let i = 0; i < 200; i++) {
      const dry = kube().client.create(SECRETS, { metadata }, signal, { dryRun: true })
      if (typeof (await dry.catch(codeOf)) === 'string') break
      await Bun.sleep(50)
    }
    const target = namespace.target()
    const { results } = await pass(target, [one, two])
    expect(results.map(({ outcome }) => outcome)).toEqual(['failed', 'applied'])
    expect(JSON.stringify(results)).not.toContain(encode('pass'))
    expect(results[0]?.problem).toMatchObject({
      code: 'kubernetes_refused',
      subject: 'App a / Bundle a-1',
      message: expect.stringContaining('not on a full moon'),
    })
  })

  needsKube('as a quota is reached fails what is beyond, and heals', async () => {
    const namespace = await Namespace.make(kube())
    await setQuota(namespace.name, 1)
    const target = namespace.target()
    const { results } = await pass(target, [one, two])
    expect(results.map(({ outcome }) => outcome).sort()).toEqual(['applied', 'failed'])
    const failed = results.find(({ outcome }) => outcome === 'failed')
    expect(failed?.problem).toMatchObject({
      code: 'kubernetes_refused',
      message: expect.stringContaining('exceeded quota'),
    })
    await setQuota(namespace.name, 5)
    expect((await pass(target, [one, two])).results.map(({ outcome }) => outcome)).toEqual([
      'applied',
    ])
  })

  needsKube('as a person made the Secret immutable fails that binding alone', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [one, two])
    await namespace.edit(nameOf(one), { immutable: true })
    expect(outcomes(await pass(target, [rotated, two]))).toEqual([
      'binding/a-1 failed kubernetes_refused',
    ])
  })

  needsKube('to keep as it was written is told, not written for ever in silence', async () => {
    const namespace = await Namespace.make(kube())
    const client = kube().client
    const bent: Kubernetes = {
      ...client,
      create: (resource, object, stop, options) => {
        const data = { ...Object(object['data']), password: encode('bent') }
        return client.create(resource, { ...object, data }, stop, options)
      },
    }
    const { results } = await pass(namespace.target({ kubernetes: bent }), [one])
    expect(results[0]).toMatchObject({
      outcome: 'failed',
      problem: { code: 'kubernetes_refused', message: expect.stringContaining('on the way') },
    })
  })
})

describe('rights', () => {
  needsKube('that are missing in one namespace stop the target of that one only', async () => {
    const [open, closed] = [await Namespace.make(kube()), await Namespace.make(kube())]
    const kubernetes = await accountWith(open, ['list', 'get', 'create', 'patch', 'delete'])
    const targets = targetsOf({ namespaces: [open.name, closed.name], kubernetes })
    expect(targets.map(({ name }) => name)).toEqual([
      `kubernetes/${open.name}`,
      `kubernetes/${closed.name}`,
    ])
    expect(outcomes(await pass(targets[0]!, [one]))).toEqual(['binding/a-1 applied'])
    const refused = await pass(targets[1]!, [one]).catch(codeOf)
    expect(refused).toStartWith('kubernetes_forbidden: ')
    expect(refused).toContain('list secrets')
    expect(outcomes(await pass(targets[0]!, [rotated]))).toEqual(['binding/a-1 applied'])
    await pass(targets[0]!, [])
    expect(await open.secrets()).toEqual([])
  })

  needsKube('to change are named, and what may be created is created', async () => {
    const namespace = await Namespace.make(kube())
    const kubernetes = await accountWith(namespace, ['list', 'get', 'create'])
    const target = namespace.target({ kubernetes })
    await pass(target, [one])
    const outcome = await pass(target, [rotated, two])
    expect(outcomes(outcome)).toEqual([
      'binding/b-1 applied',
      'binding/a-1 failed kubernetes_forbidden',
    ])
    expect(outcome.results[1]?.problem?.message).toContain('patch')
  })
})

describe('what changes while we look away', () => {
  needsKube('is not overwritten: the change waits for the next pass', async () => {
    const namespace = await Namespace.make(kube())
    await pass(namespace.target(), [one])
    const kubernetes = before('merge', () =>
      namespace.edit(nameOf(one), { data: { extra: encode(crypto.randomUUID()) } }),
    )
    const target = namespace.target({ kubernetes })
    expect(outcomes(await pass(target, [rotated]))).toEqual([
      'binding/a-1 held kubernetes_conflict',
    ])
    expect(dataOf(await namespace.secret())['password']).toBe('pass')
    expect(outcomes(await pass(namespace.target(), [rotated]))).toEqual(['binding/a-1 applied'])
    expect(dataOf(await namespace.secret())).toMatchObject({ password: 'new' })
  })

  needsKube('is not removed', async () => {
    const namespace = await Namespace.make(kube())
    await pass(namespace.target(), [one])
    const labels = { [annotation('agent')]: 'another' }
    const kubernetes = before('remove', () => namespace.edit(nameOf(one), { metadata: { labels } }))
    expect(outcomes(await pass(namespace.target({ kubernetes }), []))).toEqual([
      'binding/a-1 held kubernetes_conflict',
    ])
    expect(await namespace.secrets()).toHaveLength(1)
    expect(outcomes(await pass(namespace.target(), []))).toEqual([])
  })

  needsKube('or goes, is no failure', async () => {
    const namespace = await Namespace.make(kube())
    const target = (method: 'merge' | 'remove') =>
      namespace.target({ kubernetes: before(method, () => namespace.remove(nameOf(one))) })
    await pass(namespace.target(), [one])
    expect(outcomes(await pass(target('merge'), [rotated]))).toEqual([
      'binding/a-1 held kubernetes_missing',
    ])
    await pass(namespace.target(), [one])
    expect(outcomes(await pass(target('remove'), []))).toEqual(['binding/a-1 applied'])
  })
})

describe('an annotated Secret', () => {
  needsKube('with reconcile: disabled is left as it is', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [one])
    const annotations = { [annotation('reconcile')]: 'disabled' }
    const data = { password: encode('by hand') }
    const edited = await namespace.edit(nameOf(one), { metadata: { annotations }, data })
    expect(outcomes(await pass(target, [rotated]))).toEqual([])
    expect(outcomes(await pass(namespace.target(), []))).toEqual(['binding/a-1 held object_in_use'])
    expect(versionOf(await namespace.secret())).toBe(versionOf(edited))
    await namespace.edit(nameOf(one), {
      metadata: { annotations: { [annotation('reconcile')]: null } },
    })
    expect(outcomes(await pass(target, [rotated]))).toEqual(['binding/a-1 applied'])
  })

  needsKube('with prune: disabled is changed, but not removed', async () => {
    const namespace = await Namespace.make(kube())
    const target = namespace.target()
    await pass(target, [one])
    const annotations = { [annotation('prune')]: 'disabled' }
    await namespace.edit(nameOf(one), { metadata: { annotations } })
    expect(outcomes(await pass(target, [rotated]))).toEqual(['binding/a-1 applied'])
    const { results } = await pass(target, [])
    expect(results).toMatchObject([
      { outcome: 'held', problem: { message: expect.stringContaining('prune: disabled') } },
    ])
    expect(await namespace.secrets()).toHaveLength(1)
  })
})

describe('an API server that goes away', () => {
  needsKube('fails the pass, and afterwards all is as it should be', async () => {
    const namespace = await Namespace.make(kube())
    const apps = Array.from({ length: 60 }, (_, n) => application(`app-${n}`))
    let calls = 0
    const kubernetes = before('create', async () => {
      if (++calls === 20) await kube().kill()
    })
    const { results } = await pass(namespace.target({ kubernetes }), apps)
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['applied', 'failed']))
    expect(calls).toBeLessThan(60)
    const target = namespace.target()
    const down = await pass(target, apps).catch(codeOf)
    expect(down).toStartWith('unreachable: ')
    await kube().revive()
    await pass(target, apps)
    expect(await namespace.secrets()).toHaveLength(60)
    expect(outcomes(await pass(target, apps))).toEqual([])
  })
})

function policyAgainst(name: string, namespace: string): string {
  return `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: ${namespace}}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}
  validations:
    - {expression: "object.metadata.name != '${name}'", message: not on a full moon}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: ${namespace}}
spec:
  policyName: ${namespace}
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ${namespace}}}
`
}

/** With the status that a controller-manager would write. */
async function setQuota(namespace: string, secrets: number): Promise<void> {
  const hard = { 'count/secrets': String(secrets) }
  const metadata = { name: 'quota', namespace }
  await kube().applyManifests([
    { apiVersion: 'v1', kind: 'ResourceQuota', metadata, spec: { hard } },
  ])
  const path = `/api/v1/namespaces/${namespace}/resourcequotas/quota`
  await patchStatus(kube(), path, { hard, used: { 'count/secrets': '0' } })
}

/** A service account with these verbs on Secrets of the namespace. */
async function accountWith(namespace: Namespace, verbs: string[]): Promise<Kubernetes> {
  const metadata = { name: 'agent', namespace: namespace.name }
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'agent' }
  const subjects = [{ kind: 'ServiceAccount', ...metadata }]
  const rules = [{ apiGroups: [''], resources: ['secrets'], verbs }]
  await kube().applyManifests([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata, rules },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef,
      subjects,
    },
  ])
  return kube().as(metadata)
}
