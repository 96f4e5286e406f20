import * as v from 'valibot'
import { DAY, SECOND } from '../model/time.ts'
import { choice, duration, flag, listenAddress, matching, path } from './fields.ts'
import { serviceUrl, text, wantUnlessLater } from './fields.ts'
import { configurationSection } from './configuration.ts'
import { guardSection } from './guard.ts'
import { secretName } from './cluster-names.ts'
import { compassConnectionSection, kubernetesSection } from './kubernetes.ts'
import { labelsSection } from './labels.ts'
import { proxySection } from './proxy.ts'
import { renewalSection } from './renewal.ts'
import { section } from './section.ts'
import { daprTarget } from './target-dapr.ts'
import { filesTarget } from './target-files.ts'
import { kubernetesTarget } from './target-kubernetes.ts'
import { kymaTarget } from './target-kyma.ts'
import { NAME, WANT_NAME } from './target-name.ts'
import { valueSource } from './value.ts'

/** Keys and kinds of design §7 that coming versions will know: refused with that reason. */
const LATER_KEYS = ['broker']
const LATER_KINDS = ['cloudfoundry']

/**
 * All of agent.yaml: what may be written, what it means, and what it becomes. Types (config.ts), defaults, JSON Schema
 * and docs/reference/agent-yaml.md are made from this and nothing else.
 *
 * A new target kind is one file like target-files.ts and one word in {@link targetSchema}. `base` is the absolute
 * directory that relative paths are taken from.
 */
export function agentSchema(base: string) {
  return section(
    {
      version: v.pipe(
        v.literal(1, 'the number 1'),
        v.description('Version of this format; always 1.'),
      ),
      name: v.optional(
        matching(
          'Tells two agents of one runtime apart; part of every mark that the agent leaves.',
          NAME,
          WANT_NAME,
          ['default'],
        ),
        'default',
      ),
      runtime: v.optional(runtimeSection, {}),
      connector: v.optional(connectorSection(base), {}),
      director: v.optional(directorSection, {}),
      identity: v.optional(identitySection(base), {}),
      labels: v.optional(labelsSection, {}),
      renewal: v.optional(renewalSection, {}),
      guard: v.optional(guardSection, {}),
      targets: v.optional(
        v.pipe(
          v.array(targetSchema(base), 'a list of targets'),
          v.description(
            'Where applications are made visible. None: the agent connects and labels only.',
          ),
        ),
        [],
      ),
      configuration: v.exactOptional(configurationSection),
      kubernetes: v.optional(kubernetesSection(base), {}),
      compassConnection: v.exactOptional(compassConnectionSection),
      proxy: v.exactOptional(proxySection),
      status: v.optional(statusSection, {}),
      log: v.optional(logSection, {}),
      insecureSkipVerify: v.optional(
        flag(
          'Switches the verification of TLS servers off, for every connection; status says so. Use connector.ca instead.',
        ),
        false,
      ),
    },
    LATER_KEYS,
  )
}

function targetSchema(base: string) {
  const kinds = [filesTarget(base), kymaTarget(), kubernetesTarget(), daprTarget(base)] as const
  return v.variant('kind', kinds, ({ path: at, input }) =>
    at === undefined ? 'a target such as {kind: files, directory: out}' : wantKind(input),
  )
}

function wantKind(input: unknown): string {
  return wantUnlessLater('files, kyma, kubernetes or dapr', input, LATER_KINDS)
}

const runtimeSection = v.pipe(
  section({
    id: v.exactOptional(
      text(
        'Id of the runtime in Compass. Learned from the Director; checked against it when given.',
        'the id of the runtime',
        ['0d6b3f0c-3b0e-4b5e-9f4e-2f6f0a4f8f11'],
      ),
    ),
    tenant: v.exactOptional(
      text(
        'External id of its tenant, sent to the Director as header Tenant.',
        'the id of a tenant',
        ['3e64ebae-38b5-46a0-b1ed-9ccee153a0ae'],
      ),
    ),
  }),
  v.description('The runtime that this agent serves.'),
)

function connectorSection(base: string) {
  return v.pipe(
    section({
      url: v.exactOptional(
        serviceUrl('GraphQL address of the Connector. A rawEncoded token holds it already.', [
          'https://connector.example/graphql',
        ]),
      ),
      token: v.optional(
        valueSource(
          'The one-time token: plain, raw or rawEncoded. Looked at again and again: a new one is seen within seconds.',
          base,
        ),
        { file: '/etc/runtime-agent/token' },
      ),
      ca: v.exactOptional(
        valueSource(
          'PEM of authorities to trust beside those of the system, for the Director too.',
          base,
        ),
      ),
    }),
    v.description('How to get and renew the identity.'),
  )
}

const directorSection = v.pipe(
  section({
    interval: v.optional(duration('Time between two looks at the Director.', [SECOND, DAY]), '3m'),
    instanceAuths: v.optional(
      choice(
        'Whether to ask for credentials of bundles that have no default ones: never.',
        ['never'],
        ['request'],
      ),
      'never',
    ),
  }),
  v.description('Where the applications come from.'),
)

function identitySection(base: string) {
  return v.pipe(
    section({
      store: v.optional(
        choice(
          'Where key and certificate, snapshot and state are kept: disk is the state directory, secret the cluster.',
          ['disk', 'secret'],
        ),
        'disk',
      ),
      secret: v.exactOptional(
        secretName(
          'With store: secret, the Secret of key and certificate: keys crt, key, crtChain.',
          ['kyma-system/cluster-client-certificates'],
        ),
      ),
      caSecret: v.exactOptional(
        secretName(
          'With store: secret, the Secret that gets the certificates of the authorities as key cacert. Missing: none.',
          ['istio-system/kyma-gateway-certs-cacert'],
        ),
      ),
      directory: v.optional(
        path(
          'The state directory, mode 0700, of this agent alone: lock, socket, identity, journal, snapshot, status. With store: secret only socket and status, and it may be unwritable.',
          base,
          'a directory path',
        ),
        '/var/lib/runtime-agent/state',
      ),
    }),
    v.description('What the agent must not lose.'),
  )
}

const statusSection = v.pipe(
  section({
    listen: v.optional(
      listenAddress(
        'Where /livez, /readyz, /status, /metrics and the page are served, for reading only and without login.',
      ),
      '127.0.0.1:8090',
    ),
  }),
  v.description('How to look at the agent.'),
)

const logSection = v.pipe(
  section({
    level: v.optional(
      choice('The least important messages that are logged.', ['debug', 'info', 'warn', 'error']),
      'info',
    ),
    format: v.optional(
      choice('auto is text on a terminal and JSON elsewhere.', ['auto', 'json', 'text']),
      'auto',
    ),
  }),
  v.description('What goes to standard error.'),
)
