import { beforeAll, describe, expect } from 'bun:test'
import {
  APPLICATIONS,
  LEASES,
  SECRETS,
  type Access,
  type KubeObject,
  type Kubernetes,
  type Resource,
} from '../../../src/clients/kubernetes/api.ts'
import type { AgentError } from '../../../src/model/problem.ts'
import { kubeForTests, needsKube } from '../../kube.ts'
import { everythingOf, failureOf } from '../server.ts'
import { aSecret, anApplication, signal } from './samples.ts'

/*
 * Every operation of the port on a real API server: what only it can tell is what server-side apply, preconditions,
 * admission and rights do.
 */

const kube = kubeForTests()
let client: Kubernetes
const admin = (): Kubernetes => kube().client

const ROBOTS: Resource = { ...APPLICATIONS, plural: 'robots', kind: 'Robot' }
const POLICIES: Resource = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  plural: 'validatingadmissionpolicies',
  kind: 'ValidatingAdmissionPolicy',
  namespaced: false,
}
const POLICY_BINDINGS: Resource = {
  ...POLICIES,
  plural: 'validatingadmissionpolicybindings',
  kind: 'ValidatingAdmissionPolicyBinding',
}

beforeAll(async () => {
  if (kubeIsThere()) {
    await kube().namespace('team-a')
    client = admin()
  }
})

/** False where all tests are skipped. */
function kubeIsThere(): boolean {
  try {
    kube()
    return true
  } catch {
    return false
  }
}

describe('reading', () => {
  needsKube(
    'gives an object with kind and metadata, and undefined when there is none',
    async () => {
      await client.create(SECRETS, aSecret('readable', { user: 'me' }), signal)
      const found = await client.get(SECRETS, { name: 'readable', namespace: 'team-a' }, signal)
      expect(found).toMatchObject({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'readable', namespace: 'team-a', uid: expect.any(String) },
        data: { user: btoa('me') },
      })
      expect(
        await client.get(SECRETS, { name: 'absent', namespace: 'team-a' }, signal),
      ).toBeUndefined()
      expect(
        await client.get(SECRETS, { name: 'absent', namespace: 'no-such' }, signal),
      ).toBeUndefined()
      expect(await client.get(APPLICATIONS, { name: 'absent' }, signal)).toBeUndefined()
    },
  )

  needsKube('tells a kind that is not installed from an object that is not there', async () => {
    const one = await failureOf(client.get(ROBOTS, { name: 'marvin' }, signal))
    expect(one.code).toBe('kubernetes_missing')
    expect(one.message).toMatch(
      /^Cannot read Robot marvin at 127\.0\.0\.1:\d+: the API server does not serve this kind/,
    )
    expect(one.detail['missing']).toBe('kind')
    const group: Resource = { ...ROBOTS, group: 'no.such.group' }
    const other = await failureOf(client.list(group, {}, signal))
    expect([other.code, other.detail['missing']]).toEqual(['kubernetes_missing', 'kind'])
    expect(other.message).toStartWith('Cannot list robots at ')
  })

  needsKube('lists all pages as of one moment, by namespace, label and name', async () => {
    await kube().namespace('many')
    const names = Array.from({ length: 520 }, (_, i) => `one-${String(i).padStart(3, '0')}`)
    await inParallel(names, (name) => {
      const object = aSecret(name, { value: 'v' }, 'many')
      const labels = { half: Number(name.slice(4)) % 2 === 0 ? 'even' : 'odd' }
      return client.create(SECRETS, { ...object, metadata: { ...object.metadata, labels } }, signal)
    })
    const mark = kube().auditMark()
    const all = await client.list(SECRETS, { namespace: 'many' }, signal)
    expect(all.items.map(({ metadata }) => metadata.name).sort()).toEqual(names)
    expect(all.items[0]).toMatchObject({ apiVersion: 'v1', kind: 'Secret' })
    expect(all.resourceVersion).toMatch(/^\d+$/)
    const pages = kube().auditLog(mark)
    expect(pages.map(({ verb, resource }) => [verb, resource])).toEqual([
      ['list', 'secrets'],
      ['list', 'secrets'],
    ])
    const even = await client.list(SECRETS, { namespace: 'many', labels: 'half=even' }, signal)
    expect(even.items).toHaveLength(260)
    const fields = 'metadata.name=one-007'
    const bond = await client.list(SECRETS, { namespace: 'many', fields }, signal)
    expect(bond.items.map(({ metadata }) => metadata.name)).toEqual(['one-007'])
    expect((await client.list(SECRETS, { namespace: 'no-such' }, signal)).items).toEqual([])
  })

  needsKube('lists metadata alone: no values travel', async () => {
    await kube().namespace('quiet')
    await client.create(SECRETS, aSecret('one', { password: 'canary-value' }, 'quiet'), signal)
    await client.create(APPLICATIONS, anApplication('quiet-app'), signal)
    const scope = { namespace: 'quiet', only: 'metadata' } as const
    const { items } = await client.list(SECRETS, scope, signal)
    expect(items.map(({ kind, metadata }) => [kind, metadata.name])).toEqual([['Secret', 'one']])
    expect(items[0]).not.toHaveProperty('data')
    expect(items[0]!.metadata).not.toHaveProperty('managedFields')
    expect(items[0]!.metadata.resourceVersion).toMatch(/^\d+$/)
    const applications = await client.list(APPLICATIONS, { only: 'metadata' }, signal)
    const mine = applications.items.find(({ metadata }) => metadata.name === 'quiet-app')
    expect(mine?.kind).toBe('Application')
    expect(mine).not.toHaveProperty('spec')
  })
})

describe('creating', () => {
  needsKube('gives what was stored; a second one of the name is a conflict', async () => {
    const made = await client.create(SECRETS, aSecret('made', { a: 'b' }), signal)
    expect(made.metadata.resourceVersion).toMatch(/^\d+$/)
    expect(made.metadata.managedFields).toEqual([{ manager: 'runtime-agent', operation: 'Update' }])
    const again = await failureOf(client.create(SECRETS, aSecret('made'), signal))
    expect([again.code, again.detail['reason']]).toEqual(['kubernetes_conflict', 'AlreadyExists'])
  })

  needsKube('as a dry run stores nothing', async () => {
    await client.create(SECRETS, aSecret('dry'), signal, { dryRun: true })
    expect(await client.get(SECRETS, { name: 'dry', namespace: 'team-a' }, signal)).toBeUndefined()
  })

  needsKube('names a namespace that is missing', async () => {
    const error = await failureOf(client.create(SECRETS, aSecret('x', {}, 'no-such'), signal))
    expect(error.code).toBe('kubernetes_missing')
    expect(error.detail['missing']).toBe('namespace')
    expect(error.message).toMatch(
      /^Cannot create Secret no-such\/x at \S+: the namespace no-such does not exist$/,
    )
    expect(error.class).toBe('operator')
  })

  needsKube('is refused for a name and for content that the API does not take', async () => {
    const name = await failureOf(client.create(SECRETS, aSecret('Not_A_Name'), signal))
    expect([name.code, name.detail['status']]).toEqual(['kubernetes_refused', 422])
    const spec = { compassMetadata: { authentication: { clientIds: 'not a list' } } }
    const content = await failureOf(
      client.create(APPLICATIONS, { metadata: { name: 'odd' }, spec }, signal),
    )
    expect([content.code, content.detail['status']]).toEqual(['kubernetes_refused', 422])
    expect(content.message).toContain('clientIds')
  })
})

describe('applying', () => {
  needsKube('makes, changes, and removes what is no longer named', async () => {
    const made = await client.apply(SECRETS, aSecret('applied', { a: '1', b: '2' }), signal)
    expect(made.metadata.managedFields).toEqual([{ manager: 'runtime-agent', operation: 'Apply' }])
    const changed = await client.apply(SECRETS, aSecret('applied', { a: '3' }), signal)
    expect(changed['data']).toEqual({ a: btoa('3') })
    const same = await client.apply(SECRETS, aSecret('applied', { a: '3' }), signal)
    expect(same.metadata.resourceVersion).toBe(changed.metadata.resourceVersion)
  })

  needsKube('leaves the fields of users alone and names who owns what it wants', async () => {
    await client.apply(APPLICATIONS, anApplication('shared', 'ours'), signal)
    await asKubectl('shared', { spec: { description: 'theirs', skipVerify: true } })
    const error = await failureOf(
      client.apply(APPLICATIONS, anApplication('shared', 'ours again'), signal),
    )
    expect(error.code).toBe('kubernetes_conflict')
    expect(error.detail).toMatchObject({ reason: 'FieldManagerConflict', managers: 'kubectl-edit' })
    expect(error.message).toMatch(
      /^Cannot apply Application shared at \S+: \.spec\.description is owned by kubectl-edit$/,
    )
    const taken = await client.apply(APPLICATIONS, anApplication('shared', 'ours again'), signal, {
      force: true,
    })
    expect(taken['spec']).toMatchObject({ description: 'ours again', skipVerify: true })
  })

  needsKube('as a dry run tells of conflicts and stores nothing', async () => {
    await client.apply(APPLICATIONS, anApplication('dry-run', 'ours'), signal)
    const dryRun = { dryRun: true }
    const shown = await client.apply(APPLICATIONS, anApplication('dry-run', 'x'), signal, dryRun)
    expect(shown['spec']).toMatchObject({ description: 'x' })
    const stored = await client.get(APPLICATIONS, { name: 'dry-run' }, signal)
    expect(stored!['spec']).toMatchObject({ description: 'ours' })
  })

  needsKube('does not change what it was given', async () => {
    const given = deepFrozen(await client.apply(SECRETS, aSecret('given', { a: '1' }), signal))
    await client.replace(SECRETS, given, signal)
    expect(given.metadata.managedFields).toBeDefined()
  })
})

describe('changing', () => {
  needsKube('by merge touches what is named only, and null removes', async () => {
    await client.create(SECRETS, aSecret('merged', { a: '1', b: '2' }), signal)
    const ref = { name: 'merged', namespace: 'team-a' }
    const after = await client.merge(SECRETS, ref, { data: { a: null, c: btoa('3') } }, signal)
    expect(after['data']).toEqual({ b: btoa('2'), c: btoa('3') })
  })

  needsKube('by merge and replace is compare and swap with a resourceVersion', async () => {
    const first = await client.create(SECRETS, aSecret('swapped', { a: '1' }), signal)
    const ref = { name: 'swapped', namespace: 'team-a' }
    const { resourceVersion } = first.metadata
    const patch = { metadata: { resourceVersion }, data: { a: btoa('2') } }
    await client.merge(SECRETS, ref, patch, signal)
    for (const late of [
      () => client.merge(SECRETS, ref, patch, signal),
      () => client.replace(SECRETS, { ...first, data: {} }, signal),
    ]) {
      const error = await failureOf(late())
      expect([error.code, error.detail['reason'], error.class]).toEqual([
        'kubernetes_conflict',
        'Conflict',
        'retry',
      ])
      expect(error.detail).not.toHaveProperty('managers')
    }
    expect((await client.get(SECRETS, ref, signal))!['data']).toEqual({ a: btoa('2') })
  })

  needsKube('what is gone says so', async () => {
    const ref = { name: 'never', namespace: 'team-a' }
    const error = await failureOf(client.merge(SECRETS, ref, { data: {} }, signal))
    expect([error.code, error.detail['missing']]).toEqual(['kubernetes_missing', 'object'])
    expect(error.message).toEndWith('it does not exist')
  })
})

describe('removing', () => {
  needsKube('obeys the preconditions and says whether there was something', async () => {
    const made = await client.create(SECRETS, aSecret('removable'), signal)
    const ref = { name: 'removable', namespace: 'team-a' }
    const { uid = '', resourceVersion = '' } = made.metadata
    for (const wrong of [{ uid: 'another' }, { uid, resourceVersion: '1' }]) {
      const error = await failureOf(client.remove(SECRETS, ref, wrong, signal))
      expect([error.code, error.detail['reason']]).toEqual(['kubernetes_conflict', 'Conflict'])
    }
    expect(await client.remove(SECRETS, ref, { uid, resourceVersion }, signal)).toBe(true)
    expect(await client.remove(SECRETS, ref, {}, signal)).toBe(false)
  })
})

describe('admission', () => {
  needsKube(
    'that refuses one object is a refusal with its words, not a missing right',
    async () => {
      await admin().create(POLICIES, policy(), signal)
      await admin().create(POLICY_BINDINGS, binding(), signal)
      const refused = await eventually(() =>
        client.create(SECRETS, aSecret('evil', { password: 'canary-password' }), signal),
      )
      expect(refused.code).toBe('kubernetes_refused')
      expect(refused.message).toContain('no evil here')
      expect(refused.message).toContain('[masked]')
      expect(everythingOf(refused)).not.toContain('canary-password')
      expect(everythingOf(refused)).not.toContain(btoa('canary-password'))
      await client.create(SECRETS, aSecret('good'), signal)
    },
  )
})

describe('rights', () => {
  const limited = { namespace: 'team-a', name: 'limited' }
  let robot: Kubernetes
  beforeAll(async () => {
    if (!kubeIsThere()) return
    await kube().applyManifests(LIMITED)
    robot = await kube().as(limited)
  })

  needsKube('that are missing are named with verb, kind and place', async () => {
    expect((await robot.list(SECRETS, { namespace: 'team-a' }, signal)).items.length).toBePositive()
    const namespaced = await failureOf(robot.create(SECRETS, aSecret('mine'), signal))
    expect(namespaced.code).toBe('kubernetes_forbidden')
    expect(namespaced.message).toMatch(
      /^Cannot create Secret team-a\/mine at \S+: system:serviceaccount:team-a:limited lacks the right to create secrets in namespace team-a$/,
    )
    expect(namespaced.detail).toMatchObject({ verb: 'create', resource: 'secrets' })
    const cluster = await failureOf(robot.list(APPLICATIONS, {}, signal))
    expect(cluster.message).toEndWith(
      'lacks the right to list applications.applicationconnector.kyma-project.io',
    )
    const applied = await failureOf(robot.apply(SECRETS, aSecret('mine'), signal))
    expect(applied.detail).toMatchObject({ verb: 'patch', resource: 'secrets' })
  })

  needsKube('are asked for beforehand, many at once', async () => {
    const may: Access = { verb: 'list', resource: SECRETS, namespace: 'team-a' }
    const named: Access = { verb: 'get', resource: LEASES, namespace: 'team-a', name: 'mine' }
    const mayNot: Access[] = [
      { verb: 'list', resource: SECRETS, namespace: 'kube-system' },
      { verb: 'list', resource: SECRETS },
      { ...named, name: 'other' },
      { verb: 'get', resource: LEASES, namespace: 'team-a' },
      { verb: 'create', resource: APPLICATIONS },
    ]
    const rights = [may, ...mayNot, named, ...mayNot]
    expect(await robot.denied(rights, signal)).toEqual([...mayNot, ...mayNot])
    expect(await admin().denied(rights, signal)).toEqual([])
    expect(await robot.denied([], signal)).toEqual([])
  })
})

const LIMITED = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: limited, namespace: team-a}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: limited, namespace: team-a}
rules:
  - {apiGroups: [''], resources: [secrets], verbs: [get, list, watch]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [mine], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: limited, namespace: team-a}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: limited}
subjects: [{kind: ServiceAccount, name: limited, namespace: team-a}]
`

/** Refuses Secrets called `evil`, and quotes a value of theirs, as a careless webhook would. */
function policy(): KubeObject {
  return {
    metadata: { name: 'no-evil' },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        resourceRules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['secrets'] },
        ],
      },
      validations: [
        {
          expression: "object.metadata.name != 'evil'",
          messageExpression: "'no evil here: ' + string(object.data.password)",
          message: 'no evil here',
        },
      ],
    },
  }
}

function binding(): KubeObject {
  const spec = { policyName: 'no-evil', validationActions: ['Deny'] }
  return { metadata: { name: 'no-evil' }, spec }
}

/** What a person does with `kubectl edit`: a write of another manager. */
async function asKubectl(name: string, patch: unknown): Promise<void> {
  const { group, version, plural } = APPLICATIONS
  const path = `/apis/${group}/${version}/${plural}/${name}?fieldManager=kubectl-edit`
  const answer = await fetch(kube().url + path, {
    method: 'PATCH',
    tls: { ca: kube().ca },
    headers: {
      authorization: `Bearer ${kube().adminToken.reveal()}`,
      'content-type': 'application/merge-patch+json',
    },
    body: JSON.stringify(patch),
  })
  expect(answer.status).toBe(200)
}

/** The failure of a call that succeeds until the API server has taken a policy in. */
async function eventually(act: () => Promise<KubeObject>): Promise<AgentError> {
  for (let tries = 0; tries < 100; tries++) {
    const error = await failureOf(act()).catch(() => undefined)
    if (error !== undefined && error.code !== 'kubernetes_conflict') return error
    await admin().remove(SECRETS, { name: 'evil', namespace: 'team-a' }, {}, signal)
    await Bun.sleep(50)
  }
  throw new Error('the policy was never obeyed')
}

async function inParallel<T>(items: T[], act: (item: T) => Promise<unknown>): Promise<void> {
  const open = items.values()
  const work = async (): Promise<void> => {
    for (const item of open) await act(item)
  }
  await Promise.all(Array.from({ length: 16 }, work))
}

function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFrozen)
    Object.freeze(value)
  }
  return value
}
