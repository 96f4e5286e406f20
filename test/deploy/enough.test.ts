/**
 * The rights in deploy/kubernetes are enough: whole lives with a token of the account that an overlay gives the agent, and
 * the contracts of what works in a cluster. In none of them the API server refuses a single call.
 */
import { afterEach, beforeAll, describe, expect, setDefaultTimeout } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { findEnvtest, findKustomize } from '../../scripts/envtest.ts'
import { LEASES, SECRETS } from '../../src/clients/kubernetes/api.ts'
import { until } from '../e2e/support/program.ts'
import { kubeForTests } from '../kube.ts'
import { openDropIn } from '../kyma/support/drop-in.ts'
import type { Connection } from '../kyma/support/drop-in.ts'
import { openScene } from './agents.ts'
import { ACCOUNTS, callsOf, install, needsCluster } from './cluster.ts'
import { slow } from '../skip.ts'
import { agentOf, ofKind, overlay, podOf } from './overlays.ts'
import type { Overlay } from './overlays.ts'

setDefaultTimeout(120_000)

const { signal } = new AbortController()
/** Each of them takes some seconds, one a takeover. */
const life = process.env['AGENT_TEST_FAST'] === undefined ? needsCluster : slow
const kube = kubeForTests()
if (findEnvtest() !== undefined && findKustomize() !== undefined)
  beforeAll(() => install(kube()), 60_000)

let open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open) await one.close()
  open = []
})

/** That the API server has refused no call of the account, of which there were some. */
function expectNoRefusal(name: Overlay): void {
  const calls = callsOf(kube(), name)
  expect(calls.length).toBeGreaterThan(20)
  const refused = calls.filter(({ code }) => code === 403)
  expect(refused.map(({ verb, uri }) => `${verb} ${uri}`)).toEqual([])
}

const namesIn = async (namespace: string): Promise<string[]> => {
  const { items } = await kube().client.list(SECRETS, { namespace }, signal)
  return items.map(({ metadata }) => metadata.name).sort()
}

describe('with the rights of its overlay alone', () => {
  life('the agent of standalone lives, and its second replica takes over', async () => {
    const scene = await openScene(kube(), 'standalone')
    open.push(scene)
    const first = scene.start()
    await first.until('it is in charge', (status) => !status.standby)
    const bindings = await until('all bindings are there', async () => {
      const names = await namesIn('integrations')
      return names.length === 4 && names
    })
    const second = scene.start()
    await second.until('it stands by', (status) => status.standby)
    expect(await namesIn('runtime-agent')).toEqual([
      'runtime-agent-identity',
      'runtime-agent-snapshot',
      'runtime-agent-snapshot-0',
      'runtime-agent-state',
      'runtime-agent-token',
    ])

    first.signal('SIGKILL')
    const at = performance.now()
    await kube().client.remove(
      SECRETS,
      { namespace: 'integrations', name: bindings[0]! },
      {},
      signal,
    )
    await second.until('it is in charge', (status) => !status.standby, 60_000)
    expect(performance.now() - at).toBeLessThan(30_000)
    await until('the binding is back', async () => (await namesIn('integrations')).length === 4)
    await second.stop()
    const lease = await kube().client.get(
      LEASES,
      { namespace: 'runtime-agent', name: 'runtime-agent' },
      signal,
    )
    expect((lease?.['spec'] as { holderIdentity?: string }).holderIdentity ?? '').toBe('')
    expectNoRefusal('standalone')
  })

  life('the agent of sidecar makes its files anew in each pod, also without Compass', async () => {
    const scene = await openScene(kube(), 'sidecar')
    open.push(scene)
    const bindings = (): string[] => {
      const path = scene.homes.at(-1)!.path('out', 'current', 'bindings')
      return existsSync(path) ? readdirSync(path).sort() : []
    }
    const first = scene.start()
    const names = await until('all bindings are there', () => bindings().length === 4 && bindings())
    await first.stop()
    await scene.plane.close()
    scene.start()
    await until('all bindings are there again', () => bindings().length === 4)
    expect(bindings()).toEqual(names)
    expectNoRefusal('sidecar')
  })

  life('the agent of kyma-drop-in lives, renews, enrols again, and disconnects', async () => {
    const kyma = await openDropIn(kube())
    open.push(kyma)
    const [deployment] = ofKind(overlay('kyma-drop-in'), 'Deployment')
    const given = agentOf(podOf(deployment!)).env ?? []
    const places = ['APP_HEALTH_PORT', 'RUNTIME_AGENT_DIRECTORY']
    const env = Object.fromEntries(
      given.filter(({ name }) => !places.includes(name)).map(({ name, value }) => [name, value]),
    )
    const kubeconfig = await kube().kubeconfigOf(ACCOUNTS['kyma-drop-in'])
    await kyma.configure()
    const agent = kyma.start(env, kubeconfig)
    const isGood = ({ state }: Connection): boolean => state === 'Synchronized'
    await kyma.untilConnection('it is in step', isGood)
    expect(await kyma.applications()).toHaveLength(2)
    const ca = { namespace: 'istio-system', name: 'kyma-gateway-certs-cacert' }
    expect(await kube().client.get(SECRETS, ca, signal)).toBeDefined()

    await kyma.patchConnection({ spec: { refreshCredentialsNow: true, resyncNow: true } })
    await until('it has renewed', () => kyma.calls('sign') === 2)
    const renewed = await kyma.untilConnection(
      'both wishes are granted',
      (seen) => isGood(seen) && !seen.spec.refreshCredentialsNow && !seen.spec.resyncNow,
    )
    await kyma.configure()
    await kyma.removeConnection()
    await kyma.untilConnection(
      'it has enrolled again',
      (seen) => isGood(seen) && seen.uid !== renewed.uid,
    )
    await agent.stop()

    const { code, err } = await kyma.run(['disconnect'], { ...env, KUBECONFIG: kubeconfig })
    expect([code, err]).toEqual([0, expect.any(String)])
    expect(await kyma.connection()).toBeUndefined()
    expectNoRefusal('kyma-drop-in')
  })
})
