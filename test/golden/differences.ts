/**
 * Where the target kyma deliberately writes something else than the Go agent did, or says what the Go agent kept to
 * itself. The only place of such differences: what is not here is compared to the byte.
 *
 * One difference holds for all cases and is in the comparison itself: services, entries and client ids are written in
 * the order of their ids, where the Go agent has that of the Director's answer, which changes from query to query.
 * Nobody reads an order in them, and a CR of the Go agent in another order is left as it is.
 */
import type { KubeObject } from '../../src/clients/kubernetes/api.ts'
import type { Code } from '../../src/model/problem.ts'

export type Difference = {
  why: string
  /** Problems of single applications and bundles that the status shows, sorted. */
  problems: Code[]
  /** What is expected in place of the Go agent's objects. */
  instead?: (expected: Expected) => Expected
}

export type Expected = { applications: KubeObject[]; secrets: KubeObject[] }

export const DIFFERENCES: Record<string, Difference> = {
  '03-certificate-oauth': {
    why: 'the objects are the same; that credentials without a private key cannot be used is said (D26)',
    problems: ['credentials_unsupported'],
  },
  '16-invalid-kubernetes-name': {
    why: 'the objects are the same; that two names are none for Kubernetes is said (n, D21), and costs no request',
    problems: ['application_invalid', 'application_invalid'],
  },
  '17-duplicate-application-name': {
    why: 'two applications of one name concern nobody else: the first has it, the other waits (d)',
    problems: ['name_taken'],
    instead: () => ({
      applications: [
        plainApplication('single', {
          application: '50776178-7401-43e1-98fb-cea5a2917261',
          client: '797d5618-e80c-4820-954d-aee6cb173c2d',
          bundle: '7510ec00-fb95-401e-9fc6-3e21d331244c',
          service: 'b-7631d',
        }),
        plainApplication('twin', {
          application: '03553b1e-0d29-4b57-9a49-2bac23f0ff0a',
          client: '009513f9-7f94-448b-9c46-392d42706b3c',
          bundle: '93f1bbdd-a71f-40b4-9dcb-2a28ca99fb65',
          service: 'b-2f530',
        }),
      ],
      secrets: [],
    }),
  },
  '23-bundle-id-not-a-uuid': {
    why: 'a CR names no Secret that cannot be there, and the bundle is named (D28)',
    problems: ['application_invalid', 'application_invalid'],
    instead: (expected) => ({
      ...expected,
      applications: withoutCredentials(expected.applications, [
        'UPPER-Case',
        'long-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
      ]),
    }),
  },
}

type Ids = { application: string; client: string; bundle: string; service: string }

/** One bundle `b` of one API `orders` without credentials. */
function plainApplication(name: string, ids: Ids): KubeObject {
  const gateway = 'http://central-application-gateway.kyma-system.svc.cluster.local:8082'
  return {
    apiVersion: 'applicationconnector.kyma-project.io/v1alpha1',
    kind: 'Application',
    metadata: {
      labels: { 'applicationconnector.kyma-project.io/managed-by': 'compass-runtime-agent' },
      name,
    },
    spec: {
      compassMetadata: {
        applicationId: ids.application,
        authentication: { clientIds: [ids.client] },
      },
      description: `Application ${name}`,
      displayName: '',
      encodeUrl: false,
      labels: { 'connected-app': name },
      longDescription: '',
      providerDisplayName: '',
      services: [
        {
          description: 'Bundle b',
          displayName: 'b',
          entries: [
            {
              centralGatewayUrl: `${gateway}/${name}/b/orders`,
              credentials: { secretName: '', type: '' },
              gatewayUrl: '',
              id: '1ba60ace-0cb4-45dc-9b4f-009f131958ba',
              name: 'orders',
              targetUrl: 'https://backend.example.com/orders',
              type: 'API',
            },
          ],
          id: ids.bundle,
          identifier: '',
          name: ids.service,
          providerDisplayName: '',
        },
      ],
      skipVerify: false,
    },
    status: { installationStatus: { description: '', status: '' } },
  }
}

type Service = { id: string; entries: { credentials: unknown }[] }

function withoutCredentials(applications: KubeObject[], bundles: string[]): KubeObject[] {
  return applications.map((application) => {
    const spec = application['spec'] as { services: Service[] }
    const services = spec.services.map((service) => {
      if (!bundles.includes(service.id)) return service
      const credentials = { secretName: '', type: '' }
      return { ...service, entries: service.entries.map((entry) => ({ ...entry, credentials })) }
    })
    return { ...application, spec: { ...spec, services } }
  })
}
