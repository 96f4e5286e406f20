import { AgentError } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Keeper } from './keeper.ts'
import type { Live } from './live.ts'
import { publishTree } from './publish.ts'
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
  const { clock, log } = watching
  const isOver = (): boolean => signal.aborted
  let before: string | undefined
  let told: string | undefined
  const tell = (message: string, fields: Record<string, unknown>): void => {
    if (told !== message) log.warn(message, fields)
    told = message
  }
  while (!isOver()) {
    await clock.sleep(LOOK_EVERY, signal)
    if (isOver()) return
    try {
      const found = await look(watching, before)
      before = found.digest
      if (found.held !== undefined) tell(found.held, {})
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown
      before = undefined
      tell(thrown.message, { code: thrown.code, hint: thrown.hint })
    }
  }
}

async function look(
  { keeper, log, tree, rules, live }: Watching,
  before: string | undefined,
): Promise<{ digest: string; held?: string }> {
  const ask = { who: 'watch', rules }
  const { digest, difference } = await publishTree(keeper, tree, { ...ask, dryRun: true })
  if (digest === (await publishedTree(keeper)) || digest !== before) return { digest }
  const { emptied } = difference
  if (emptied.length > 0) {
    const held = `Cannot publish by itself: ${emptied.length} runtimes would have nothing left, such as ${emptied[0] ?? ''}; if that is meant: agent runtime-director publish`
    return { digest, held }
  }
  const { number, unchanged } = await publishTree(keeper, tree, ask)
  await live.refresh()
  if (!unchanged) log.info('published', { version: number })
  return { digest }
}
