import { beforeAll, describe, expect, test } from 'bun:test'
import type { ServerResponse } from 'node:http'
import { APPLICATIONS, SECRETS } from '../../../src/clients/kubernetes/api.ts'
import type { Kubernetes, WatchEvent } from '../../../src/clients/kubernetes/api.ts'
import { kubeForTests, needsKube } from '../../kube.ts'
import { everythingOf, failureOf, json, serve } from '../server.ts'
import type { Reply, Seen } from '../server.ts'
import { aSecret, anApplication, clientOf, signal } from './samples.ts'

/** A watch, event by event. */
function follow(
  client: Kubernetes,
  scope: Parameters<Kubernetes['watch']>[1],
  resource = SECRETS,
): { next(): Promise<WatchEvent | undefined>; stop(): void } {
  const stop = new AbortController()
  const events = client.watch(resource, scope, stop.signal)[Symbol.asyncIterator]()
  return {
    async next() {
      const { value, done } = await events.next()
      return done === true ? undefined : value
    },
    stop: () => stop.abort(),
  }
}

/** `added one`, `listed one,two`. */
function brief(event: WatchEvent | undefined): string {
  if (event === undefined) return 'end'
  if (event.type === 'listed')
    return `listed ${event.objects.map(({ metadata }) => metadata.name).join(',')}`
  return `${event.type} ${event.object.metadata.name}`
}

describe('on a real API server', () => {
  const kube = kubeForTests()
  const client = (): Kubernetes => kube().client
  beforeAll(async () => {
    await namespaceIfThere()
  })

  async function namespaceIfThere(): Promise<void> {
    try {
      await kube().namespace('team-a')
    } catch {
      // All tests of it are skipped.
    }
  }

  needsKube('a watch begins with all there is and goes on with each change', async () => {
    await client().create(SECRETS, aSecret('one'), signal)
    const watch = follow(client(), { namespace: 'team-a' })
    expect(brief(await watch.next())).toBe('listed one')
    await client().create(SECRETS, aSecret('two', { a: '1' }), signal)
    const ref = { namespace: 'team-a', name: 'two' }
    await client().merge(SECRETS, ref, { data: { a: btoa('2') } }, signal)
    await client().remove(SECRETS, ref, {}, signal)
    expect(brief(await watch.next())).toBe('added two')
    const modified = await watch.next()
    expect(modified).toMatchObject({ type: 'modified', object: { data: { a: btoa('2') } } })
    expect(brief(await watch.next())).toBe('deleted two')
    watch.stop()
    expect(brief(await watch.next())).toBe('end')
  })

  needsKube('a watch of one name sees nothing else', async () => {
    const watch = follow(client(), { fields: 'metadata.name=wanted' }, APPLICATIONS)
    expect(brief(await watch.next())).toBe('listed ')
    await client().create(APPLICATIONS, anApplication('other'), signal)
    await client().create(APPLICATIONS, anApplication('wanted'), signal)
    expect(brief(await watch.next())).toBe('added wanted')
    watch.stop()
  })

  needsKube(
    'a watch whose server is gone ends with an error; the next one misses nothing',
    async () => {
      await kube().namespace('restart')
      const watch = follow(client(), { namespace: 'restart' })
      expect(brief(await watch.next())).toBe('listed ')
      await client().create(SECRETS, aSecret('before', {}, 'restart'), signal)
      expect(brief(await watch.next())).toBe('added before')
      const next = failureOf(watch.next())
      await kube().kill()
      expect((await next).code).toBe('unreachable')
      expect(
        (await failureOf(client().get(SECRETS, { namespace: 'restart', name: 'before' }, signal)))
          .code,
      ).toBe('unreachable')
      await kube().revive()
      await client().create(SECRETS, aSecret('after', {}, 'restart'), signal)
      const again = follow(client(), { namespace: 'restart' })
      expect(brief(await again.next())).toBe('listed after,before')
      again.stop()
    },
  )

  needsKube('a watch without the right to it says so', async () => {
    await kube().applyManifests(
      '{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: team-a}}',
    )
    const nobody = await kube().as({ namespace: 'team-a', name: 'nobody' })
    const error = await failureOf(follow(nobody, { namespace: 'team-a' }).next())
    expect(error.code).toBe('kubernetes_forbidden')
    expect(error.detail).toMatchObject({ verb: 'list', resource: 'secrets' })
  })
})

/** A Secret as the API sends it. */
const sent = (name: string, version: number): Record<string, unknown> => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'team-a', uid: name, resourceVersion: String(version) },
})
const event = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`
const bookmark = (version: number): string =>
  event('BOOKMARK', { kind: 'Secret', metadata: { name: '', resourceVersion: String(version) } })
const GONE = {
  kind: 'Status',
  status: 'Failure',
  message: 'too old resource version: 1 (9)',
  reason: 'Expired',
  code: 410,
}

/** Lists answer with `lists` in turn, watches with `watches`; the last of each for ever. */
function scripted(lists: Reply[], watches: ((response: ServerResponse) => void)[]) {
  const turn = { list: 0, watch: 0 }
  return ({ path }: Seen, response: ServerResponse): Reply | undefined => {
    if (!path.includes('watch=')) return lists[Math.min(turn.list++, lists.length - 1)]
    watches[Math.min(turn.watch++, watches.length - 1)]?.(response)
    return undefined
  }
}

const listOf = (version: number, ...names: string[]): Reply =>
  json({
    kind: 'SecretList',
    metadata: { resourceVersion: String(version) },
    items: names.map((name) => sent(name, version)),
  })

/** Sends chunks and ends, or stays open. */
const stream =
  (chunks: (string | Uint8Array)[], end = true) =>
  (response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json' })
    for (const chunk of chunks) response.write(chunk)
    if (end) response.end()
  }

const versionsAsked = (seen: Seen[]): (string | null)[] =>
  seen
    .filter(({ path }) => path.includes('watch='))
    .map(({ path }) => new URL(path, 'http://x').searchParams.get('resourceVersion'))

describe('a server that is played', () => {
  test('ends a watch after its time: the next goes on from the last event or bookmark', async () => {
    const watches = [
      stream([event('ADDED', sent('a', 5)), bookmark(9)]),
      stream([event('MODIFIED', sent('a', 12))]),
      stream([], false),
    ]
    await using server = await serve(scripted([listOf(3)], watches))
    const watch = follow(await clientOf(server.url), {})
    expect([await watch.next(), await watch.next(), await watch.next()].map(brief)).toEqual([
      'listed ',
      'added a',
      'modified a',
    ])
    const last = watch.next()
    while (versionsAsked(server.seen).length < 3) await Bun.sleep(5)
    watch.stop()
    expect(brief(await last)).toBe('end')
    expect(versionsAsked(server.seen)).toEqual(['3', '9', '12'])
    expect(server.seen.filter(({ path }) => !path.includes('watch='))).toHaveLength(1)
  })

  test.each([
    ['an event', stream([event('ERROR', GONE)])],
    [
      'a status',
      (response: ServerResponse) => {
        response.writeHead(410, { 'content-type': 'application/json' })
        response.end(JSON.stringify(GONE))
      },
    ],
  ])('has forgotten the place, told by %s: all is listed anew', async (_, gone) => {
    const watches = [stream([event('ADDED', sent('a', 5))]), gone, stream([], false)]
    await using server = await serve(scripted([listOf(3), listOf(20, 'a', 'b')], watches))
    const watch = follow(await clientOf(server.url), {})
    expect([await watch.next(), await watch.next(), await watch.next()].map(brief)).toEqual([
      'listed ',
      'added a',
      'listed a,b',
    ])
    watch.stop()
  })

  test('forgets every place at once: that is an error, not an endless loop', async () => {
    await using server = await serve(scripted([listOf(3)], [stream([event('ERROR', GONE)])]))
    const watch = follow(await clientOf(server.url), {})
    await watch.next()
    expect((await failureOf(watch.next())).code).toBe('kubernetes_failed')
  })

  test('ends every watch at once: that is an error, not an endless loop', async () => {
    await using server = await serve(scripted([listOf(3)], [stream([])]))
    const watch = follow(await clientOf(server.url), {})
    await watch.next()
    const error = await failureOf(watch.next())
    expect([error.code, error.message]).toEqual([
      'kubernetes_failed',
      `Cannot watch secrets at ${new URL(server.url).host}: the server ends it without an event`,
    ])
    expect(server.seen).toHaveLength(2)
  })

  test('cuts events anywhere, also inside a letter', async () => {
    const text = event('ADDED', { ...sent('a', 5), note: 'ä€😀' }) + event('ADDED', sent('b', 6))
    const bytes = new TextEncoder().encode(text)
    const pieces = Array.from(bytes, (byte) => Uint8Array.of(byte))
    await using server = await serve(scripted([listOf(3)], [stream(pieces)]))
    const watch = follow(await clientOf(server.url), {})
    await watch.next()
    expect(await watch.next()).toMatchObject({ type: 'added', object: { note: 'ä€😀' } })
    expect(brief(await watch.next())).toBe('added b')
    watch.stop()
  })

  test('cuts the last event: that is an error', async () => {
    await using server = await serve(scripted([listOf(3)], [stream(['{"type":"ADDED","obj'])]))
    const watch = follow(await clientOf(server.url), {})
    await watch.next()
    expect((await failureOf(watch.next())).message).toEndWith('the answer was cut')
  })

  test('sends an event without end: it is not read without end', async () => {
    const flood = (response: ServerResponse): void => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(1 << 20)));
        response.once('drain', more)
      }
      more()
    }
    await using server = await serve(scripted([listOf(3)], [flood]))
    const watch = follow(await clientOf(server.url), {})
    await watch.next()
    expect((await failureOf(watch.next())).code).toBe('answer_too_large')
  })

  test('sends what is no event: its words are not repeated', async () => {
    await using server = await serve(scripted([listOf(3)], [stream(['canary in a page\n'])]))
    const watch = follow(await clientOf(server.url), {})
    await watch.next()
    const error = await failureOf(watch.next())
    expect(error.code).toBe('answer_malformed')
    expect(everythingOf(error)).not.toContain('canary')
  })

  test('loses the right in the middle: that is told', async () => {
    const forbidden = {
      kind: 'Status',
      message: 'secrets is forbidden: User "u" cannot watch resource "secrets" in API group ""',
      reason: 'Forbidden',
      code: 403,
    }
    await using server = await serve(scripted([listOf(3)], [stream([event('ERROR', forbidden)])]))
    const watch = follow(await clientOf(server.url), {})
    await watch.next()
    const error = await failureOf(watch.next())
    expect(error.code).toBe('kubernetes_forbidden')
    expect(error.message).toEndWith('u lacks the right to watch secrets')
  })

  test('an abort ends it without an error, whatever it waits for', async () => {
    const silent = (): void => undefined
    await using server = await serve(scripted([listOf(3)], [silent]))
    const watch = follow(await clientOf(server.url), {})
    await watch.next()
    const next = watch.next()
    while (server.seen.length < 2) await Bun.sleep(5)
    watch.stop()
    expect(brief(await next)).toBe('end')
  })
})
