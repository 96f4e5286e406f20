import { afterEach, describe, expect } from 'bun:test'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LEASES, SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject } from '../../src/clients/kubernetes/api.ts'
import { toBase64 } from '../../src/runtime/base64.ts'
import { until } from '../e2e/support/program.ts'
import { kubeForTests, needsKube } from '../kube.ts'
import { never, openDropIn } from './support/drop-in.ts'
import type { DropIn } from './support/drop-in.ts'

const SLOW = 60_000

describe('an agent.yaml for a cluster', () => {
  const kube = kubeForTests()
  let open: DropIn | undefined
  afterEach(async () => {
    await open?.close()
    open = undefined
  })

  /** A scene whose agent has an agent.yaml in its working directory. */
  async function scene(config: Record<string, unknown>): Promise<DropIn> {
    open = await openDropIn(kube())
    const text = JSON.stringify({ version: 1, director: { interval: '1s' }, ...config })
    writeFileSync(join(open.directory, 'empty', 'agent.yaml'), text)
    return open
  }

  async function secret(namespace: string, name: string, values: Record<string, string>) {
    const data = Object.fromEntries(
      Object.entries(values).map(([key, text]) => [key, toBase64(text)]),
    )
    const object: KubeObject = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace, name },
      data,
    }
    await kube().applyManifests([object])
  }

  const read = (namespace: string, name: string) =>
    kube().client.get(SECRETS, { namespace, name }, never)

  needsKube(
    'keeps everything in Secrets, takes token and CA from Secrets, and writes bindings',
    async () => {
      await kube().namespace('agents')
      await kube().namespace('team')
      const cluster = await scene({
        name: 'blue',
        connector: {
          token: { secret: 'agents/given/token' },
          ca: { secret: 'agents/given/ca.crt' },
        },
        identity: { store: 'secret', secret: 'agents/identity', directory: 'state' },
        kubernetes: { namespace: 'agents' },
        targets: [{ kind: 'kubernetes', namespace: 'team' }],
        status: { listen: 'off' },
      })
      await secret('agents', 'given', { 'ca.crt': cluster.plane.caPem })
      const agent = cluster.start({ SSL_CERT_FILE: '' })
      const bindings = async () =>
        (await kube().client.list(SECRETS, { namespace: 'team' }, never)).items.filter(
          ({ type }) => typeof type === 'string' && type.startsWith('servicebinding.io/'),
        )
      await until('it stands without a token', () => cluster.log().includes('no one-time token'))
      const { token } = await cluster.plane.issueToken()
      const url = cluster.plane.tokenUrl
      await secret('agents', 'given', { 'ca.crt': cluster.plane.caPem, token })
      await until('it says that it needs an address', () =>
        cluster.log().includes('connector_url_missing'),
      )
      await agent.stop()
      writeFileSync(
        join(cluster.directory, 'empty', 'agent.yaml'),
        readFileSync(join(cluster.directory, 'empty', 'agent.yaml'), 'utf8').replace(
          '"connector":{',
          `"connector":{"url":"${url}",`,
        ),
      )
      cluster.start({ SSL_CERT_FILE: '' })
      await until('bindings are there', async () => (await bindings()).length > 0)
      for (const name of ['identity', 'runtime-agent-blue-state', 'runtime-agent-blue-snapshot'])
        expect(await read('agents', name)).toBeDefined()
      const lease = await kube().client.get(
        LEASES,
        { namespace: 'agents', name: 'runtime-agent-blue' },
        never,
      )
      expect(lease).toBeDefined()
      expect(cluster.log()).not.toContain(token)
    },
    SLOW,
  )

  needsKube(
    'with the state on disk and the target kyma has the lock of the disk and the Lease',
    async () => {
      const cluster = await scene({
        connector: { token: { file: 'token' } },
        identity: { directory: 'state' },
        targets: [{ kind: 'kyma' }],
        compassConnection: {},
        status: { listen: 'off' },
      })
      const { rawEncoded } = await cluster.plane.issueToken()
      writeFileSync(join(cluster.directory, 'empty', 'token'), rawEncoded)
      const first = cluster.start()
      await cluster.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
      expect(await cluster.applications()).toHaveLength(2)
      const at = { namespace: 'kyma-system', name: 'runtime-agent' }
      expect(await kube().client.get(LEASES, at, never)).toBeDefined()
      // Another machine: other state, the same cluster.
      const elsewhere = join(cluster.directory, 'elsewhere')
      mkdirSync(elsewhere)
      writeFileSync(
        join(elsewhere, 'agent.yaml'),
        readFileSync(join(cluster.directory, 'empty', 'agent.yaml'), 'utf8'),
      )
      const once = await cluster.run(['sync', '--once', '--config', join(elsewhere, 'agent.yaml')])
      expect([once.code, once.err]).toEqual([
        4,
        expect.stringContaining('another replica is in charge'),
      ])
      await first.stop()
    },
    SLOW,
  )

  needsKube(
    'a kubeconfig that is none is a problem with exit code, and nothing is tried',
    async () => {
      const cluster = await scene({
        kubernetes: { kubeconfig: 'agent.yaml' },
        targets: [{ kind: 'kyma' }],
        identity: { directory: 'state' },
      })
      const { code, err } = await cluster.run(['run'])
      expect(code).toBe(2)
      expect(err).toContain('[kubeconfig_invalid]')
      expect(cluster.plane.events()).toEqual([])
    },
    SLOW,
  )
})
