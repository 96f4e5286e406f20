import type { DaprTargetConfig, HookConfig, TargetConfig } from '../config/config.ts'

/** The commands that a target runs after a change. Whoever runs them as root takes them from here too. */
export function hooksOfTarget(target: TargetConfig): readonly HookConfig[] {
  if (target.kind === 'files') return target.onChange
  return target.kind === 'dapr' ? target.sidecars.flatMap(reloadOf) : []
}

/** What makes a sidecar start anew that takes no change by itself. */
function reloadOf(sidecar: DaprTargetConfig['sidecars'][number]): HookConfig[] {
  const { pidFile, command, timeout } = sidecar
  const words =
    // The shell reads the file, as the process is another one after each start.
    pidFile === undefined ? command : ['/bin/sh', '-c', 'kill -HUP "$(cat "$0")"', pidFile]
  return words === undefined ? [] : [{ bindings: ['*'], command: words, timeout }]
}
