import { parseAddress } from '../config/address.ts'
import { isNamespace, isObjectName } from '../config/cluster-names.ts'
import type { Config, ObjectName } from '../config/config.ts'
import { defaultConfig } from '../config/default.ts'
import type { Duration } from '../model/time.ts'
import { SECOND } from '../model/time.ts'
import { parseGoBool, parseGoDuration, parseNamespacedName } from './go-values.ts'

type Env = (name: string) => string | undefined

/**
 * The variables of the Go agent with their defaults (reference/go-agent.md §2). Beyond those, what the Go agent does not
 * know: where socket and status file go.
 */
const DEFAULTS = {
  APP_AGENT_CONFIGURATION_SECRET: 'kyma-system/compass-agent-configuration',
  APP_CONTROLLER_SYNC_PERIOD: '20s',
  APP_MINIMAL_COMPASS_SYNC_TIME: '10s',
  APP_CERT_VALIDITY_RENEWAL_THRESHOLD: '0.3',
  APP_CLUSTER_CERTIFICATES_SECRET: 'kyma-system/cluster-client-certificates',
  APP_CA_CERTIFICATES_SECRET: 'istio-system/ca-certificates',
  APP_SKIP_COMPASS_TLS_VERIFY: 'false',
  APP_SKIP_APPS_TLS_VERIFY: 'false',
  APP_CENTRAL_GATEWAY_SERVICE_URL:
    'http://central-application-gateway.kyma-system.svc.cluster.local:8082',
  APP_QUERY_LOGGING: 'false',
  APP_METRICS_LOGGING_TIME_INTERVAL: '30m',
  APP_HEALTH_PORT: '8090',
  APP_INTEGRATION_NAMESPACE: 'kyma-system',
  APP_RUNTIME_EVENTS_URL: 'https://gateway.kyma.local',
  APP_RUNTIME_CONSOLE_URL: 'https://console.kyma.local',
  APP_GATEWAY_PORT: '8080',
} as const

type Name = keyof typeof DEFAULTS

/** Directory of socket and status file; the pod may have an emptyDir there. */
const DIRECTORY = 'RUNTIME_AGENT_DIRECTORY'

/** What a variable of the Go agent means to us, or all that is wrong with them. */
export type DropIn =
  | { config: Config; configuration: ObjectName; warnings: string[]; problems?: never }
  | { problems: string[]; config?: never }

/** Whether the surroundings are those of the Go agent, so that no agent.yaml is needed. */
export function isDropIn(env: Env): boolean {
  const names = ['KUBERNETES_SERVICE_HOST', ...Object.keys(DEFAULTS)]
  return names.some((name) => (env(name) ?? '') !== '')
}

/** The configuration that the variables of the Go agent stand for. Pure; problems are told all at once. */
export function dropInConfig(env: Env): DropIn {
  const { read, problems } = reader(env)
  const defaults = defaultConfig()
  const period = read('APP_CONTROLLER_SYNC_PERIOD', goDuration)
  const least = read('APP_MINIMAL_COMPASS_SYNC_TIME', goDuration)
  const configuration = read('APP_AGENT_CONFIGURATION_SECRET', secret)
  const identity = read('APP_CLUSTER_CERTIFICATES_SECRET', secret)
  const ca = read('APP_CA_CERTIFICATES_SECRET', secret)
  if (sameObject(identity, configuration))
    problems.push('APP_CLUSTER_CERTIFICATES_SECRET: is the Secret of the configuration too')
  const skipTls = read('APP_SKIP_COMPASS_TLS_VERIFY', goBool)
  const logsQueries = read('APP_QUERY_LOGGING', goBool)
  const config: Config = {
    ...defaults,
    // Where the Go agent keeps its identity: also for commands from outside of the cluster, whose context has another one.
    kubernetes: { ...defaults.kubernetes, namespace: identity.namespace },
    connector: {
      ...defaults.connector,
      token: { from: 'secret', secret: { ...configuration, key: 'TOKEN' } },
    },
    director: { ...defaults.director, interval: Math.max(period, least, SECOND) },
    identity: {
      store: 'secret',
      secret: identity,
      // One Secret for both is what the Go agent would write to twice; the keys are different ones.
      ...(sameObject(identity, ca) ? {} : { caSecret: ca }),
      directory: read(DIRECTORY, directory, defaults.identity.directory),
    },
    labels: {
      ...defaults.labels,
      eventGatewayUrl: read('APP_RUNTIME_EVENTS_URL', anything),
      consoleUrl: read('APP_RUNTIME_CONSOLE_URL', anything),
    },
    renewal: {
      ...defaults.renewal,
      threshold: read('APP_CERT_VALIDITY_RENEWAL_THRESHOLD', threshold),
    },
    targets: [
      {
        kind: 'kyma',
        name: 'kyma',
        namespace: read('APP_INTEGRATION_NAMESPACE', namespace),
        gatewayUrl: read('APP_CENTRAL_GATEWAY_SERVICE_URL', anything),
        skipVerify: read('APP_SKIP_APPS_TLS_VERIFY', goBool),
      },
    ],
    compassConnection: { name: 'compass-connection' },
    status: { listen: read('APP_HEALTH_PORT', port) },
  }
  if (problems.length > 0) return { problems }
  return { config, configuration, warnings: warningsOf({ skipTls, logsQueries }) }
}

function warningsOf({
  skipTls,
  logsQueries,
}: {
  skipTls: boolean
  logsQueries: boolean
}): string[] {
  return [
    ...(skipTls
      ? [
          'APP_SKIP_COMPASS_TLS_VERIFY is ignored: servers are verified; where that fails, SSL_CERT_FILE or connector.ca of an agent.yaml names their authority',
        ]
      : []),
    ...(logsQueries ? ['APP_QUERY_LOGGING is ignored: queries and answers hold credentials'] : []),
  ]
}

type Parsed<Value> = { value: Value; want?: never } | { want: string; value: Value }
type Parse<Value> = (text: string) => Parsed<Value>

/** Reads variables; what is wrong is kept, and a stand-in given, so that everything wrong is found at once. */
function reader(env: Env) {
  const problems: string[] = []
  const read = <Value>(
    name: Name | typeof DIRECTORY,
    parse: Parse<Value>,
    standard: string = name === DIRECTORY ? '' : DEFAULTS[name],
  ): Value => {
    const given = env(name) ?? ''
    const { value, want } = parse(given === '' ? standard : given)
    if (want !== undefined) problems.push(`${name}: found ${JSON.stringify(given)}, want ${want}`)
    return value
  }
  return { read, problems }
}

const anything: Parse<string> = (value) => ({ value })

const goDuration: Parse<Duration> = (text) => {
  const value = parseGoDuration(text)
  const want = 'a length of time such as 180s or 3m'
  return value === undefined || value < 0 ? { value: 0, want } : { value }
}

const goBool: Parse<boolean> = (text) => {
  const value = parseGoBool(text)
  return value === undefined ? { value: false, want: 'true or false' } : { value }
}

const threshold: Parse<number> = (text) => {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  return value >= 0.05 && value <= 0.95
    ? { value }
    : { value: 0, want: 'a number from 0.05 to 0.95' }
}

const secret: Parse<ObjectName> = (text) => {
  const value = parseNamespacedName(text)
  const fits = isNamespace(value.namespace) && isObjectName(value.name)
  return fits ? { value } : { value, want: 'namespace/name of a Secret' }
}

const namespace: Parse<string> = (value) =>
  isNamespace(value) ? { value } : { value, want: 'a namespace' }

const directory: Parse<string> = (value) =>
  value.startsWith('/') && value !== '/'
    ? { value }
    : { value, want: 'the full path of a directory' }

const port: Parse<Config['status']['listen']> = (text) => {
  const value = parseAddress(`0.0.0.0:${text}`)
  return value === undefined ? { value, want: 'a port' } : { value }
}

function sameObject(a: ObjectName, b: ObjectName): boolean {
  return a.namespace === b.namespace && a.name === b.name
}
