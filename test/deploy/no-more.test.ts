/** The rights in deploy/kubernetes are no more than these: as the API server tells them, and by calls that it refuses. */
import { beforeAll, describe, expect, setDefaultTimeout } from 'bun:test'
import { findEnvtest, findKustomize } from '../../scripts/envtest.ts'
import { kubeForTests } from '../kube.ts'
import { ACCOUNTS, callerOf, install, needsCluster } from './cluster.ts'
import type { Caller } from './cluster.ts'
import { OVERLAYS, rulesOf } from './overlays.ts'
import type { Overlay } from './overlays.ts'

setDefaultTimeout(60_000)

const kube = kubeForTests()
const SECRETS = [
  'runtime-agent',
  'integrations',
  'kyma-system',
  'istio-system',
  'orders',
  'elsewhere',
]

if (findEnvtest() !== undefined && findKustomize() !== undefined) {
  beforeAll(async () => {
    await install(kube())
    const admin = await callerOf(kube(), 'admin')
    for (const namespace of SECRETS)
      for (const name of ['foreign', 'runtime-agent-identity', 'kyma-gateway-certs-cacert'])
        await admin('POST', `/api/v1/namespaces/${namespace}/secrets`, { metadata: { name } })
    const spec = { managementInfo: { directorUrl: '', connectorUrl: '' } }
    const status = { connectionState: 'x', connectionStatus: { certificateStatus: {} } }
    await admin('POST', '/apis/compass.kyma-project.io/v1alpha1/compassconnections', {
      ...{ apiVersion: 'compass.kyma-project.io/v1alpha1', kind: 'CompassConnection' },
      ...{ metadata: { name: 'compass-connection' }, spec, status },
    })
    const app = '/apis/applicationconnector.kyma-project.io/v1alpha1/applications'
    await admin('POST', app, {
      ...{ apiVersion: 'applicationconnector.kyma-project.io/v1alpha1', kind: 'Application' },
      metadata: { name: 'foreign' },
      spec: { description: '', services: [] },
    })
  }, 60_000)
}

/** What the API server lets an account do in a namespace, a line for each rule, without what everybody may. */
async function rulesIn(call: Caller, namespace: string): Promise<string[]> {
  const review = { spec: { namespace } }
  const path = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews'
  const { status } = (await call('POST', path, review)).body as {
    status: { resourceRules: Record<string, unknown>; incomplete: boolean }
  }
  expect(status.incomplete).toBe(false)
  return rulesOf({ metadata: { name: '' }, rules: status.resourceRules })
    .filter(({ apiGroups }) => !/^(authorization|authentication)\.k8s\.io$/.test(apiGroups.join()))
    .map(({ apiGroups, resources, verbs, resourceNames = [] }) => {
      const group = apiGroups.join() === '' ? '' : `.${apiGroups.join()}`
      const what = resources.map((one) => one + group).join(' ')
      return `${what}: ${verbs.join(' ')}${shown(resourceNames)}`
    })
    .sort()
}

/** The parts of a snapshot as one, of a configuration too. */
function shown(names: readonly string[]): string {
  const short = names.map((name) => name.replace(/-(snapshot|configuration)-\d+$/, '-$1-N'))
  return names.length === 0 ? '' : ` of ${[...new Set(short)].join(' ')}`
}

const OWN = [
  'leases.coordination.k8s.io: create',
  'leases.coordination.k8s.io: get patch of runtime-agent',
  'secrets: create',
  'secrets: get list watch of runtime-agent-token',
  'secrets: get patch delete of runtime-agent-snapshot-N runtime-agent-configuration-N',
  'secrets: get patch of runtime-agent-identity runtime-agent-state runtime-agent-snapshot runtime-agent-configuration',
]

const CLUSTER = [
  'applications.applicationconnector.kyma-project.io: get list create patch delete',
  'compassconnections.compass.kyma-project.io: delete of compass-connection',
  'compassconnections.compass.kyma-project.io: get list watch create update',
]

const TABLE: Record<Overlay, Record<string, string[]>> = {
  standalone: {
    'runtime-agent': OWN,
    integrations: [
      'pods: list',
      'secrets: get list create patch delete',
      'servicebindings.servicebinding.io: list',
    ],
  },
  'kyma-drop-in': {
    'kyma-system': [
      ...CLUSTER,
      'leases.coordination.k8s.io: create',
      'leases.coordination.k8s.io: get patch of runtime-agent',
      'pods: list',
      'secrets: get list create patch delete',
      'secrets: watch of compass-agent-configuration',
    ],
    'istio-system': [
      ...CLUSTER,
      'secrets: create',
      'secrets: get patch of kyma-gateway-certs-cacert',
    ],
    '': CLUSTER,
  },
  sidecar: { orders: OWN },
}

describe.each([...OVERLAYS])('the account of the overlay %s', (name) => {
  needsCluster('may do this, and nothing else anywhere', async () => {
    const call = await callerOf(kube(), ACCOUNTS[name])
    for (const namespace of [...SECRETS, 'default', 'kube-system']) {
      const expected = TABLE[name][namespace] ?? TABLE[name][''] ?? []
      expect([namespace, await rulesIn(call, namespace)]).toEqual([namespace, expected])
    }
  })
})

const secrets = (namespace: string, name = ''): string =>
  `/api/v1/namespaces/${namespace}/secrets${name === '' ? '' : `/${name}`}`
const KYMA = '/apis/applicationconnector.kyma-project.io/v1alpha1/applications'
const CONNECTIONS = '/apis/compass.kyma-project.io/v1alpha1/compassconnections'
const RBAC = '/apis/rbac.authorization.k8s.io/v1'

/** What an agent that was taken over would try, of any overlay. */
const NOBODY: [string, string][] = [
  ['GET', '/api/v1/secrets'],
  ['GET', '/api/v1/namespaces'],
  ['GET', '/api/v1/nodes'],
  ['DELETE', '/api/v1/nodes/one'],
  ['GET', '/api/v1/persistentvolumes'],
  ['GET', '/api/v1/pods'],
  ['GET', secrets('elsewhere')],
  ['GET', secrets('elsewhere', 'foreign')],
  ['POST', secrets('elsewhere')],
  ['GET', secrets('kube-system')],
  ['GET', secrets('istio-system')],
  ['GET', secrets('istio-system', 'foreign')],
  ['DELETE', secrets('istio-system', 'kyma-gateway-certs-cacert')],
  ['GET', secrets('runtime-agent')],
  ['GET', secrets('runtime-agent', 'foreign')],
  ['DELETE', secrets('runtime-agent', 'runtime-agent-identity')],
  ['DELETE', secrets('orders', 'runtime-agent-identity')],
  ['DELETE', secrets('integrations')],
  ['DELETE', secrets('kyma-system')],
  ['GET', `${secrets('integrations')}?watch=1`],
  ['GET', `${secrets('kyma-system')}?watch=1`],
  ['GET', `${KYMA}?watch=1`],
  ['DELETE', KYMA],
  ['DELETE', CONNECTIONS],
  ['DELETE', `${CONNECTIONS}/other`],
  ['POST', '/api/v1/namespaces/kyma-system/pods'],
  ['POST', '/api/v1/namespaces/runtime-agent/pods'],
  ['DELETE', '/api/v1/namespaces/kyma-system/pods/one'],
  ['POST', '/api/v1/namespaces/kyma-system/pods/one/exec'],
  ['GET', '/api/v1/namespaces/integrations/configmaps'],
  ['GET', '/apis/apps/v1/namespaces/integrations/deployments'],
  ['PATCH', '/apis/apps/v1/namespaces/kyma-system/deployments/compass-runtime-agent'],
  ['GET', '/apis/coordination.k8s.io/v1/namespaces/kyma-system/leases'],
  ['DELETE', '/apis/coordination.k8s.io/v1/namespaces/runtime-agent/leases/runtime-agent'],
  ['POST', '/api/v1/namespaces/runtime-agent/serviceaccounts/runtime-agent/token'],
  ['POST', `${RBAC}/namespaces/runtime-agent/roles`],
  ['PATCH', `${RBAC}/namespaces/runtime-agent/roles/runtime-agent-state`],
  ['POST', `${RBAC}/clusterrolebindings`],
  ['GET', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'],
]

/** What those of other overlays may. */
const OTHERS: Record<Overlay, [string, string][]> = {
  standalone: [
    ['GET', KYMA],
    ['DELETE', `${KYMA}/foreign`],
    ['GET', `${CONNECTIONS}/compass-connection`],
    ['DELETE', `${CONNECTIONS}/compass-connection`],
    ['GET', secrets('kyma-system')],
    ['GET', secrets('istio-system', 'kyma-gateway-certs-cacert')],
    ['GET', secrets('orders', 'runtime-agent-identity')],
    ['PUT', secrets('runtime-agent', 'runtime-agent-identity')],
    ['PUT', secrets('integrations', 'foreign')],
  ],
  'kyma-drop-in': [
    ['GET', secrets('integrations')],
    ['GET', secrets('runtime-agent', 'runtime-agent-identity')],
    ['PUT', secrets('kyma-system', 'foreign')],
    ['PUT', `${KYMA}/foreign`],
  ],
  sidecar: [
    ['GET', secrets('orders')],
    ['GET', secrets('integrations')],
    ['GET', secrets('kyma-system')],
    ['GET', KYMA],
    ['GET', secrets('runtime-agent', 'runtime-agent-identity')],
  ],
}

describe.each([...OVERLAYS])('with a token of the overlay %s', (name) => {
  const refused = [...NOBODY, ...OTHERS[name]]
  needsCluster(`${refused.length} calls are refused`, async () => {
    const call = await callerOf(kube(), ACCOUNTS[name])
    for (const [method, path] of refused) {
      const body = method === 'GET' || method === 'DELETE' ? undefined : { metadata: { name: 'x' } }
      const type = method === 'PATCH' ? 'application/merge-patch+json' : undefined
      const { status } = await call(method, path, body, type)
      expect([method, path, status]).toEqual([method, path, 403])
    }
  })
})
