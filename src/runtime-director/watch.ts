import { AgentError } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Keeper } from './keeper.ts'
import type { Live } from './live.ts'
import { publishTree } from './publish.ts'
import { glanceAt } from './tree.ts'
import type { Tree } from './tree.ts'
import { publishedTree } from './versions.ts'
import type { Rules } from './versions.ts'

const LOOK_EVERY: Duration = 5 * SECOND

type Watching = { keeper: Keeper; clock: Clock; log: Log; tree: Tree; rules: Rules; live: Live }

/**
 * Publishes the desired state when it has changed and was the same at two looks, so that nobody's half-copied tree goes out. What
 * is invalid, or would leave a runtime with nothing, is told once and left to a person. A rollback stays until the
 * desired state changes.
 */
export async function watchTree(watching: Watching, signal: AbortSignal): Promise<void> {
  const { clock, log, tree } = watching
  const isOver = (): boolean => signal.aborted
  let before: string | undefined
  let done: string | undefined
  let told: string | undefined
  const tell = (message: string, fields: Record<string, unknown>): void => {
    if (told !== message) log.warn(message, fields)
    told = message
  }
  while (!isOver()) {
    await clock.sleep(LOOK_EVERY, signal)
    if (isOver()) return
    try {
      const now = await glanceAt(tree)
      const settled = now === before && now !== done
      before = now
      if (!settled) continue
      const held = await publishChanged(watching)
      if (held !== undefined) tell(held, {})
      done = now
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown
      // What is wrong with the files stays wrong until they change; a store in trouble is asked again.
      if (thrown.code === 'desired_invalid') done = before
      tell(thrown.message, { code: thrown.code, hint: thrown.hint })
    }
  }
}

/** Why it is left to a person; undefined when it is not. */
async function publishChanged(watching: Watching): Promise<string | undefined> {
  const { keeper, log, tree, rules, live } = watching
  const ask = { who: 'watch', rules }
  const { digest, difference } = await publishTree(keeper, tree, { ...ask, dryRun: true })
  if (digest === (await publishedTree(keeper))) return undefined
  const { emptied } = difference
  if (emptied.length > 0)
    return `Cannot publish by itself: ${emptied.length} runtimes would have nothing left, such as ${emptied[0] ?? ''}; if that is meant: agent runtime-director publish`
  const { number, unchanged } = await publishTree(keeper, tree, ask)
  await live.refresh()
  if (!unchanged) log.info('published', { version: number })
  return undefined
}
