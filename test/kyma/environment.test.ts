import { describe, expect, test } from 'bun:test'
import type { KymaTargetConfig } from '../../src/config/config.ts'
import { defaultConfig } from '../../src/config/default.ts'
import { dropInConfig, isDropIn } from '../../src/kyma/environment.ts'

const from = (variables: Record<string, string>) => dropInConfig((name) => variables[name])

function configOf(variables: Record<string, string>) {
  const found = from(variables)
  if (found.problems !== undefined) throw new Error(found.problems.join('\n'))
  return found
}

/** As application-connector-manager deploys it (reference/go-agent.md §2). */
const DEPLOYED = {
  APP_AGENT_CONFIGURATION_SECRET: 'kyma-system/compass-agent-configuration',
  APP_CONTROLLER_SYNC_PERIOD: '180s',
  APP_MINIMAL_COMPASS_SYNC_TIME: '15s',
  APP_CERT_VALIDITY_RENEWAL_THRESHOLD: '0.3',
  APP_CLUSTER_CERTIFICATES_SECRET: 'kyma-system/cluster-client-certificates',
  APP_CA_CERTIFICATES_SECRET: 'istio-system/kyma-gateway-certs-cacert',
  APP_SKIP_COMPASS_TLS_VERIFY: 'true',
  APP_SKIP_APPS_TLS_VERIFY: 'false',
  APP_CENTRAL_GATEWAY_SERVICE_URL:
    'http://central-application-gateway.kyma-system.svc.cluster.local:8082',
  APP_QUERY_LOGGING: 'false',
  APP_METRICS_LOGGING_TIME_INTERVAL: '30m',
  APP_HEALTH_PORT: '8090',
  APP_RUNTIME_EVENTS_URL: 'https://gateway.c-1.kyma.ondemand.com',
  APP_RUNTIME_CONSOLE_URL: 'https://console.c-1.kyma.ondemand.com',
}

describe('the variables of the Go agent', () => {
  test('without any, what its code has as defaults', () => {
    const { config, configuration, warnings } = configOf({})
    expect(configuration).toEqual({ namespace: 'kyma-system', name: 'compass-agent-configuration' })
    expect(warnings).toEqual([])
    const { renewal, guard, name, runtime, proxy } = defaultConfig()
    expect(config).toMatchObject({ renewal, guard, name, runtime })
    // Of the Lease too, wherever the command is typed.
    expect(config.kubernetes).toEqual({ namespace: 'kyma-system' })
    expect(config.proxy).toBe(proxy)
    expect(config.connector.token).toEqual({
      from: 'secret',
      secret: { ...configuration, key: 'TOKEN' },
    })
    expect(config.director.interval).toBe(20_000)
    expect(config.identity).toEqual({
      store: 'secret',
      secret: { namespace: 'kyma-system', name: 'cluster-client-certificates' },
      caSecret: { namespace: 'istio-system', name: 'ca-certificates' },
      directory: '/var/lib/runtime-agent/state',
    })
    expect(config.labels).toEqual({
      eventGatewayUrl: 'https://gateway.kyma.local',
      consoleUrl: 'https://console.kyma.local',
      custom: {},
    })
    expect(config.targets).toEqual([
      {
        kind: 'kyma',
        name: 'kyma',
        namespace: 'kyma-system',
        gatewayUrl: 'http://central-application-gateway.kyma-system.svc.cluster.local:8082',
        skipVerify: false,
      },
    ])
    expect(config.compassConnection).toEqual({ name: 'compass-connection' })
    expect(config.status.listen).toEqual({ host: '0.0.0.0', port: 8090 })
    expect(config.insecureSkipVerify).toBe(false)
  })

  test('as deployed: the period of three minutes, and a warning that servers are verified all the same', () => {
    const { config, warnings } = configOf(DEPLOYED)
    expect(config.director.interval).toBe(180_000)
    expect(config.identity.caSecret).toEqual({
      namespace: 'istio-system',
      name: 'kyma-gateway-certs-cacert',
    })
    expect(config.labels.eventGatewayUrl).toBe('https://gateway.c-1.kyma.ondemand.com')
    expect(config.insecureSkipVerify).toBe(false)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^APP_SKIP_COMPASS_TLS_VERIFY is ignored: .*SSL_CERT_FILE/)
  })

  test('each of them counts', () => {
    const { config, configuration, warnings } = configOf({
      APP_AGENT_CONFIGURATION_SECRET: 'x',
      APP_CONTROLLER_SYNC_PERIOD: '1s',
      APP_MINIMAL_COMPASS_SYNC_TIME: '5s',
      APP_CERT_VALIDITY_RENEWAL_THRESHOLD: '5e-1',
      APP_CLUSTER_CERTIFICATES_SECRET: 'a/certs',
      APP_CA_CERTIFICATES_SECRET: '/ca',
      APP_SKIP_APPS_TLS_VERIFY: 'T',
      APP_CENTRAL_GATEWAY_SERVICE_URL: 'http://gateway',
      APP_QUERY_LOGGING: '1',
      APP_HEALTH_PORT: '9000',
      APP_INTEGRATION_NAMESPACE: 'integration',
      // Not what agent.yaml takes, but the Go agent sends whatever stands there.
      APP_RUNTIME_EVENTS_URL: 'gateway.example',
      RUNTIME_AGENT_DIRECTORY: '/run/agent',
    })
    expect(configuration).toEqual({ namespace: 'default', name: 'x' })
    expect(config.director.interval).toBe(5000)
    expect(config.renewal.threshold).toBe(0.5)
    expect(config.identity).toMatchObject({
      secret: { namespace: 'a', name: 'certs' },
      caSecret: { namespace: 'default', name: 'ca' },
      directory: '/run/agent',
    })
    const target: Partial<KymaTargetConfig> = {
      namespace: 'integration',
      gatewayUrl: 'http://gateway',
      skipVerify: true,
    }
    expect(config.targets).toMatchObject([target])
    expect(config.status.listen?.port).toBe(9000)
    expect(config.labels.eventGatewayUrl).toBe('gateway.example')
    expect(warnings.join()).toMatch(/^APP_QUERY_LOGGING is ignored/)
  })

  test('an empty one counts as not given', () => {
    expect(configOf({ APP_CONTROLLER_SYNC_PERIOD: '' }).config.director.interval).toBe(20_000)
  })

  test('everything wrong is told at once, and nothing of it is guessed', () => {
    const { problems } = from({
      APP_CONTROLLER_SYNC_PERIOD: '3',
      APP_MINIMAL_COMPASS_SYNC_TIME: '-1s',
      APP_CERT_VALIDITY_RENEWAL_THRESHOLD: '30',
      APP_CLUSTER_CERTIFICATES_SECRET: 'Kyma/x',
      APP_SKIP_COMPASS_TLS_VERIFY: 'yes',
      APP_HEALTH_PORT: '70000',
      APP_INTEGRATION_NAMESPACE: 'a/b',
      RUNTIME_AGENT_DIRECTORY: 'state',
    })
    expect(problems?.toSorted()).toEqual([
      'APP_CERT_VALIDITY_RENEWAL_THRESHOLD: found "30", want a number from 0.05 to 0.95',
      'APP_CLUSTER_CERTIFICATES_SECRET: found "Kyma/x", want namespace/name of a Secret',
      'APP_CONTROLLER_SYNC_PERIOD: found "3", want a length of time such as 180s or 3m',
      'APP_HEALTH_PORT: found "70000", want a port',
      'APP_INTEGRATION_NAMESPACE: found "a/b", want a namespace',
      'APP_MINIMAL_COMPASS_SYNC_TIME: found "-1s", want a length of time such as 180s or 3m',
      'APP_SKIP_COMPASS_TLS_VERIFY: found "yes", want true or false',
      'RUNTIME_AGENT_DIRECTORY: found "state", want the full path of a directory',
    ])
  })

  test('the identity is never kept in the Secret of the configuration', () => {
    expect(
      from({ APP_AGENT_CONFIGURATION_SECRET: 'a/b', APP_CLUSTER_CERTIFICATES_SECRET: 'a/b' })
        .problems,
    ).toEqual(['APP_CLUSTER_CERTIFICATES_SECRET: is the Secret of the configuration too'])
  })

  test('count in a cluster, or where one of them is set', () => {
    const is = (variables: Record<string, string>) => isDropIn((name) => variables[name])
    expect(is({})).toBe(false)
    expect(is({ APP_OTHER: 'x', KUBECONFIG: '/x' })).toBe(false)
    expect(is({ KUBERNETES_SERVICE_HOST: '10.0.0.1' })).toBe(true)
    expect(is({ APP_HEALTH_PORT: '8090' })).toBe(true)
    expect(is({ APP_HEALTH_PORT: '' })).toBe(false)
  })
})
