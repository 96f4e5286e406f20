import type { Access, Resource } from './api.ts'
import { isMembers } from './decode.ts'
import type { Wire } from './wire.ts'

const REVIEWS: Resource = {
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'selfsubjectaccessreviews',
  kind: 'SelfSubjectAccessReview',
  namespaced: false,
}

/** Questions that are on their way at the same time. */
const AT_ONCE = 8

/** Those of the rights that we do not have. Everybody may ask this. */
export async function deniedOf(
  wire: Wire,
  rights: readonly Access[],
  signal: AbortSignal,
): Promise<Access[]> {
  const allowed: boolean[] = []
  const open = rights.entries()
  // One iterator for all of them: each takes the next right that nobody has taken.
  const ask = async (): Promise<void> => {
    for (const [index, right] of open) allowed[index] = await isAllowed(wire, right, signal)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, ask))
  return rights.filter((_, index) => allowed[index] !== true)
}

async function isAllowed(wire: Wire, right: Access, signal: AbortSignal): Promise<boolean> {
  const { verb, resource, namespace, name } = right
  const { group, version, plural } = resource
  const answer = await wire.send({
    method: 'POST',
    resource: REVIEWS,
    place: {},
    what: `ask whether we may ${verb} ${plural}`,
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: REVIEWS.kind,
      spec: { resourceAttributes: { verb, group, version, resource: plural, namespace, name } },
    },
    signal,
  })
  const status = isMembers(answer) ? answer['status'] : undefined
  return isMembers(status) && status['allowed'] === true
}
