import * as v from 'valibot'
import { namespaceName } from './cluster-names.ts'
import { clusterUrl, flag } from './fields.ts'
import { section } from './section.ts'
import { targetName } from './target-name.ts'

/** Application CRs and their Secrets, as the Go compass-runtime-agent writes them (reference/go-agent.md §6-§8). */
export function kymaTarget() {
  return section({
    kind: v.pipe(
      v.literal('kyma', 'kyma'),
      v.description('Write Applications of Kyma and their Secrets; one such target at most.'),
    ),
    name: v.optional(targetName(), 'kyma'),
    namespace: v.optional(
      namespaceName('Where the Secrets of the Applications go.'),
      'kyma-system',
    ),
    gatewayUrl: v.optional(
      clusterUrl('Where workloads reach the Central Application Gateway.'),
      'http://central-application-gateway.kyma-system.svc.cluster.local:8082',
    ),
    skipVerify: v.optional(
      flag(
        'What skipVerify of a new Application says: true keeps the gateway from verifying its servers.',
      ),
      false,
    ),
  })
}
