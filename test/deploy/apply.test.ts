/** The manifests on a real API server: accepted, also by Pod Security, and swapped with those of the Go agent. */
import { beforeAll, describe, expect, setDefaultTimeout } from 'bun:test'
import { kubeForTests } from '../kube.ts'
import { callerOf, install, needsCluster } from './cluster.ts'
import type { Caller } from './cluster.ts'
import { findKustomize } from '../../scripts/envtest.ts'
import { findEnvtest } from '../../scripts/envtest.ts'
import { ofKind, overlay, OVERLAYS, podOf } from './overlays.ts'

setDefaultTimeout(60_000)

const kube = kubeForTests()
let admin: Caller
if (findEnvtest() !== undefined && findKustomize() !== undefined) {
  beforeAll(async () => {
    admin = await callerOf(kube(), 'admin')
    await install(kube())
  }, 60_000)
}

const DEPLOYMENTS = '/apis/apps/v1/namespaces/kyma-system/deployments'

describe.each([...OVERLAYS])('the overlay %s', (name) => {
  needsCluster('is accepted, and the same again changes nothing', async () => {
    const mark = kube().auditMark()
    const before = await versions(name)
    await kube().applyManifests(overlay(name))
    expect(await versions(name)).toEqual(before)
    const refused = kube()
      .auditLog(mark)
      .filter(({ code }) => code >= 400)
    expect(refused).toEqual([])
  })

  needsCluster('makes pods that Pod Security `restricted` lets in', async () => {
    const namespace = `restricted-${name}`
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
    const metadata = { name: namespace, labels }
    await kube().applyManifests([{ apiVersion: 'v1', kind: 'Namespace', metadata }])
    const pods = `/api/v1/namespaces/${namespace}/pods`
    for (const deployment of ofKind(overlay(name), 'Deployment')) {
      const { metadata: given, spec } = podOf(deployment)
      const pod = { metadata: { ...given, name: 'pod' }, spec }
      const made = await admin('POST', pods, pod)
      expect([made.status, made.body['message']]).toEqual([201, undefined])
      // The proof that this namespace refuses others.
      const root = { ...spec, securityContext: { ...spec.securityContext, runAsUser: 0 } }
      const other = await admin('POST', pods, { metadata: { name: 'root' }, spec: root })
      expect(other.body['message']).toContain('violates PodSecurity "restricted')
    }
  })
})

/** Of all objects of an overlay, as they are in the cluster. */
async function versions(name: (typeof OVERLAYS)[number]): Promise<string[]> {
  const found = overlay(name).map(async ({ apiVersion = '', kind = '', metadata }) => {
    const { status, body } = await admin('GET', pathOf(apiVersion, kind, metadata))
    expect([kind, metadata.name, status]).toEqual([kind, metadata.name, 200])
    const { uid, resourceVersion } = body['metadata'] as Record<string, string>
    return `${kind} ${metadata.name} ${uid} ${resourceVersion}`
  })
  return Promise.all(found)
}

function pathOf(
  apiVersion: string,
  kind: string,
  { name, namespace }: { name: string; namespace?: string },
): string {
  const root = apiVersion.includes('/') ? '/apis' : '/api'
  const plural = kind === 'NetworkPolicy' ? 'networkpolicies' : `${kind.toLowerCase()}s`
  const place = namespace === undefined ? '' : `/namespaces/${namespace}`
  return `${root}/${apiVersion}${place}/${plural}/${name}`
}

/** As the module application-connector has it, shortened to what a swap can meet. */
const GO_AGENT = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {
    name: 'compass-runtime-agent',
    labels: { 'app.kubernetes.io/managed-by': 'application-connector-manager' },
  },
  spec: {
    selector: { matchLabels: { app: 'compass-runtime-agent', release: 'compass-runtime-agent' } },
    template: {
      metadata: {
        annotations: { 'sidecar.istio.io/inject': 'true' },
        labels: {
          'kyma-project.io/module': 'application-connector',
          app: 'compass-runtime-agent',
          release: 'compass-runtime-agent',
        },
      },
      spec: {
        securityContext: { runAsUser: 65535, runAsGroup: 65535, runAsNonRoot: true },
        serviceAccountName: 'compass-runtime-agent',
        containers: [
          {
            name: 'compass-runtime-agent',
            image: 'registry.example/compass-runtime-agent:1.3.6',
            args: ['/app/compass-runtime-agent'],
            ports: [{ containerPort: 8090, name: 'http-health' }],
            env: [
              { name: 'APP_CONTROLLER_SYNC_PERIOD', value: '180s' },
              {
                name: 'APP_CA_CERTIFICATES_SECRET',
                value: 'istio-system/kyma-gateway-certs-cacert',
              },
              { name: 'APP_RUNTIME_EVENTS_URL', value: 'https://gateway.kyma.example' },
              { name: 'APP_HEALTH_PORT', value: '8090' },
            ],
          },
        ],
      },
    },
  },
}

describe('the Deployment of the Go agent', () => {
  const env = (deployment: unknown): Record<string, string> => {
    const { containers } = podOf(deployment as never).spec
    return Object.fromEntries((containers[0]!.env ?? []).map(({ name, value }) => [name, value]))
  }

  needsCluster(
    'is swapped by a patch that keeps its variables, labels and annotations',
    async () => {
      await admin('DELETE', `${DEPLOYMENTS}/compass-runtime-agent`)
      expect((await admin('POST', DEPLOYMENTS, GO_AGENT)).status).toBe(201)
      const [patch] = overlay('kyma-drop-in/deployment')
      const swapped = await admin(
        'PATCH',
        `${DEPLOYMENTS}/compass-runtime-agent`,
        patch,
        'application/strategic-merge-patch+json',
      )
      expect([swapped.status, swapped.body['message']]).toEqual([200, undefined])
      const pod = podOf(swapped.body as never)
      expect(pod.metadata).toMatchObject(GO_AGENT.spec.template.metadata)
      expect(pod.spec.containers).toHaveLength(1)
      expect(pod.spec.containers[0]).toMatchObject({
        image: expect.stringMatching(/^runtime-agent:/),
        args: ['/app/compass-runtime-agent'],
      })
      expect(env(swapped.body)).toEqual({
        ...env(GO_AGENT),
        RUNTIME_AGENT_DIRECTORY: '/dev/shm/runtime-agent',
        BUN_JSC_forceRAMSize: '268435456',
      })
    },
  )

  needsCluster('is back when its image is', async () => {
    await admin('DELETE', `${DEPLOYMENTS}/compass-runtime-agent`)
    await admin('POST', DEPLOYMENTS, GO_AGENT)
    const path = `${DEPLOYMENTS}/compass-runtime-agent`
    const merge = 'application/strategic-merge-patch+json'
    await admin('PATCH', path, overlay('kyma-drop-in/deployment')[0], merge)
    const { name, image } = GO_AGENT.spec.template.spec.containers[0]!
    const back = { spec: { template: { spec: { containers: [{ name, image }] } } } }
    const restored = await admin('PATCH', path, back, merge)
    const { containers } = podOf(restored.body as never).spec
    expect(containers[0]).toMatchObject({ image, args: ['/app/compass-runtime-agent'] })
    expect(env(restored.body)).toMatchObject(env(GO_AGENT))
  })
})
