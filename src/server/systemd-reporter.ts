import type { Reporter } from '../agent/ports.ts'
import type { Status } from '../model/status.ts'
import { DAY, SECOND, formatDuration } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import type { Notify } from '../runtime/sd-notify.ts'

/** What the service manager is told beside the status. */
export type SystemdReporter = Reporter & {
  /** agent.yaml is read again; the next report says that it is done. */
  reloading(): Promise<void>
  /** The end begins. Nothing is said after it. */
  stopping(): Promise<void>
}

/** Often enough for a watchdog of a minute, whatever the loop reports in between. */
const SIGN_OF_LIFE: Duration = 15 * SECOND

/**
 * Tells systemd by the reports of the loop, and only by them: READY=1 with the first one, as the loop then runs, in charge or
 * standing by, with an identity or waiting for a token; WATCHDOG=1 with later ones, so that nothing is said for a loop that
 * is stuck, and systemd starts it again; STATUS when it has changed.
 */
export function systemdReporter(notify: Notify, now: () => Instant): SystemdReporter {
  let ready = false
  let ended = false
  let said = ''
  let aliveAt: Instant = -Infinity
  const often = Math.min(SIGN_OF_LIFE, (notify.watchdog ?? Infinity) / 4)
  return {
    async report(status, final) {
      // The last report of a configuration that makes room for another one is not the end.
      if (final || ended) return
      const line = statusLine(status)
      const at = now()
      // A clock that was set back must not silence it.
      const alive = notify.watchdog !== undefined && Math.abs(at - aliveAt) >= often
      const lines = [
        ...(ready ? [] : ['READY=1']),
        ...(line === said ? [] : [`STATUS=${line}`]),
        ...(alive ? ['WATCHDOG=1'] : []),
      ]
      if (lines.length === 0 || !(await notify.send(lines))) return
      ready = true
      said = line
      if (alive) aliveAt = at
    },
    async reloading() {
      ready = false
      const since = notify.monotonic()
      await notify.send(['RELOADING=1', ...(since === undefined ? [] : [since])])
    },
    async stopping() {
      ended = true
      await notify.send(['STOPPING=1', 'STATUS=Stopping'])
    },
  }
}

/** More would hardly be read, and one message holds 4 KiB. */
const LONGEST = 300

/** One line for `systemctl status`: what it does, how much there is, what is missing, or how long the certificate lasts. */
function statusLine(status: Status): string {
  const state = `${status.state.slice(0, 1).toUpperCase()}${status.state.slice(1)}`
  const [worst, ...others] = status.problems
  const parts = [
    status.standby || !isConnected(status) ? `${state}: ${status.why}` : connected(state, status),
    ...(worst === undefined ? [] : [`problem: ${worst.message}`]),
    ...(others.length === 0 ? [] : [`and ${others.length} more`]),
  ]
  // Names come from outside: a line break would begin another variable.
  return parts
    .join('; ')
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
    .slice(0, LONGEST)
}

function isConnected({ identity }: Status): boolean {
  return identity?.condition === 'valid'
}

function connected(state: string, { paused, sources, identity, at }: Status): string {
  const count = sources.find(({ name }) => name === 'director')?.applications
  const left = (identity?.notAfter ?? at) - at
  return [
    paused ? `${state}, paused` : state,
    ...(count === undefined ? [] : [count === 1 ? '1 application' : `${count} applications`]),
    // Whole days: a line that changes with every look would be sent with every look.
    `certificate valid for ${left < 2 * DAY ? formatDuration(left) : `${Math.floor(left / DAY)} days`}`,
  ].join(', ')
}
