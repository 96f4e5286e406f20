import { AgentError } from '../model/problem.ts'
import type { Duration } from '../model/time.ts'
import { systemClock } from '../runtime/clock.ts'
import { lstat, readText } from '../runtime/files.ts'
import type { Log } from '../runtime/log.ts'
import { parseLandscape, readLandscape } from './landscape-file.ts'
import type { Landscape } from './landscape.ts'

/** How often a landscape file is looked at. */
const POLL: Duration = 250

const LIMIT = 64 * 1024 * 1024

/**
 * Reads a landscape from a file.
 *
 * @throws AgentError `config_missing` when there is none, `config_invalid` with all its problems
 */
export async function readLandscapeFile(
  path: string,
): Promise<{ text: string; landscape: Landscape }> {
  const text = await readText(path, LIMIT)
  if (text !== undefined) return { text, landscape: parseLandscape(text, path) }
  throw new AgentError('config_missing', `Cannot read the landscape ${path}: there is no such file`)
}

/**
 * Follows the changes of a landscape file since it was `text`, until `signal` is aborted. A file that is gone or has problems changes nothing;
 * the problems are logged once.
 */
export async function followLandscapeFile(
  path: string,
  options: {
    text: string
    log: Log | undefined
    signal: AbortSignal
    changed: (landscape: Landscape) => void
  },
): Promise<void> {
  const { log, signal, changed } = options
  let { text } = options
  let seen: string | undefined
  while (!signal.aborted) {
    await systemClock.sleep(POLL, signal)
    const stamp = await stampOf(path)
    if (stamp === undefined || stamp === seen) continue
    seen = stamp
    const next = await readText(path, LIMIT).catch(() => undefined)
    if (next === undefined || next === text) continue
    text = next
    const { landscape, problems } = readLandscape(next, path)
    for (const problem of problems) log?.warn('The landscape is not taken', { problem })
    if (landscape === undefined) continue
    log?.info('The landscape has changed', { applications: landscape.applications.length })
    changed(landscape)
  }
}

async function stampOf(path: string): Promise<string | undefined> {
  const stat = await lstat(path).catch(() => undefined)
  return stat === undefined ? undefined : `${stat.mtimeNs} ${stat.size} ${stat.inode}`
}
