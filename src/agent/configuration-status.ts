import type { Problem } from '../model/problem.ts'
import type { ConfigurationStatus, DocumentStatus } from '../model/status.ts'
import type { ConfigDocument } from '../model/target.ts'
import type { Memory, TargetMemory } from './memory.ts'

/** What people may know of the configuration: names and problems, never content. */
export function configurationStatus(memory: Memory): ConfigurationStatus | undefined {
  const { configuration, reported } = memory
  if (configuration === undefined) return undefined
  const { fetchedAt, documents, digest } = configuration
  const targets = Object.values(memory.targets).filter((target) => target.slices.includes(SLICE))
  const { at, state } = reported
  return {
    fetchedAt,
    documents: documents.map((document) => documentStatus(document, digest, targets)),
    refused: refusedOf(memory),
    ...(at === undefined || state === undefined ? {} : { reported: { at, state } }),
  }
}

const SLICE = 'configuration'

/** An answer may hold two thousand, and nobody reads more. */
const SHOWN = 50

export function refusedOf({ configuration }: Memory): Problem[] {
  return (configuration?.refused ?? []).slice(0, SHOWN).map(({ problem }) => problem)
}

function documentStatus(
  { id, apiVersion, kind, namespace, name }: ConfigDocument,
  digest: string,
  targets: TargetMemory[],
): DocumentStatus {
  const problems = targets.flatMap((target) =>
    target.problems
      .filter(({ owner }) => owner.slice === SLICE && owner.document === id)
      .map((one) => one.problem),
  )
  const synced =
    targets.length > 0 &&
    targets.every(
      ({ configuration, failures, partly }) =>
        configuration === digest && (failures === 0 || partly === true),
    )
  const condition = problems.length > 0 ? 'problem' : synced ? 'synced' : 'pending'
  const place = namespace === undefined ? {} : { namespace }
  return { apiVersion, kind, ...place, name, condition, problems }
}
