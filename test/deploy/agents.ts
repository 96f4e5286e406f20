import { load } from 'js-yaml'
import { chmodSync, writeFileSync } from 'node:fs'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import { openPlane } from '../../src/devplane/plane.ts'
import type { Plane } from '../../src/devplane/plane.ts'
import { openHome } from '../e2e/support/agent-home.ts'
import type { Agent, AgentHome } from '../e2e/support/agent-home.ts'
import type { StartOptions } from '../e2e/support/program.ts'
import { landscapeFor, parsed } from '../e2e/support/landscape.ts'
import type { Kube } from '../kube.ts'
import { ROOT } from '../source.ts'
import { ACCOUNTS } from './cluster.ts'
import { ofKind, overlay } from './overlays.ts'

/** The program of this repository with the agent.yaml of an overlay and a token of its account, beside a plane. */
export type Scene = {
  plane: Plane
  homes: AgentHome[]
  /** `wrap` and `program` as for any program; `change` of agent.yaml. */
  start(options?: Partial<StartOptions>, change?: Record<string, unknown>): Agent
  close(): Promise<void>
}

const { signal } = new AbortController()

type Given = { connector: object; identity: object; targets: { kind: string }[] }

export async function openScene(kube: Kube, name: 'standalone' | 'sidecar'): Promise<Scene> {
  const plane = await openPlane({ landscape: parsed(landscapeFor([name])) })
  const [map] = ofKind(overlay(name), 'ConfigMap')
  const given = load((map!['data'] as Record<string, string>)['agent.yaml']!) as Given
  const kubeconfig = await kube.kubeconfigOf(ACCOUNTS[name])
  const { rawEncoded } = await plane.issueToken()
  const { namespace } = ACCOUNTS[name]
  const metadata = { namespace, name: 'runtime-agent-token' }
  const data = { token: Buffer.from(rawEncoded).toString('base64') }
  await kube.applyManifests([{ apiVersion: 'v1', kind: 'Secret', metadata, data }])
  const homes: AgentHome[] = []
  const agents: Agent[] = []
  return {
    plane,
    homes,
    start(options = {}, change = {}) {
      const home = openHome({})
      homes.push(home)
      // For an agent of another user, too.
      chmodSync(home.directory, 0o755)
      writeFileSync(home.path('ca.pem'), plane.caPem)
      // What a pod has elsewhere: places, the address of the API server, and time to wait.
      home.configure({
        ...given,
        name: 'default',
        connector: { ...given.connector, ca: { file: 'ca.pem' } },
        director: { interval: '1s' },
        identity: { ...given.identity, directory: 'state' },
        targets: given.targets.map((one) =>
          one.kind === 'files' ? { ...one, directory: 'out' } : one,
        ),
        kubernetes: { kubeconfig },
        status: { listen: 'off' },
        ...change,
      })
      const program = { wrap: [process.execPath], program: `${ROOT}src/main.ts` }
      const agent = home.start({ ...program, ...options })
      agents.push(agent)
      return agent
    },
    async close() {
      await Promise.all(agents.filter((one) => one.isRunning()).map((one) => one.stop()))
      await plane.close()
      await kube.client.remove(SECRETS, metadata, {}, signal)
    },
  }
}
