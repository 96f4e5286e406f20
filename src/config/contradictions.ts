import { clusterContradictions } from './contradictions-cluster.ts'
import { absolute, isWithin } from './path.ts'
import type { NodePath } from './problem.ts'
import { isMapping } from './section.ts'
import { DAPR_SECRETS } from './target-dapr.ts'

/** Two settings that are fine alone and cannot be together; told at the place of the second. */
export type Contradiction = { path: NodePath; message: string }

type Directory = { path: NodePath; directory: string; owner: string }

const STATE_DIRECTORY = '/var/lib/runtime-agent/state'

/** Keys of targets that name directories which nothing else of the agent may lie in. */
const OWNED = ['directory', 'secrets', 'resources']

/**
 * What single fields cannot show. Reads plain values, not the checked configuration, so that contradictions are named
 * together with all other problems. `base`: absolute directory that relative paths are taken from.
 */
export function contradictions(value: unknown, base: string): Contradiction[] {
  const root = isMapping(value) ? value : {}
  const targets = Array.isArray(root['targets']) ? root['targets'].map(asMapping) : []
  return [
    ...sameNames(targets),
    ...overlaps(directories(root, targets, base)),
    ...clusterContradictions(root, asMapping(root['identity']), targets),
  ]
}

function asMapping(value: unknown): Record<string, unknown> {
  return isMapping(value) ? value : {}
}

function sameNames(targets: Record<string, unknown>[]): Contradiction[] {
  const found: Contradiction[] = []
  const first = new Map<string, number>()
  targets.forEach((target, index) => {
    const given = typeof target['name'] === 'string'
    const name = given ? target['name'] : target['kind']
    if (typeof name !== 'string') return
    const other = first.get(name)
    if (other === undefined) first.set(name, index)
    else {
      const why = given ? '' : ' (a target without a name has that of its kind)'
      found.push({
        path: ['targets', index, given ? 'name' : 'kind'],
        message: `targets[${other}] has the name ${JSON.stringify(name)} already, want another name${why}`,
      })
    }
  })
  return found
}

/** All directories of the agent's own, the state directory first, also when it is the default one. */
function directories(
  root: Record<string, unknown>,
  targets: Record<string, unknown>[],
  base: string,
): Directory[] {
  const state = asMapping(root['identity'])['directory'] ?? STATE_DIRECTORY
  const all: Directory[] = []
  const add = (directory: unknown, path: NodePath, owner: string) => {
    if (typeof directory !== 'string' || directory === '') return
    all.push({ directory: absolute(directory, base), path, owner })
  }
  add(state, ['identity', 'directory'], 'the state directory')
  targets.forEach((target, index) => {
    for (const key of OWNED)
      add(target[key] ?? missing(target, key), ['targets', index, key], `targets[${index}].${key}`)
  })
  return all
}

/** What a key that is not written stands for. */
function missing({ kind }: Record<string, unknown>, key: string): unknown {
  return kind === 'dapr' && key === 'secrets' ? DAPR_SECRETS : undefined
}

function overlaps(all: Directory[]): Contradiction[] {
  return all.flatMap((later, index) =>
    all.slice(0, index).flatMap((earlier) => {
      const how = relation(later.directory, earlier.directory)
      const message = `${later.directory} ${how} ${earlier.owner} (${earlier.directory}), want a directory apart from it`
      return how === undefined ? [] : [{ path: later.path, message }]
    }),
  )
}

function relation(later: string, earlier: string): string | undefined {
  if (later === earlier) return 'is also'
  if (isWithin(later, earlier)) return 'lies below'
  return isWithin(earlier, later) ? 'lies above' : undefined
}
