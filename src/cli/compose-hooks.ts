import type { Config } from '../config/config.ts'
import { MINUTE } from '../model/time.ts'
import { systemClock } from '../runtime/clock.ts'
import { env } from '../runtime/process.ts'
import type { FilesOptions } from '../targets/files.ts'
import { hooksOfTarget } from '../targets/target-hooks.ts'
import { HOOKS_VARIABLE } from './systemd-hooks.ts'
import { hookRequests } from './systemd-units.ts'

/** Beyond what the commands themselves may take, as systemd has to start somebody who runs them. */
const GRACE = MINUTE

/** The unit says whether root runs the commands of onChange. */
export function hooksByRoot(config: Config): Pick<FilesOptions, 'root'> {
  const outcomes = env(HOOKS_VARIABLE)
  if (outcomes === undefined) return {}
  const times = config.targets.flatMap(hooksOfTarget).map(({ timeout }) => timeout)
  // One after the other, as they are run; twice, as those of the change before may be running.
  const patience = GRACE + 2 * times.reduce((sum, time) => sum + time, 0)
  return { root: { requests: hookRequests(config), outcomes, patience, clock: systemClock } }
}
