import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect } from 'bun:test'
import { SECRETS } from '../../../src/clients/kubernetes/api.ts'
import { openKubernetes } from '../../../src/clients/kubernetes/load.ts'
import { kubeForTests, needsKube } from '../../kube.ts'
import { startProxy } from '../../runtime/servers.ts'
import type { Proxy } from '../../runtime/servers.ts'
import { aDirectory, aKubeconfig, signal } from './samples.ts'

const kube = kubeForTests()
const environment = { ...process.env }
let proxy: Proxy

beforeAll(async () => {
  proxy = await startProxy('user:canary')
})
afterEach(() => {
  process.env = { ...environment }
  proxy.connects.splice(0)
})
afterAll(() => proxy.close())

const REF = { name: 'through', namespace: 'default' }
const throughProxy = (): string => `http://user:canary@127.0.0.1:${proxy.port}`
/** The API server by an address that is no loopback address, which would never be proxied. */
const port = (): string => new URL(kube().url).port
const server = (): string => `https://0.0.0.0:${port()}`

/** One call, and what it looked like to the proxy. */
async function call(kubeconfig: string | undefined, root?: string): Promise<string[]> {
  const named = kubeconfig === undefined ? {} : { kubeconfig }
  const client = await openKubernetes({ ...named, version: 'test' }, root)
  expect(await client.get(SECRETS, REF, signal)).toBeUndefined()
  await client.close()
  return proxy.connects
}

describe('with HTTPS_PROXY set', () => {
  needsKube('a pod reaches its own API server directly', async () => {
    const root = aDirectory()
    const folder = join(root, '/var/run/secrets/kubernetes.io/serviceaccount')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'ca.crt'), kube().ca)
    writeFileSync(join(folder, 'namespace'), 'default')
    writeFileSync(join(folder, 'token'), kube().adminToken.reveal())
    Object.assign(process.env, {
      KUBERNETES_SERVICE_HOST: '0.0.0.0',
      KUBERNETES_SERVICE_PORT: port(),
      HTTPS_PROXY: throughProxy(),
    })
    expect(await call(undefined, root)).toEqual([])
  })

  const config = (more: Record<string, unknown> = {}): string =>
    aKubeconfig({
      cluster: { server: server(), 'certificate-authority-data': btoa(kube().ca), ...more },
      user: { token: kube().adminToken.reveal() },
    })

  needsKube('what a kubeconfig names goes through it, as with kubectl', async () => {
    process.env['HTTPS_PROXY'] = throughProxy()
    expect(await call(config())).toEqual([new URL(server()).host])
  })

  needsKube('NO_PROXY names an API server that is reached directly', async () => {
    Object.assign(process.env, { HTTPS_PROXY: throughProxy(), NO_PROXY: '0.0.0.0/32' })
    expect(await call(config())).toEqual([])
  })

  needsKube('proxy-url of a kubeconfig wins, whatever the environment says', async () => {
    Object.assign(process.env, { HTTPS_PROXY: 'http://127.0.0.1:2', NO_PROXY: '*' })
    const through = config({ 'proxy-url': throughProxy() })
    expect(await call(through)).toEqual([new URL(server()).host])
  })

  needsKube('a watch goes through it too, and an abort ends it', async () => {
    process.env['HTTPS_PROXY'] = throughProxy()
    const client = await openKubernetes({ kubeconfig: config(), version: 'test' })
    const stop = new AbortController()
    const seen: string[] = []
    for await (const { type } of client.watch(SECRETS, { namespace: 'default' }, stop.signal)) {
      seen.push(type)
      if (type === 'listed') await kube().client.create(SECRETS, { metadata: REF }, signal)
      if (type === 'added') stop.abort()
    }
    expect(seen).toContain('added')
    expect(proxy.connects.length).toBeGreaterThan(0)
    await client.close()
  })
})
