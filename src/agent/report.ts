import type { Report } from '../clients/runtime-director.ts'
import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Target } from '../targets/target.ts'
import type { Deps } from './deps.ts'
import type { Memory, TargetMemory } from './memory.ts'

export function takesConfiguration({ slices }: Pick<Target, 'slices'>): boolean {
  return slices.includes('configuration')
}

/** Says so when no target takes what is fetched. */
export function unusedConfiguration({
  configuration,
  targets,
}: Pick<Deps, 'configuration' | 'targets'>): Problem[] {
  if (configuration === undefined || targets.some(takesConfiguration)) return []
  const message = 'Cannot apply the configuration of the Runtime Director: no target takes it'
  return [problem('configuration_unused', message)]
}

/** A server takes 64 KiB: as many problems as that holds for sure. */
const MOST_PROBLEMS = 60
const LONGEST_TEXT = 400

/**
 * What to tell the Runtime Director of the present configuration: pure. Undefined while nothing can be said: there is
 * none, the server gives it no name, or a target that takes it has not tried yet.
 *
 * `failed`: a target as a whole could not be written. `partly`: single documents were refused, failed, or wait.
 */
export function reportOf(memory: Memory): Report | undefined {
  const { configuration, configurationProblems } = memory
  if (configuration?.etag === undefined) return undefined
  const takers = Object.values(memory.targets).filter(takesConfiguration)
  if (takers.some((target) => target.configuration !== configuration.digest)) return undefined
  const failures = takers.flatMap(wholeFailure)
  const single = [
    ...configuration.refused.map(({ problem }) => problem),
    ...takers.flatMap(ofDocuments),
  ]
  const failed = takers.length === 0 ? configurationProblems : failures
  return {
    etag: configuration.etag,
    state: failed.length > 0 ? 'failed' : single.length > 0 ? 'partly' : 'applied',
    problems: [...failed, ...single].slice(0, MOST_PROBLEMS).map(told),
  }
}

/** One that came through but for single sources has problems of these only. */
function wholeFailure({ failure, partly }: TargetMemory): Problem[] {
  return failure === undefined || partly === true ? [] : [failure]
}

function ofDocuments({ problems, held }: TargetMemory): Pick<Problem, 'code' | 'message'>[] {
  return [
    ...problems.filter(({ owner }) => owner.slice === 'configuration').map((p) => p.problem),
    ...held
      .filter(({ slice }) => slice === 'configuration')
      .map(({ kind, reason: message }) => ({
        code: kind === 'last' ? ('deletions_waiting' as const) : ('deletions_held' as const),
        message,
      })),
  ]
}

function told({
  code,
  message,
  subject,
}: Pick<Problem, 'code' | 'message' | 'subject'>): Report['problems'][number] {
  const about = subject === undefined ? {} : { subject: subject.slice(0, LONGEST_TEXT) }
  return { code, message: message.slice(0, LONGEST_TEXT), ...about }
}
