import { describe, expect, test } from 'bun:test'
import { APPLICATIONS, SECRETS } from '../../../src/clients/kubernetes/api.ts'
import type { Kubernetes } from '../../../src/clients/kubernetes/api.ts'
import type { AgentError } from '../../../src/model/problem.ts'
import { SECOND } from '../../../src/model/time.ts'
import { everythingOf, failureOf, json, serve } from '../server.ts'
import type { Reply, Server } from '../server.ts'
import { aSecret, clientOf, signal } from './samples.ts'

/* Answers that a real API server gives seldom or never: load, proxies, captive pages, wrong addresses, careless webhooks. */

const REF = { name: 'one', namespace: 'team-a' }
const CANARY = 'canary-Pa55"word\nof two lines'

/** `metav1.Status`. */
function status(code: number, reason: string, message: string, details?: unknown): Reply {
  return json({ kind: 'Status', status: 'Failure', code, reason, message, details }, code)
}

async function failureTo(
  reply: Reply,
  act: (client: Kubernetes) => Promise<unknown> = (client) => client.get(SECRETS, REF, signal),
): Promise<AgentError> {
  await using server = await serve(() => reply)
  const error = await failureOf(act(await clientOf(server.url)))
  expect(error.message).toContain(new URL(server.url).host)
  expect(server.seen).toHaveLength(1)
  return error
}

const html = (code: number): Reply => ({
  status: code,
  headers: { 'content-type': 'text/html' },
  body: `<h1>${CANARY}</h1>`,
})

describe('an answer', () => {
  test.each([
    ['slow down', status(429, 'TooManyRequests', 'x'), 'too_many_requests', 'retry'],
    ['a page on success', html(200), 'answer_malformed', 'retry'],
    ['a page on 404', html(404), 'answer_malformed', 'retry'],
    ['a page on 403', html(403), 'answer_malformed', 'retry'],
    ['a page on 503', html(503), 'kubernetes_failed', 'retry'],
    ['another page on 429', html(429), 'too_many_requests', 'retry'],
    [
      'credentials that have run out',
      status(401, 'Unauthorized', 'x'),
      'kubernetes_failed',
      'retry',
    ],
    ['an unhappy server', status(500, 'InternalError', 'etcd: x'), 'kubernetes_failed', 'retry'],
    ['a time-out inside', status(504, 'Timeout', 'x'), 'kubernetes_failed', 'retry'],
    [
      'a body that is too large',
      status(413, 'RequestEntityTooLarge', 'x'),
      'kubernetes_refused',
      'operator',
    ],
    [
      'no JSON at all',
      { headers: { 'content-type': 'application/json' }, body: '{' },
      'answer_malformed',
      'retry',
    ],
    ['JSON that is no object', json([1]), 'answer_malformed', 'retry'],
    ['an object without a name', json({ metadata: {} }), 'answer_malformed', 'retry'],
    [
      'labels that are no texts',
      json({ metadata: { name: 'a', labels: { a: 1 } } }),
      'answer_malformed',
      'retry',
    ],
    [
      'a redirect',
      { status: 302, headers: { location: 'http://elsewhere.test/' } },
      'redirect_refused',
      'operator',
    ],
    [
      'a full quota',
      status(403, 'Forbidden', 'secrets "one" is forbidden: exceeded quota: q'),
      'kubernetes_refused',
      'operator',
    ],
    [
      'a namespace that goes',
      status(
        403,
        'Forbidden',
        'secrets "one" is forbidden: unable to create new content in namespace team-a because it is being terminated',
      ),
      'kubernetes_refused',
      'operator',
    ],
    [
      'a webhook that speaks of rights',
      status(
        403,
        'Forbidden',
        'admission webhook "w" denied the request: User "x" cannot get resource "secrets"',
      ),
      'kubernetes_refused',
      'operator',
    ],
    [
      'a webhook that is down',
      status(500, 'InternalError', 'failed calling webhook "w": x'),
      'kubernetes_failed',
      'retry',
    ],
  ] as const)(
    'with %s is classed, and nothing of a foreign body is shown',
    async (_, reply, code, kind) => {
      const error = await failureTo(reply)
      expect([error.code, error.class]).toEqual([code, kind])
      expect(everythingOf(error)).not.toContain('canary')
    },
  )

  test('that asks to wait says how long', async () => {
    const { headers, ...rest } = status(429, 'TooManyRequests', 'x')
    const error = await failureTo({ ...rest, headers: { ...headers, 'retry-after': '7' } })
    expect(error.retryAfter).toBe(7 * SECOND)
  })

  test('of a list is classed in the same way', async () => {
    const error = await failureTo(html(200), (client) => client.list(APPLICATIONS, {}, signal))
    expect(error.message).toMatch(
      /^Cannot list applications at \S+: the answer was HTTP 200 with an HTML page$/,
    )
  })

  test('is waited for until the abort, which is not an error of ours', async () => {
    await using server = await serve(() => undefined)
    const stop = new AbortController()
    const pending = (await clientOf(server.url)).get(SECRETS, REF, stop.signal)
    while (server.seen.length === 0) await Bun.sleep(5)
    stop.abort('stopped')
    expect(await pending.catch((thrown: unknown) => thrown)).toBe('stopped')
  })

  test('that names many owners shows three', async () => {
    const causes = ['a', 'b', 'c', 'd', 'e'].map((field) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with "${field < 'c' ? 'helm' : 'kubectl'}" using v1`,
      field: `.data.${field}`,
    }))
    const error = await failureTo(status(409, 'Conflict', 'Apply failed', { causes }), (client) =>
      client.apply(SECRETS, aSecret('one'), signal),
    )
    expect(error.message).toEndWith(
      '.data.a is owned by helm, .data.b is owned by helm, .data.c is owned by kubectl, and 2 more',
    )
    expect(error.detail['managers']).toBe('helm,kubectl')
  })
})

describe('a value of a Secret', () => {
  const quoted = JSON.stringify(CANARY)
  test.each([
    ['as it is', CANARY],
    ['quoted', quoted],
    ['as base64', btoa(CANARY)],
  ])('that a webhook repeats %s is masked', async (_, said) => {
    const message = `admission webhook "w" denied the request: ${said} is weak`
    for (const write of [
      (client: Kubernetes) => client.create(SECRETS, aSecret('one', { password: CANARY }), signal),
      (client: Kubernetes) => client.apply(SECRETS, aSecret('one', { password: CANARY }), signal),
      (client: Kubernetes) => client.replace(SECRETS, aSecret('one', { password: CANARY }), signal),
      (client: Kubernetes) => client.merge(SECRETS, REF, { data: { p: btoa(CANARY) } }, signal),
      (client: Kubernetes) => client.merge(SECRETS, REF, { stringData: { p: CANARY } }, signal),
    ]) {
      const error = await failureTo(status(400, 'BadRequest', message), write)
      expect(error.code).toBe('kubernetes_refused')
      expect(error.message).toContain('is weak')
      for (const secret of [CANARY, quoted.slice(1, -1), btoa(CANARY), 'canary-Pa55'])
        expect(everythingOf(error)).not.toContain(secret)
    }
  })
})

describe('a list', () => {
  const page = (names: string[], next?: string): Reply =>
    json({
      metadata: { resourceVersion: '7', ...(next === undefined ? {} : { continue: next }) },
      items: names.map((name) => ({ metadata: { name } })),
    })
  const query = (server: Server, name: string): (string | null)[] =>
    server.seen.map(({ path }) => new URL(path, 'http://x').searchParams.get(name))
  const gone = status(410, 'Expired', 'The provided continue parameter is too old')

  test('whose moment is forgotten in the middle begins anew, and shows nothing twice', async () => {
    const replies = [page(['old'], 'a'), gone, page(['one'], 'b'), page(['two'])]
    await using server = await serve(() => replies.shift())
    const found = await (await clientOf(server.url)).list(SECRETS, {}, signal)
    expect(found.items.map(({ metadata }) => metadata.name)).toEqual(['one', 'two'])
    expect(query(server, 'continue')).toEqual([null, 'a', null, 'b'])
    expect(query(server, 'limit')).toEqual(['500', '500', '500', '500'])
  })

  test('that is always forgotten ends with an error', async () => {
    await using server = await serve(() => gone)
    const error = await failureOf((await clientOf(server.url)).list(SECRETS, {}, signal))
    expect([error.code, error.detail['reason']]).toEqual(['kubernetes_failed', 'Expired'])
    expect(server.seen).toHaveLength(3)
  })

  test('of which a page fails is no list', async () => {
    const replies = [page(['one'], 'a'), status(500, 'InternalError', 'x')]
    await using server = await serve(() => replies.shift())
    const error = await failureOf((await clientOf(server.url)).list(SECRETS, {}, signal))
    expect(error.code).toBe('kubernetes_failed')
  })

  test('with a page larger than an answer may be is read in smaller ones', async () => {
    const huge = 'x'.repeat(65 * 1024 * 1024)
    await using server = await serve(({ path }) =>
      path.includes('limit=500')
        ? { headers: { 'content-type': 'application/json' }, body: huge }
        : page(['one']),
    )
    const found = await (await clientOf(server.url)).list(SECRETS, {}, signal)
    expect(found.items).toHaveLength(1)
    expect(query(server, 'limit')).toEqual(['500', '50'])
  })
})

describe('a request', () => {
  test('says who asks, with its credential in the header only', async () => {
    await using server = await serve(() => json({ metadata: { name: 'one' } }))
    const client = await clientOf(server.url)
    await client.create(SECRETS, aSecret('one', { password: CANARY }), signal)
    const [seen] = server.seen
    expect(seen!.headers).toMatchObject({
      'user-agent': expect.stringMatching(/^runtime-agent\/1\.2\.3 \(\w+\)$/),
      authorization: 'Bearer x',
      accept: 'application/json',
      'content-type': 'application/json',
    })
    expect(seen!.path).toBe('/api/v1/namespaces/team-a/secrets?fieldManager=runtime-agent')
  })

  test('goes nowhere when its place does not fit its kind, and quotes names in its path', async () => {
    await using server = await serve(() => json({ metadata: { name: 'one' } }))
    const client = await clientOf(server.url)
    expect((await failureOf(client.get(SECRETS, { name: 'one' }, signal))).code).toBe('internal')
    const odd = { ...REF, name: '../../configmaps/x' }
    await client.get(SECRETS, odd, signal)
    expect(server.seen.map(({ path }) => path)).toEqual([
      '/api/v1/namespaces/team-a/secrets/..%2F..%2Fconfigmaps%2Fx',
    ])
  })

  test('below a path of the server keeps it', async () => {
    await using server = await serve(() => json({ metadata: { name: 'one' } }))
    const origin = new URL(server.url).origin
    const client = await clientOf(`${origin}/k8s/clusters/c-1`)
    await client.get(APPLICATIONS, { name: 'one' }, signal)
    expect(server.seen[0]!.path).toBe(
      '/k8s/clusters/c-1/apis/applicationconnector.kyma-project.io/v1alpha1/applications/one',
    )
  })
})
