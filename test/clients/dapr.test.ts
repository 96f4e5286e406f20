import { afterEach, expect, test } from 'bun:test'
import { openSidecar } from '../../src/clients/dapr.ts'
import { Secret } from '../../src/model/secret.ts'
import { listen } from '../../src/runtime/listen.ts'
import type { Handler, Listener } from '../../src/runtime/listen.ts'

let listener: Listener | undefined
afterEach(async () => {
  await listener?.close()
  listener = undefined
})

async function sidecar(handler: Handler, apiToken?: string) {
  listener = await listen(handler, { host: '127.0.0.1', port: 0 })
  const token =
    apiToken === undefined ? {} : { apiToken: () => Promise.resolve(new Secret(apiToken)) }
  return openSidecar({ url: `http://127.0.0.1:${listener.port}`, fetch, now: () => 0, ...token })
}

const { signal } = new AbortController()
const METADATA = {
  id: 'orders',
  runtimeVersion: '1.18.2',
  enabledFeatures: ['HotReload'],
  components: [{ name: 'crm', type: 'bindings.http', version: 'v1' }],
  httpEndpoints: [{ name: 'api' }],
}

test('tells what a sidecar has, by name', async () => {
  const daprd = await sidecar(() => Response.json(METADATA))
  const metadata = await daprd.metadata(signal)
  expect([metadata.id, metadata.version]).toEqual(['orders', '1.18.2'])
  expect([...metadata.components, ...metadata.endpoints, ...metadata.features]).toEqual([
    'crm',
    'api',
    'HotReload',
  ])
})

test('one without any component, and one of a version that says it elsewhere, are understood', async () => {
  const daprd = await sidecar(() =>
    Response.json({ id: 'orders', extended: { daprRuntimeVersion: '1.12.0' } }),
  )
  const { components, version } = await daprd.metadata(signal)
  expect([components.size, version]).toEqual([0, '1.12.0'])
})

test('presents its API token, and says whose turn it is when that is another one', async () => {
  const seen: (string | null)[] = []
  const daprd = await sidecar((request) => {
    seen.push(request.headers.get('dapr-api-token'))
    return new Response('', { status: 401 })
  }, 'very-secret')
  const thrown: unknown = await daprd.metadata(signal).catch((error: unknown) => error)
  expect(seen).toEqual(['very-secret'])
  expect(thrown).toMatchObject({ code: 'dapr_unreachable', class: 'operator' })
  expect(String(thrown)).not.toContain('very-secret')
})

test.each<[string, () => Response]>([
  ['a page', () => new Response('<html>', { headers: { 'content-type': 'text/html' } })],
  ['a list', () => Response.json([])],
  ['nothing', () => new Response('')],
  ['components without names', () => Response.json({ id: 'x', components: [{}] })],
  ['another status', () => new Response('{}', { status: 500 })],
])('an answer that is %s is no daprd', async (_what, answer) => {
  const daprd = await sidecar(answer)
  const thrown: unknown = await daprd.metadata(signal).catch((error: unknown) => error)
  expect(thrown).toMatchObject({ code: 'answer_malformed' })
})

test('shows one value of a secret store, and nothing where it has none or may not tell', async () => {
  const daprd = await sidecar((request) => {
    const { pathname } = new URL(request.url)
    if (pathname.endsWith('/none')) return new Response('{}', { status: 403 })
    return Response.json({ value: pathname })
  })
  const value = (name: string) => daprd.secret({ store: 'a/b', name, key: 'value' }, signal)
  expect(await value('gen')).toBe('/v1.0/secrets/a%2Fb/gen')
  expect(await value('none')).toBeUndefined()
})

test('nobody there is told as that', async () => {
  const daprd = await sidecar(() => new Response(''))
  await listener!.close()
  listener = undefined
  const thrown: unknown = await daprd.metadata(signal).catch((error: unknown) => error)
  expect(thrown).toMatchObject({ code: 'unreachable' })
})
