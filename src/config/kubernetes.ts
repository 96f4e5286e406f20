import * as v from 'valibot'
import { namespaceName, objectName } from './cluster-names.ts'
import { path, text } from './fields.ts'
import { section } from './section.ts'

/** How the Kubernetes API is reached, for everything that uses it. */
export function kubernetesSection(base: string) {
  return v.pipe(
    section({
      kubeconfig: v.exactOptional(
        path(
          'A kubeconfig. Missing: the service account of the pod, else $KUBECONFIG.',
          base,
          'a file path',
          ['/etc/runtime-agent/kubeconfig'],
        ),
      ),
      context: v.exactOptional(
        text('The context of that kubeconfig. Missing: its current one.', 'the name of a context', [
          'kyma',
        ]),
      ),
      namespace: v.exactOptional(
        namespaceName(
          'Where Lease, state and snapshot of the agent are kept. Missing: the namespace of the pod, or of the context of the kubeconfig, else default.',
          ['kyma-system'],
        ),
      ),
    }),
    v.description(
      'How the Kubernetes API is reached; used only when something is kept or written there.',
    ),
  )
}

/** The CR that tells Kyma about the connection (reference/go-agent.md §4). */
export const compassConnectionSection = v.pipe(
  section({
    name: v.optional(objectName('Name of the CompassConnection.'), 'compass-connection'),
  }),
  v.description(
    'Keep a CompassConnection of Kyma up to date, and obey what people set in it. Missing: none.',
  ),
)
