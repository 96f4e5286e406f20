import {
  DEFAULT_FORMATION,
  deriveId,
  landscapeOf,
  type Landscape,
  type LandscapeApi,
  type LandscapeApplication,
  type LandscapeAuth,
  type LandscapeBundle,
  type LandscapeDefinition,
} from './landscape.ts'

export type LandscapeSize = {
  applications: number
  /** In each application. */
  bundles: number
  /** In each bundle. */
  apis: number
  events: number
  /** The first application has so many bundles instead, and its first bundle so many APIs and events. */
  largest?: { bundles?: number; apis?: number; events?: number }
}

/**
 * A landscape of a given size, for tests and benchmarks: the same size gives the same landscape, texts are as long as
 * real ones (200 × 3 × 2 is a page of about 1 MB), and the bundles of each application take turns through all kinds of
 * credentials.
 *
 * @testing and scripts/bench.ts are its only readers
 */
export function makeLandscape(size: LandscapeSize): Landscape {
  return landscapeOf(times(size.applications, (index) => application(index, size)))
}

function application(index: number, size: LandscapeSize): LandscapeApplication {
  const number = String(index).padStart(4, '0')
  const name = `Application ${number}`
  const id = deriveId('application', name)
  const bundles = index === 0 ? (size.largest?.bundles ?? size.bundles) : size.bundles
  return {
    id,
    name,
    providerName: 'Example Systems',
    description: `Application ${number} of a generated landscape. ${FILLER}`,
    labels: { applicationType: 'Generated', region: index % 2 === 0 ? 'eu' : 'us' },
    formations: [DEFAULT_FORMATION],
    hidden: false,
    authIds: [deriveId('auth', id)],
    bundles: times(bundles, (bundleIndex) =>
      bundle(id, bundleIndex, index === 0 && bundleIndex === 0 ? largestBundle(size) : size),
    ),
  }
}

function largestBundle(size: LandscapeSize): { apis: number; events: number } {
  return { apis: size.largest?.apis ?? size.apis, events: size.largest?.events ?? size.events }
}

function bundle(
  applicationId: string,
  index: number,
  size: { apis: number; events: number },
): LandscapeBundle {
  const name = `Bundle ${String(index).padStart(3, '0')}`
  const id = deriveId('bundle', applicationId, name)
  const host = `https://${applicationId.slice(0, 8)}.example.com`
  return {
    id,
    name,
    description: `APIs and events of one business area. ${FILLER}`,
    auth: credentials(id, host, index),
    apis: times(size.apis, (apiIndex): LandscapeApi => {
      const api = definition('API', id, apiIndex)
      return { ...api, targetUrl: `${host}/odata/v2/${api.id.slice(0, 8)}` }
    }),
    events: times(size.events, (eventIndex) => definition('Event', id, eventIndex)),
  }
}

function definition(kind: 'API' | 'Event', bundleId: string, index: number): LandscapeDefinition {
  const name = `${kind} ${String(index).padStart(3, '0')}`
  return {
    id: deriveId(kind, bundleId, name),
    name,
    description: `${name}: reads and writes business objects. ${FILLER}`,
    version: { value: '1.0.0' },
  }
}

function credentials(bundleId: string, host: string, index: number): LandscapeAuth {
  const short = bundleId.slice(0, 8)
  if (index % 3 === 0) {
    return {
      credential: { type: 'basic', username: `user-${short}`, password: `password-${short}` },
    }
  }
  if (index % 3 === 1) {
    return {
      credential: {
        type: 'oauth',
        clientId: `client-${short}`,
        clientSecret: `secret-${short}`,
        tokenUrl: `${host}/oauth/token`,
      },
    }
  }
  return { headers: { 'X-Api-Key': [`key-${short}`] } }
}

const FILLER =
  'This text stands for the sentence or two that people write into the description when they register a system, so that a page has the size of a real one.'

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}
