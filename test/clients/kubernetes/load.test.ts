import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { SECRETS } from '../../../src/clients/kubernetes/api.ts'
import type { Kubernetes } from '../../../src/clients/kubernetes/api.ts'
import { openKubernetes } from '../../../src/clients/kubernetes/load.ts'
import type { Handler } from '../../../src/runtime/listen.ts'
import { makePki } from '../../runtime/pki.ts'
import type { Leaf, Pki } from '../../runtime/pki.ts'
import { serveTls, startProxy } from '../../runtime/servers.ts'
import { kubeForTests, needsKube } from '../../kube.ts'
import { everythingOf, failureOf, json, serve } from '../server.ts'
import type { Server } from '../server.ts'
import { aDirectory, aKubeconfig, signal } from './samples.ts'

const REF = { name: 'one', namespace: 'team-a' }
const ONE = { metadata: { name: 'one' } }
const CANARY = 'canary-credential'

const environment = { ...process.env }
afterEach(() => {
  process.env = { ...environment }
})

const open = (kubeconfig: string, context?: string): Promise<Kubernetes> =>
  openKubernetes({ kubeconfig, version: 'test', ...(context === undefined ? {} : { context }) })

describe('a kubeconfig', () => {
  const cluster = { server: 'https://kube.test' }
  const file = (text: string): string => {
    const path = join(aDirectory(), 'config')
    writeFileSync(path, text)
    return path
  }

  test.each([
    ['is missing', () => '/no/such/config', 'ENOENT'],
    ['is no YAML', () => file(`{ ${CANARY}: [`), 'it is no kubeconfig'],
    ['is a text', () => file(CANARY), 'it has no current-context'],
    ['is empty', () => file(''), 'it is no kubeconfig'],
    ['has a cluster without a server', () => aKubeconfig({ cluster: {} }), 'it is no kubeconfig'],
    [
      'has no such cluster',
      () => aKubeconfig({ cluster, context: { cluster: 'x' } }),
      "there is no cluster 'x' in it",
    ],
    [
      'has no such user',
      () => aKubeconfig({ cluster, context: { user: 'x' } }),
      "there is no user 'x' in it",
    ],
    [
      'would send its token in the clear',
      () => aKubeconfig({ cluster: { server: 'http://kube.test:80' } }),
      "server 'kube.test' is neither https nor on this machine",
    ],
    [
      'does not verify',
      () => aKubeconfig({ cluster: { ...cluster, 'insecure-skip-tls-verify': true } }),
      'insecure-skip-tls-verify is set: name the CA of the cluster instead',
    ],
  ])('that %s is refused with the reason, and nothing of it is shown', async (_, path, why) => {
    const place = path()
    const error = await failureOf(open(place))
    expect([error.code, error.class]).toEqual(['kubeconfig_invalid', 'operator'])
    expect(error.message).toBe(`Cannot use kubeconfig ${place}: ${why}`)
    expect(everythingOf(error)).not.toContain('canary')
  })

  test('with files that are missing is tried again later', async () => {
    const user = { 'client-certificate': 'no-such.crt', 'client-key': 'no-such.key' }
    const error = await failureOf(open(aKubeconfig({ cluster, user })))
    expect([error.code, error.class]).toEqual(['kubernetes_failed', 'retry'])
    expect(error.message).toEndWith('the credentials cannot be had: ENOENT')
  })

  test('gives host and namespace of the context that is asked for', async () => {
    const config = {
      'current-context': 'one',
      contexts: ['one', 'two'].map((name) => ({
        name,
        context: { cluster: name, user: 'me', ...(name === 'two' ? { namespace: 'team-b' } : {}) },
      })),
      clusters: ['one', 'two'].map((name) => ({
        name,
        cluster: { server: `https://${name}.test:6443/` },
      })),
      users: [{ name: 'me', user: { token: 'x' } }],
    }
    const path = file(JSON.stringify(config))
    const [one, two] = [await open(path), await open(path, 'two')]
    expect([one.host, one.namespace]).toEqual(['one.test:6443', 'default'])
    expect([two.host, two.namespace]).toEqual(['two.test:6443', 'team-b'])
    const missing = await failureOf(open(path, 'three'))
    expect(missing.message).toEndWith("there is no context 'three' in it")
  })

  test('is found through KUBECONFIG, where nothing is configured', async () => {
    process.env['KUBECONFIG'] = aKubeconfig({ cluster })
    expect((await openKubernetes({ version: 'test' })).host).toBe('kube.test')
    delete process.env['KUBECONFIG']
    const error = await failureOf(openKubernetes({ version: 'test' }))
    expect(error.code).toBe('kubeconfig_invalid')
    expect(error.message).toContain('there is no service account of a pod')
  })
})

describe('what a kubeconfig logs in with', () => {
  const headersSent = async (
    user: Record<string, unknown>,
  ): Promise<Server['seen'][0]['headers']> => {
    await using server = await serve(() => json(ONE))
    const cluster = { server: new URL(server.url).origin }
    await (await open(aKubeconfig({ cluster, user }))).get(SECRETS, REF, signal)
    return server.seen[0]!.headers
  }
  const plugin = (script: string): Record<string, unknown> => {
    const command = join(aDirectory(), 'plugin')
    writeFileSync(command, `#!/bin/sh\n${script}\n`)
    chmodSync(command, 0o700)
    return {
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        command,
        env: [{ name: 'WHO', value: 'me' }],
      },
    }
  }

  test('a token, a file of it, a password, and who is impersonated reach the server', async () => {
    const tokenFile = join(aDirectory(), 'token')
    writeFileSync(tokenFile, 'from-a-file\n')
    expect((await headersSent({ token: 'plain' })).authorization).toBe('Bearer plain')
    expect((await headersSent({ 'token-file': tokenFile })).authorization).toBe(
      'Bearer from-a-file',
    )
    const basic = await headersSent({ username: 'me', password: 'pä55' })
    expect(basic.authorization).toBe(`Basic ${Buffer.from('me:pä55').toString('base64')}`)
    expect(await headersSent({ token: 'x', as: 'robot' })).toMatchObject({
      'impersonate-user': 'robot',
    })
  })

  test('a plugin is asked once for many calls', async () => {
    const count = join(aDirectory(), 'count')
    const answer = `{"kind":"ExecCredential","status":{"token":"'$WHO'"}}`
    await using server = await serve(() => json(ONE))
    const cluster = { server: new URL(server.url).origin }
    const user = plugin(`echo x >> ${count}; echo '${answer}'`)
    const client = await open(aKubeconfig({ cluster, user }))
    for (let i = 0; i < 3; i++) await client.get(SECRETS, REF, signal)
    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual(
      Array(3).fill('Bearer me'),
    )
    expect(readFileSync(count, 'utf8')).toBe('x\n')
  })

  test.each([
    ['fails', `echo ${CANARY} >&2; exit 1`],
    ['gives no JSON', `echo ${CANARY}`],
    ['gives something else', `echo '{"${CANARY}":1}'`],
  ])('a plugin that %s is told of without its words', async (_, script) => {
    const cluster = { server: 'https://kube.test' }
    const error = await failureOf(open(aKubeconfig({ cluster, user: plugin(script) })))
    expect(error.code).toBe('kubernetes_failed')
    expect(error.message).toEndWith('the credentials cannot be had')
    expect(everythingOf(error)).not.toContain('canary')
  })
})

describe('the service account of a pod', () => {
  const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'

  /** The file system of a pod, and its environment. */
  function aPod(port: number, ca: string): { root: string; token(text: string): void } {
    const root = aDirectory()
    mkdirSync(join(root, FOLDER), { recursive: true })
    writeFileSync(join(root, FOLDER, 'ca.crt'), ca)
    writeFileSync(join(root, FOLDER, 'namespace'), 'kyma-system')
    process.env['KUBERNETES_SERVICE_HOST'] = '127.0.0.1'
    process.env['KUBERNETES_SERVICE_PORT'] = String(port)
    const token = (text: string): void => writeFileSync(join(root, FOLDER, 'token'), text)
    return { root, token }
  }

  test('is found, and its new token is taken as soon as the old one is refused', async () => {
    const tokens: (string | null)[] = []
    let accepted = 'Bearer first'
    const handler: Handler = (request) => {
      tokens.push(request.headers.get('authorization'))
      return Response.json(ONE, { status: tokens.at(-1) === accepted ? 200 : 401 })
    }
    const server = await serveTls(pki, { handler })
    const { root, token } = aPod(server.port, pki.ca)
    token('first\n')
    const client = await openKubernetes({ version: 'test' }, root)
    expect([client.host, client.namespace]).toEqual([`127.0.0.1:${server.port}`, 'kyma-system'])
    await client.get(SECRETS, REF, signal)
    accepted = 'Bearer second'
    token('second\n')
    expect((await failureOf(client.get(SECRETS, REF, signal))).detail['status']).toBe(401)
    await client.get(SECRETS, REF, signal)
    expect(tokens).toEqual(['Bearer first', 'Bearer first', 'Bearer second'])
    await client.close()
    await server.close()
  })
})

let pki: Pki
beforeAll(async () => {
  pki = await makePki()
})
const closing: { close(): Promise<void> }[] = []
afterAll(async () => {
  await Promise.all(closing.map((one) => one.close()))
})

describe('TLS', () => {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')

  async function tlsServer(
    leaf: Leaf = pki.server,
    fingerprints: (string | undefined)[] = [],
  ): Promise<number> {
    const handler: Handler = (_, { certificate }) => {
      fingerprints.push(certificate?.fingerprint)
      return Response.json(ONE)
    }
    const server = await serveTls(pki, { leaf, handler })
    closing.push(server)
    return server.port
  }

  const to = (
    port: number,
    {
      ca = pki.ca,
      user = {},
      ...more
    }: { ca?: string; user?: Record<string, unknown>; [key: string]: unknown } = {},
  ): Promise<Kubernetes> => {
    const cluster = {
      server: `https://127.0.0.1:${port}`,
      'certificate-authority-data': base64(ca),
      ...more,
    }
    return open(aKubeconfig({ cluster, user }))
  }

  test('believes the CA of the cluster alone, not those of the system', async () => {
    const port = await tlsServer()
    expect(await (await to(port)).get(SECRETS, REF, signal)).toMatchObject(ONE)
    const systemFile = join(aDirectory(), 'roots.crt')
    writeFileSync(systemFile, pki.ca)
    process.env['SSL_CERT_FILE'] = systemFile
    const error = await failureOf((await to(port, { ca: pki.otherCa })).get(SECRETS, REF, signal))
    expect(error.code).toBe('tls_untrusted')
    expect(error.hint).toContain('certificate-authority')
  })

  test('wants the name that tls-server-name says', async () => {
    const port = await tlsServer()
    const good = await to(port, { 'tls-server-name': 'compass.test' })
    expect(await good.get(SECRETS, REF, signal)).toMatchObject(ONE)
    const bad = await to(port, { 'tls-server-name': 'other.test' })
    const error = await failureOf(bad.get(SECRETS, REF, signal))
    expect([error.code, error.hint.includes('tls-server-name')]).toEqual([
      'tls_name_mismatch',
      true,
    ])
  })

  test('shows the client certificate, and a renewed one after a refusal', async () => {
    const folder = aDirectory()
    const put = ({ certificate, key }: Leaf): void => {
      writeFileSync(join(folder, 'my.crt'), certificate)
      writeFileSync(join(folder, 'my.key'), key.reveal())
    }
    put(pki.foreignClient)
    const seen: (string | undefined)[] = []
    let refuse = true
    const handler: Handler = (_, { certificate }) => {
      seen.push(certificate?.fingerprint)
      return Response.json(ONE, { status: refuse ? 401 : 200 })
    }
    const server = await serveTls(pki, { handler })
    closing.push(server)
    const user = {
      'client-certificate': join(folder, 'my.crt'),
      'client-key': join(folder, 'my.key'),
    }
    const client = await to(server.port, { user })
    await failureOf(client.get(SECRETS, REF, signal))
    put(pki.second)
    refuse = false
    await client.get(SECRETS, REF, signal)
    expect(seen).toHaveLength(2)
    expect(seen[0]).toMatch(/^[0-9a-f]{64}$/)
    expect(seen[1]).not.toBe(seen[0])
  })

  test('is set up anew once for many calls that were refused, and not at all when it is closed', async () => {
    const count = join(aDirectory(), 'count')
    let refuse = true
    const handler: Handler = () => Response.json(ONE, { status: refuse ? 401 : 200 })
    const server = await serveTls(pki, { handler })
    closing.push(server)
    const command = join(aDirectory(), 'plugin')
    writeFileSync(command, `#!/bin/sh\necho x >> ${count}; echo '{"status":{"token":"me"}}'\n`)
    chmodSync(command, 0o700)
    const client = await to(server.port, { user: { exec: { command } } })
    const calls = (): Promise<unknown>[] =>
      Array.from({ length: 5 }, () => client.get(SECRETS, REF, signal))
    await Promise.allSettled(calls())
    refuse = false
    await Promise.all(calls())
    expect(readFileSync(count, 'utf8')).toBe('x\nx\n')
    await client.close()
    expect((await failureOf(client.get(SECRETS, REF, signal))).code).toBe('internal')
  })

  test('goes through the proxy that the kubeconfig names', async () => {
    const port = await tlsServer()
    const proxy = await startProxy()
    closing.push(proxy)
    const server = `https://compass.test:${port}`
    const client = await to(port, { server, 'proxy-url': `http://127.0.0.1:${proxy.port}` })
    await client.get(SECRETS, REF, signal)
    expect(proxy.connects).toEqual([`compass.test:${port}`])
  })
})

describe('a real API server', () => {
  const kube = kubeForTests()

  needsKube(
    'takes the client certificate, the token and the bounded rights of a service account',
    async () => {
      await kube().applyManifests(
        '{apiVersion: v1, kind: ServiceAccount, metadata: {name: me, namespace: default}}',
      )
      const account = { name: 'me', namespace: 'default' }
      const admin = await open(kube().kubeconfig)
      expect((await admin.list(SECRETS, {}, signal)).items).toEqual([])
      const limited = await open(await kube().kubeconfigOf(account))
      expect(limited.namespace).toBe('default')
      const error = await failureOf(limited.list(SECRETS, {}, signal))
      expect(error.message).toContain(
        'system:serviceaccount:default:me lacks the right to list secrets',
      )
    },
  )

  needsKube('refuses credentials that are not its own', async () => {
    const cluster = {
      server: kube().url,
      'certificate-authority-data': Buffer.from(kube().ca).toString('base64'),
    }
    const client = await open(aKubeconfig({ cluster, user: { token: CANARY } }))
    const error = await failureOf(client.list(SECRETS, {}, signal))
    expect([error.code, error.detail['status']]).toEqual(['kubernetes_failed', 401])
    expect(error.message).toEndWith('it does not accept the credentials (HTTP 401)')
    expect(everythingOf(error)).not.toContain('canary')
    expect(dirname(kube().kubeconfig)).toBe(kube().directory)
  })
})
