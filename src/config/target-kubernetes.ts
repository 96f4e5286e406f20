import * as v from 'valibot'
import { namespaceName } from './cluster-names.ts'
import { flag } from './fields.ts'
import { section } from './section.ts'
import { bindingTypes } from './target-files.ts'
import { targetName } from './target-name.ts'

const WANT = 'exactly one of namespace, namespaces'

/** Bindings as Secrets of servicebinding.io in any cluster (reference/kubernetes.md §4). */
export function kubernetesTarget() {
  const written = section({
    kind: v.pipe(
      v.literal('kubernetes', 'kubernetes'),
      v.description('Write bindings as Secrets that servicebinding.io understands.'),
    ),
    name: v.optional(targetName(), 'kubernetes'),
    namespace: v.exactOptional(namespaceName('The namespace of the Secrets.', ['integrations'])),
    namespaces: v.exactOptional(
      v.pipe(
        v.array(namespaceName('One of them.'), 'a list of namespaces'),
        v.description('Instead of namespace: each of these gets all Secrets.'),
        v.examples([['team-a', 'team-b']]),
        v.nonEmpty('at least one namespace'),
      ),
    ),
    types: bindingTypes(),
    index: v.optional(
      flag('Write a ConfigMap with the list of bindings into each namespace, too.'),
      false,
    ),
    restart: v.optional(
      flag(
        'Restart, after its bindings changed, each workload labelled runtime-agent.kyma-project.io/restart: rolling.',
      ),
      false,
    ),
  })
  return v.pipe(
    written,
    v.check((given) => (given.namespace === undefined) !== (given.namespaces === undefined), WANT),
    v.transform(({ namespace, namespaces, ...rest }) => ({
      ...rest,
      namespaces: namespaces ?? (namespace === undefined ? [] : [namespace]),
    })),
  )
}
