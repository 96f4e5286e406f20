/**
 * The Kubernetes client on a real API server inside the runtime that runs this program: the library beside the bundle,
 * client certificate and token, lists, writes, conflicts, a watch and its end. Without an API server (npm run envtest)
 * nothing is checked.
 */
import process from 'node:process'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../src/clients/kubernetes/api.ts'
import { openKubernetes } from '../../src/clients/kubernetes/load.ts'
import { Secret } from '../../src/model/secret.ts'
import { check, codeOf, runChecks, same } from './checks/harness.ts'

const kubeconfig = process.env['AGENT_KUBECONFIG']
const { signal } = new AbortController()
const ref = { namespace: 'default', name: `of-${process.pid}` }
const secret = (value: string): KubeObject => ({ metadata: ref, data: { value: btoa(value) } })

if (kubeconfig !== undefined) {
  const client = await openKubernetes({ kubeconfig, version: 'conformance' })
  checkWrites(client)
  checkWatch(client)
  check('a token goes in the place of a certificate, and a wrong one is refused', async () => {
    const token = new Secret('wrong')
    const stranger = await openKubernetes({ kubeconfig, token, version: 'conformance' })
    same(await codeOf(stranger.get(SECRETS, ref, signal)), 'kubernetes_failed')
    await stranger.close()
  })
  check('a closed client makes no call', async () => {
    await client.close()
    same(await codeOf(client.get(SECRETS, ref, signal)), 'internal')
  })
}
await runChecks()

function checkWrites(client: Kubernetes): void {
  check('an object is created, applied, listed, changed and removed', async () => {
    same(await client.get(SECRETS, ref, signal), undefined)
    const { metadata } = await client.create(SECRETS, secret('one'), signal)
    same(await codeOf(client.create(SECRETS, secret('one'), signal)), 'kubernetes_conflict')
    await client.apply(SECRETS, secret('two'), signal, { force: true })
    const { items } = await client.list(SECRETS, { namespace: 'default' }, signal)
    const mine = items.find((item) => item.metadata.name === ref.name)
    same(mine?.['data'], { value: btoa('two') })
    const late = { metadata: { resourceVersion: metadata.resourceVersion } }
    same(await codeOf(client.merge(SECRETS, ref, late, signal)), 'kubernetes_conflict')
    same(await client.remove(SECRETS, ref, { uid: metadata.uid ?? '' }, signal), true)
    same(await client.remove(SECRETS, ref, {}, signal), false)
  })
}

function checkWatch(client: Kubernetes): void {
  check('a watch tells each change, and an abort ends it', async () => {
    const stop = new AbortController()
    const seen: string[] = []
    const scope = { namespace: 'default', fields: `metadata.name=${ref.name}` }
    for await (const event of client.watch(SECRETS, scope, stop.signal)) {
      seen.push(event.type)
      if (event.type === 'listed') await client.create(SECRETS, secret('one'), signal)
      if (event.type === 'added') await client.remove(SECRETS, ref, {}, signal)
      if (event.type === 'deleted') stop.abort()
    }
    same(seen, ['listed', 'added', 'deleted'])
  })
}
