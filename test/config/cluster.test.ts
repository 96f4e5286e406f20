import { describe, expect, test } from 'bun:test'
import { configOf, problemsOf } from './agent.ts'

const target = (yaml: string) => `version: 1\ntargets: [${yaml}]`

describe('what lives in a cluster', () => {
  test('has the defaults of Kyma', () => {
    const config = configOf(
      'version: 1\ntargets: [{kind: kyma}, {kind: kubernetes, namespace: a}]\ncompassConnection: {}',
    )
    expect(config.targets).toEqual([
      {
        kind: 'kyma',
        name: 'kyma',
        namespace: 'kyma-system',
        gatewayUrl: 'http://central-application-gateway.kyma-system.svc.cluster.local:8082',
        skipVerify: false,
      },
      {
        kind: 'kubernetes',
        name: 'kubernetes',
        namespaces: ['a'],
        types: [],
        index: false,
        restart: false,
      },
    ])
    expect(config.compassConnection).toEqual({ name: 'compass-connection' })
    expect(config.kubernetes).toEqual({})
    expect(configOf('version: 1').compassConnection).toBeUndefined()
  })

  test('the identity is kept in a Secret, and its authorities in another one', () => {
    const { identity } = configOf(
      'version: 1\nidentity: {store: secret, secret: kyma-system/cluster-client-certificates, caSecret: istio-system/kyma.ca}',
    )
    expect(identity).toEqual({
      store: 'secret',
      directory: '/var/lib/runtime-agent/state',
      secret: { namespace: 'kyma-system', name: 'cluster-client-certificates' },
      caSecret: { namespace: 'istio-system', name: 'kyma.ca' },
    })
  })

  test('the API may be another one than that of the pod', () => {
    const text = 'version: 1\nkubernetes: {kubeconfig: kube/config, context: kyma, namespace: x}'
    expect(configOf(text).kubernetes).toEqual({
      kubeconfig: '/etc/agent/kube/config',
      context: 'kyma',
      namespace: 'x',
    })
  })

  test('one target may serve several namespaces', () => {
    const [found] = configOf(target('{kind: kubernetes, namespaces: [a, b-c]}')).targets
    expect(found).toMatchObject({ namespaces: ['a', 'b-c'] })
  })

  test.each([
    [
      target('{kind: kubernetes}'),
      '2:11: targets[0]: found a section with kind, want exactly one of namespace, namespaces',
    ],
    [
      target('{kind: kubernetes, namespace: a, namespaces: [b]}'),
      '2:11: targets[0]: found a section with kind, namespace, namespaces, want exactly one of namespace, namespaces',
    ],
    [
      target('{kind: kubernetes, namespaces: []}'),
      '2:42: targets[0].namespaces: found an empty list, want at least one namespace',
    ],
    [
      target('{kind: kubernetes, namespace: Team_A}'),
      '2:41: targets[0].namespace: found "Team_A", want a namespace: lower-case letters, digits and -, at most 63',
    ],
    [
      target('{kind: kubernetes, namespace: a.b}'),
      '2:41: targets[0].namespace: found "a.b", want a namespace: lower-case letters, digits and -, at most 63',
    ],
    [
      target(`{kind: kyma, namespace: ${'a'.repeat(64)}}`),
      `2:35: targets[0].namespace: found "${'a'.repeat(60)}…", want a namespace: lower-case letters, digits and -, at most 63`,
    ],
    [
      target('{kind: kyma, namespaces: [a]}'),
      '2:24: targets[0].namespaces: unknown key, did you mean namespace?',
    ],
    [
      target('{kind: kyma, gatewayUrl: "ftp://x"}'),
      '2:36: targets[0].gatewayUrl: found "ftp://x", want an http:// or https:// URL',
    ],
    [
      target('{kind: kyma, gatewayUrl: "http://u:p@x"}'),
      '2:36: targets[0].gatewayUrl: found "http://…@x", want a URL without user, password and fragment',
    ],
    [
      target('{kind: kyma}, {kind: kyma, name: other}'),
      '2:32: targets[1].kind: targets[0] is of kind kyma already, want one such target',
    ],
    [
      target('{kind: kubernetes, namespaces: [a, a]}'),
      '2:46: targets[0].namespaces[1]: a is of targets[0] already, want another one',
    ],
    [
      target('{kind: kubernetes, namespace: a}, {kind: kubernetes, name: b, namespaces: [x, a]}'),
      '2:89: targets[1].namespaces[1]: a is of targets[0] already, want another one',
    ],
    [
      'version: 1\nname: second\ntargets: [{kind: kyma}]',
      '2:7: name: has no meaning with a target of kind kyma, which is that of one agent a cluster; want default or no such key',
    ],
    [
      'version: 1\nidentity: {store: secret}',
      '2:11: identity.secret: missing, want namespace/name of a Secret',
    ],
    [
      'version: 1\nidentity: {secret: a/b}',
      '2:20: identity.secret: has no meaning with identity.store: disk, want store: secret or no such key',
    ],
    [
      'version: 1\nidentity: {store: disk, caSecret: a/b}',
      '2:35: identity.caSecret: has no meaning with identity.store: disk, want store: secret or no such key',
    ],
    [
      'version: 1\nidentity: {store: secret, secret: a/b, caSecret: a/b}',
      '2:50: identity.caSecret: is also identity.secret, want another Secret',
    ],
    [
      'version: 1\nidentity: {store: secret, secret: b}',
      '2:35: identity.secret: found "b", want namespace/name of a Secret',
    ],
    [
      'version: 1\nidentity: {store: secret, secret: a/b/c}',
      '2:35: identity.secret: found "a/b/c", want namespace/name of a Secret',
    ],
    [
      'version: 1\nidentity: {store: secret, secret: a/.b}',
      '2:35: identity.secret: found "a/.b", want namespace/name of a Secret',
    ],
    [
      'version: 1\ncompassConnection: {name: Compass}',
      '2:27: compassConnection.name: found "Compass", want a name in the cluster: lower-case letters, digits, - and dots between them, at most 253',
    ],
    [
      'version: 1\nkubernetes: {config: x}',
      '2:14: kubernetes.config: unknown key, want one of kubeconfig, context, namespace',
    ],
    [
      'version: 1\ncompassConnection: true',
      '2:20: compassConnection: found true, want a section with name',
    ],
  ])('%j', (text, problem) => {
    expect(problemsOf(text)).toEqual([problem])
  })
})
