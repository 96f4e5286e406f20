import { MOST_CONFIGURATION_PARTS } from '../../src/agent/state-secrets.ts'
import { describe, expect } from 'bun:test'
import { packageJson } from '../../scripts/repository.ts'
import { parseConfig } from '../../src/config/parse.ts'
import {
  agentOf,
  containersOf,
  named,
  needsKustomize,
  ofKind,
  overlay,
  OVERLAYS,
  podOf,
  rulesOf,
} from './overlays.ts'
import type { Overlay } from './overlays.ts'

const roles = (objects: ReturnType<typeof overlay>) => [
  ...ofKind(objects, 'Role'),
  ...ofKind(objects, 'ClusterRole'),
]

describe.each([...OVERLAYS])('the overlay %s', (name) => {
  needsKustomize('lets no container be root, get rights, or write to its image', () => {
    for (const deployment of ofKind(overlay(name), 'Deployment')) {
      const pod = podOf(deployment)
      expect(pod.spec.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      })
      expect(pod.spec.securityContext['runAsUser']).toBeGreaterThan(0)
      for (const container of containersOf(pod)) {
        expect(container.securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          privileged: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        expect(container.resources?.requests).toMatchObject({
          cpu: expect.any(String),
          memory: expect.any(String),
        })
        expect(container.resources?.limits?.['memory']).toBeString()
      }
    }
  })

  needsKustomize('takes the image of this version, and asks it whether it lives', () => {
    const [deployment] = ofKind(overlay(name), 'Deployment')
    const agent = agentOf(podOf(deployment!))
    expect(agent.image).toBe(`runtime-agent:${packageJson().version}`)
    const drop = name === 'kyma-drop-in'
    expect(agent.livenessProbe?.httpGet.path).toBe(drop ? '/healthz' : '/livez')
    const ready = agent.readinessProbe ?? agent.startupProbe
    expect(ready?.httpGet.path).toBe(drop ? '/healthz' : '/readyz')
  })

  needsKustomize('gives rights one by one, and none to get more', () => {
    for (const rule of roles(overlay(name)).flatMap(rulesOf)) {
      const words = [...rule.apiGroups, ...rule.resources, ...rule.verbs]
      expect(words.filter((word) => word.includes('*'))).toEqual([])
      const known = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']
      expect(rule.verbs.filter((verb) => !known.includes(verb))).toEqual([])
      expect(rule.resources.filter((one) => /role|serviceaccount|webhook|\//.test(one))).toEqual([])
    }
  })

  needsKustomize('binds its roles to the account of its pods only', () => {
    const objects = overlay(name)
    const [deployment] = ofKind(objects, 'Deployment')
    const { namespace } = deployment!.metadata
    const account = { kind: 'ServiceAccount', name: podOf(deployment!).spec.serviceAccountName }
    const bindings = [...ofKind(objects, 'RoleBinding'), ...ofKind(objects, 'ClusterRoleBinding')]
    expect(bindings.map((one) => one['subjects'])).toEqual(
      bindings.map(() => [{ ...account, namespace }]),
    )
    const bound = bindings.map((one) => (one['roleRef'] as { name: string }).name).sort()
    expect(bound).toEqual(
      roles(objects)
        .map(({ metadata }) => metadata.name)
        .sort(),
    )
  })
})

/** The agent.yaml that the pod finds. */
function configIn(name: Overlay) {
  const [map] = ofKind(overlay(name), 'ConfigMap')
  const text = (map!['data'] as Record<string, string>)['agent.yaml']!
  return parseConfig(text, { file: 'agent.yaml', cwd: '/', env: () => undefined })
}

describe.each(['standalone', 'sidecar'] as const)('agent.yaml of the overlay %s', (name) => {
  needsKustomize('is one that the agent takes, in a ConfigMap that the pod mounts', () => {
    const { config, problems } = configIn(name)
    expect(problems ?? []).toEqual([])
    expect(config).toMatchObject({
      identity: { store: 'secret', directory: '/dev/shm/runtime-agent' },
      status: { listen: { host: '0.0.0.0', port: 8090 } },
    })
    const objects = overlay(name)
    const [map] = ofKind(objects, 'ConfigMap')
    expect(JSON.stringify(ofKind(objects, 'Deployment'))).toContain(
      `"configMap":{"name":"${map!.metadata.name}"}`,
    )
  })

  needsKustomize('keeps what the Role names, in the namespace of the pod', () => {
    const { config } = configIn(name)
    const objects = overlay(name)
    const state = named(objects, 'Role', 'runtime-agent-state')
    const { namespace } = state.metadata
    expect(namespace).toBe(ofKind(objects, 'Deployment')[0]!.metadata.namespace)
    expect(config?.identity.secret).toEqual({
      namespace: namespace!,
      name: 'runtime-agent-identity',
    })
    const names = rulesOf(state).flatMap((rule) => rule.resourceNames ?? [])
    // As many as the agent uses at most; a larger snapshot is a named problem.
    const parts = numbered('runtime-agent-snapshot', 16)
    const configuration = numbered('runtime-agent-configuration', MOST_CONFIGURATION_PARTS)
    expect(names.sort()).toEqual(
      [
        ...['runtime-agent', 'runtime-agent-identity', 'runtime-agent-state'],
        ...['runtime-agent-snapshot', ...parts],
        ...['runtime-agent-configuration', ...configuration],
      ].sort(),
    )
    const token = named(objects, 'Role', 'runtime-agent-token')
    expect(config?.connector.token).toMatchObject({
      secret: { namespace, name: rulesOf(token)[0]!.resourceNames![0] },
    })
  })
})

describe('the overlay standalone', () => {
  needsKustomize(
    'has a replica that stands by, and keeps one of the two when nodes are drained',
    () => {
      const objects = overlay('standalone')
      const [deployment] = ofKind(objects, 'Deployment')
      expect(deployment!['spec']).toMatchObject({ replicas: 2 })
      expect(ofKind(objects, 'PodDisruptionBudget')[0]!['spec']).toMatchObject({ minAvailable: 1 })
    },
  )

  needsKustomize('lets nobody in, and the agent out to DNS, the API server and Compass', () => {
    const objects = overlay('standalone')
    const policy = named(objects, 'NetworkPolicy', 'runtime-agent')['spec'] as {
      podSelector: { matchLabels: Record<string, string> }
      policyTypes: string[]
      ingress?: unknown[]
      egress: { ports: { protocol: string; port: number }[]; to?: unknown[] }[]
    }
    const { labels } = podOf(ofKind(objects, 'Deployment')[0]!).metadata
    expect(labels).toMatchObject(policy.podSelector.matchLabels)
    expect(policy.policyTypes).toEqual(['Ingress', 'Egress'])
    expect(policy.ingress).toBeUndefined()
    const ports = policy.egress.flatMap((rule) =>
      rule.ports.map(({ protocol, port }) => `${protocol} ${port}`),
    )
    expect(ports.sort()).toEqual([
      'TCP 443',
      'TCP 53',
      'TCP 6443',
      'TCP 8053',
      'UDP 53',
      'UDP 8053',
    ])
    expect(JSON.stringify(policy.egress)).toContain('169.254.0.0/16')
  })
})

describe('the overlay sidecar', () => {
  needsKustomize(
    'gives the token of the API to the agent, and the bindings to read to the application',
    () => {
      const pod = podOf(named(overlay('sidecar'), 'Deployment', 'orders'))
      expect(pod.spec.automountServiceAccountToken).toBe(false)
      const mounts = new Map(
        containersOf(pod).map((one) => [
          one.name,
          (one.volumeMounts ?? []).map((m) => m.name).sort(),
        ]),
      )
      expect(Object.fromEntries(mounts)).toEqual({
        directory: ['bindings'],
        agent: ['bindings', 'config', 'token'],
        orders: ['bindings'],
      })
      const app = containersOf(pod).find((one) => one.name === 'orders')!
      expect(app.volumeMounts).toMatchObject([{ mountPath: '/bindings', readOnly: true }])
      expect(app.securityContext?.['runAsUser']).not.toBe(pod.spec.securityContext['runAsUser'])
      expect(agentOf(pod).restartPolicy).toBe('Always')
    },
  )
})

describe('the overlay kyma-drop-in', () => {
  needsKustomize('is the Deployment of the Go agent by name, selector, account and port', () => {
    const deployment = named(overlay('kyma-drop-in'), 'Deployment', 'compass-runtime-agent')
    expect(deployment.metadata.namespace).toBe('kyma-system')
    expect(deployment['spec']).toMatchObject({
      replicas: 1,
      strategy: { rollingUpdate: { maxSurge: 0 } },
      selector: { matchLabels: { app: 'compass-runtime-agent', release: 'compass-runtime-agent' } },
    })
    const pod = podOf(deployment)
    expect(pod.spec.serviceAccountName).toBe('compass-runtime-agent')
    const agent = agentOf(pod)
    expect(agent.name).toBe('compass-runtime-agent')
    expect(agent.readinessProbe?.httpGet).toEqual({ path: '/healthz', port: 8090 })
  })
})

function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index}`)
}
