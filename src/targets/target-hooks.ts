import type { DaprTargetConfig, HookConfig, TargetConfig } from '../config/config.ts'

/** The commands that a target runs after a change. Whoever runs them as root takes them from here too. */
export function hooksOfTarget(target: TargetConfig): readonly HookConfig[] {
  if (target.kind === 'files') return target.onChange
  return target.kind === 'dapr' ? target.sidecars.flatMap(reloadOf) : []
}

/**
 * Root may run it, and the file may be another user's, who must reach no process with it but his own: no group (`-1` would be
 * all processes of the machine), and none of another user.
 */
const SIGHUP = `[ -f "$0" ] && pid=$(head -c 20 "$0" | tr -d '[:space:]') && user=$(stat -c %u "$0") || exit 1
case $pid in '' | 0* | *[!0-9]*) echo 'there is no process number in it' >&2; exit 1 ;; esac
case $user in 0 | "$(stat -c %u "/proc/$pid")") exec kill -HUP "$pid" ;; esac
echo 'it is of another user than the process' >&2; exit 1`

/** What makes a sidecar start anew that takes no change by itself. */
function reloadOf(sidecar: DaprTargetConfig['sidecars'][number]): HookConfig[] {
  const { pidFile, command, timeout } = sidecar
  // The shell reads the file, as the process is another one after each start.
  const words = pidFile === undefined ? command : ['/bin/sh', '-c', SIGHUP, pidFile]
  return words === undefined ? [] : [{ bindings: ['*'], command: words, timeout }]
}
