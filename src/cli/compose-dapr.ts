import { openSidecar } from '../clients/dapr.ts'
import type { Config, DaprTargetConfig } from '../config/config.ts'
import { resolveValue } from '../config/value.ts'
import type { ValueReaders } from '../config/value.ts'
import type { Secret } from '../model/secret.ts'
import { systemClock } from '../runtime/clock.ts'
import { runCommand } from '../runtime/command.ts'
import { openHttp } from '../runtime/http.ts'
import type { HttpSession } from '../runtime/http.ts'
import { join } from '../runtime/path.ts'
import { openDapr } from '../targets/dapr.ts'
import type { DaprReader } from '../targets/dapr-sidecars.ts'
import { noHooks, openHooks } from '../targets/hooks.ts'
import type { Hooks } from '../targets/hooks.ts'
import { openRootHooks } from '../targets/hooks-by-root.ts'
import type { Target } from '../targets/target.ts'
import { hooksOfTarget } from '../targets/target-hooks.ts'
import { hooksByRoot } from './compose-hooks.ts'
import { version } from '../model/version.ts'

export type DaprParts = { config: Config; digestKey: Secret; readers: ValueReaders }

export function composeDapr(target: DaprTargetConfig, parts: DaprParts): Target {
  const { config, digestKey, readers } = parts
  const { directory: stateDirectory } = config.identity
  const http = openHttp({ tls: {} })
  return openDapr({
    config: target,
    agent: config.name,
    stateDirectory,
    digestKey,
    readers: target.sidecars.map((sidecar) => readerOf(sidecar, http, readers)),
    hooks: hooksFor(target, config),
    clock: systemClock,
  })
}

function readerOf(
  { url, reload, apiToken }: DaprTargetConfig['sidecars'][number],
  { fetch }: HttpSession,
  readers: ValueReaders,
): DaprReader {
  const sidecar = openSidecar({
    url,
    fetch,
    now: () => systemClock.now(),
    version,
    ...(apiToken === undefined ? {} : { apiToken: () => resolveValue(apiToken, readers) }),
  })
  return { sidecar, reload }
}

function hooksFor(target: DaprTargetConfig, config: Config): Hooks {
  const hooks = hooksOfTarget(target)
  if (hooks.length === 0) return noHooks
  const journal = join(config.identity.directory, `hooks-${target.name}.json`)
  const { root } = hooksByRoot(config)
  return root === undefined
    ? openHooks({ journal, hooks, run: runCommand })
    : openRootHooks({ ...root, journal, target: target.name, hooks })
}
