/** From the Go agent and back, as docs/migrate-from-go-agent.md tells it, by the program and with the rights of the overlay. */
import { afterEach, beforeAll, describe, expect, setDefaultTimeout } from 'bun:test'
import { findEnvtest, findKustomize } from '../../scripts/envtest.ts'
import {
  APPLICATIONS,
  COMPASS_CONNECTIONS,
  LEASES,
  SECRETS,
} from '../../src/clients/kubernetes/api.ts'
import type { KubeObject } from '../../src/clients/kubernetes/api.ts'
import { kubeForTests } from '../kube.ts'
import { openDropIn } from '../kyma/support/drop-in.ts'
import type { Connection, DropIn } from '../kyma/support/drop-in.ts'
import { versionOf } from '../targets/kubernetes-place.ts'
import { applicationsIn, NAMESPACE, other, secretsIn } from '../targets/kyma/support.ts'
import { ACCOUNTS, install, needsCluster } from './cluster.ts'

setDefaultTimeout(120_000)

const { signal } = new AbortController()
const IDENTITY = 'cluster-client-certificates'
const CONNECTION = { name: 'compass-connection' }
const kube = kubeForTests()
if (findEnvtest() !== undefined && findKustomize() !== undefined)
  beforeAll(() => install(kube()), 60_000)

let kyma: DropIn | undefined
afterEach(async () => {
  await kyma?.close()
  kyma = undefined
})

/** What the API server adds is left out, so that it can be made again. */
function bare({ metadata, status: _, ...rest }: KubeObject): KubeObject {
  const { name, namespace, labels, ownerReferences } = metadata
  return {
    ...rest,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(ownerReferences === undefined ? {} : { ownerReferences }),
    },
  }
}

const isOfBundle = ({ metadata }: KubeObject): boolean =>
  metadata.labels?.['bundleId'] !== undefined

/** Makes everything in the cluster what the Go agent leaves: its objects by its hand, and nothing that it does not know. */
async function leaveAsGoAgent(): Promise<void> {
  const go = await other(kube(), 'compass-runtime-agent')
  const uids = new Map<string, string>()
  for (const application of await applicationsIn(kube())) {
    const { name } = application.metadata
    await go.remove(APPLICATIONS, name)
    uids.set(name, (await go.create(APPLICATIONS, bare(application))).metadata.uid!)
  }
  for (const secret of await secretsIn(kube())) {
    const { name } = secret.metadata
    if (name === 'compass-agent-configuration') continue
    await go.remove(SECRETS, name)
    if (isOfBundle(secret)) {
      const [owner] = secret.metadata.ownerReferences!
      const ownerReferences = [{ ...owner!, uid: uids.get(owner!.name)! }]
      const plain = bare(secret)
      await go.create(SECRETS, { ...plain, metadata: { ...plain.metadata, ownerReferences } })
    }
    if (name !== IDENTITY) continue
    const { crt, key, crtChain } = secret['data'] as Record<string, string>
    await go.create(SECRETS, { ...bare(secret), data: { crt, key, crtChain } })
  }
  await kube().client.remove(LEASES, { namespace: NAMESPACE, name: 'runtime-agent' }, {}, signal)
  const annotations = { 'runtime-agent.kyma-project.io/conditions': null }
  await kube().client.merge(COMPASS_CONNECTIONS, CONNECTION, { metadata: { annotations } }, signal)
}

const published = async (): Promise<string[]> => {
  const secrets = (await secretsIn(kube())).filter(isOfBundle)
  return [...(await applicationsIn(kube())), ...secrets].map(versionOf).sort()
}

const isGood = ({ state }: Connection): boolean => state === 'Synchronized'

describe('a cluster of the Go agent', () => {
  needsCluster(
    'is taken over without a write to what is published and without a new certificate',
    async () => {
      kyma = await openDropIn(kube())
      const kubeconfig = await kube().kubeconfigOf(ACCOUNTS['kyma-drop-in'])
      const env = {
        KUBECONFIG: kubeconfig,
        APP_CA_CERTIFICATES_SECRET: 'istio-system/kyma-gateway-certs-cacert',
      }
      await kyma.configure()
      const before = kyma.start(env, kubeconfig)
      await kyma.untilConnection('it is in step', isGood)
      await before.stop()
      await leaveAsGoAgent()
      const [versions, identity] = [await published(), await kyma.secret(IDENTITY)]
      expect(versions.length).toBeGreaterThan(3)
      expect(Object.keys(identity!).sort()).toEqual(['crt', 'crtChain', 'key'])
      const signings = kyma.calls('sign')

      const plan = await kyma.run(['plan', '--json'], env)
      expect([plan.code, plan.err]).toEqual([0, ''])
      const { targets } = JSON.parse(plan.out) as { targets: { changes: unknown[] }[] }
      expect(targets.map(({ changes }) => changes)).toEqual([[]])
      expect(await published()).toEqual(versions)

      const queries = kyma.calls('applications')
      const agent = kyma.start(env, kubeconfig)
      await kyma.untilConnection(
        'two passes are over',
        (seen) =>
          isGood(seen) && seen.conditions !== '' && kyma!.calls('applications') > queries + 1,
      )
      expect(await published()).toEqual(versions)
      expect(kyma.calls('sign')).toBe(signings)

      // The way back: what the Go agent reads is what it wrote; the rest it leaves alone.
      await agent.stop()
      const after = await kyma.secret(IDENTITY)
      expect(after).toMatchObject(identity!)
      expect(after?.['key']).toStartWith('-----BEGIN RSA PRIVATE KEY-----')
      const found = await kyma.connection()
      expect(found?.spec.managementInfo).toEqual({
        directorUrl: kyma.plane.directorUrl,
        connectorUrl: kyma.plane.mtlsConnectorUrl,
      })
      expect(found?.connection.certificateStatus.notAfter).toBeString()
    },
  )
})
