import type { ApiDefinition, Application, Auth, Bundle } from '../../src/model/application.ts'
import { Secret } from '../../src/model/secret.ts'
import { markComplete } from '../../src/model/snapshot.ts'
import type { ConfigDocument, Desired, Observed, ObservedObject } from '../../src/model/target.ts'

/** Small pieces of a landscape for tests; every part can be replaced. */

export const RUNTIME = '7b1a2c9e-0000-4000-8000-000000000001'

export function basic(username = 'user', password = 'pass'): Auth {
  return {
    credential: { type: 'basic', username: new Secret(username), password: new Secret(password) },
  }
}

export function oauth(clientSecret = 'client-secret'): Auth {
  return {
    credential: {
      type: 'oauth',
      clientId: new Secret('client'),
      clientSecret: new Secret(clientSecret),
      tokenUrl: 'https://tokens.example/oauth/token',
    },
  }
}

export function headers(values: Record<string, string[]>): Auth {
  const secrets = Object.entries(values).map(([name, list]) => [
    name,
    list.map((value) => new Secret(value)),
  ])
  return { headers: Object.fromEntries(secrets) }
}

export function api(id: string, targetUrl = 'https://api.example/v1'): ApiDefinition {
  return { id, name: `API ${id}`, targetUrl }
}

export function bundle(id: string, some: Partial<Bundle> = {}): Bundle {
  return { id, name: `Bundle ${id}`, apis: [api(`${id}-a`)], events: [], auth: basic(), ...some }
}

/** A bundle without the member `auth`. */
export function bare(id: string, some: Partial<Bundle> = {}): Bundle {
  const made = bundle(id, some)
  delete made.auth
  return made
}

export function application(id: string, some: Partial<Application> = {}): Application {
  return {
    id,
    name: `App ${id}`,
    labels: {},
    authIds: [],
    bundles: [bundle(`${id}-1`)],
    ...some,
  }
}

export function desired(applications: Application[]): Desired {
  return { runtimeId: RUNTIME, applications: markComplete(applications) }
}

/** A Component of Dapr with a secret in it, as acceptConfiguration() makes one. */
export function document(
  name: string,
  value = 'secret',
  { namespace }: { namespace?: string } = {},
): ConfigDocument {
  const kind = { apiVersion: 'dapr.io/v1alpha1', kind: 'Component' }
  const place = namespace === undefined ? {} : { namespace }
  const metadata = [
    { name: 'url', value: 'https://logging.example' },
    { name: 'password', value: new Secret(value) },
  ]
  return {
    id: `dapr.io/Component/${namespace ?? ''}/${name}`,
    ...kind,
    ...place,
    name,
    document: {
      ...kind,
      metadata: { name, ...place },
      spec: { type: 'bindings.http', version: 'v1', metadata },
    },
  }
}

export function documents(configuration: ConfigDocument[]): Desired {
  return { runtimeId: RUNTIME, configuration: markComplete(configuration) }
}

/** `count` applications with `bundles` bundles of `apis` APIs each. */
export function landscape(count: number, bundles = 3, apis = 2): Application[] {
  return numbers(count).map((a) => {
    const id = uuid(a)
    return application(id, {
      name: `mp-application-${a}`,
      providerName: 'Example Ltd',
      description: `The application number ${a}`,
      bundles: numbers(bundles).map((b) =>
        bundle(uuid(1000 + a * bundles + b), {
          name: `Bundle ${b} of ${a}`,
          apis: numbers(apis).map((n) => ({
            ...api(uuid(100_000 + (a * bundles + b) * apis + n), `https://a${a}.example/${b}`),
            name: `API ${n}`,
          })),
          auth: b % 2 === 0 ? basic(`user-${a}-${b}`, `password-${a}-${b}`) : oauth(`s-${a}-${b}`),
        }),
      ),
    })
  })
}

export function uuid(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
}

export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

/** Objects as the targets name them: one an application, one a bundle. */
export function observedOf(applications: readonly Application[], digest = 'same'): Observed {
  const objects = applications.flatMap(({ id, bundles }): ObservedObject[] => [
    {
      key: `application/${id}`,
      owner: { slice: 'applications', application: id },
      name: id,
      digest,
    },
    ...bundles.map((b) => ({
      key: `binding/${b.id}`,
      owner: { slice: 'applications' as const, application: id, bundle: b.id },
      name: b.id,
      digest,
    })),
  ])
  return { objects: new Map(objects.map((object) => [object.key, object])) }
}
