import type { Command } from 'commander'
import { runLoop } from '../agent/loop.ts'
import type { Reporter } from '../agent/ports.ts'
import type { Config } from '../config/config.ts'
import { formatProblem } from '../config/problem.ts'
import { systemClock } from '../runtime/clock.ts'
import { setUmask } from '../runtime/process.ts'
import { statusFile } from '../server/status-file.ts'
import { statusServer } from '../server/status-server.ts'
import type { StatusServer } from '../server/status-server.ts'
import { compose } from './compose.ts'
import { controlSocket, loadConfig } from './load-config.ts'
import type { LoadedConfig } from './load-config.ts'
import { withConfig, withExample } from './options.ts'
import { stopSignal } from './stop.ts'
import type { ConfigOption } from './options.ts'

/** Group and owner only, as published files are for a group; everything else sets its own mode. */
export const UMASK = 0o027

export function registerRun(program: Command): void {
  const command = program
    .command('run', { isDefault: true })
    .description('run the agent until it is told to stop (the default)')
  withExample(withConfig(command), 'agent --config agent.yaml').action(
    async ({ config }: ConfigOption) => {
      const signal = stopSignal()
      await run(await loadConfig(config), signal)
    },
  )
}

/** Runs the agent until the signal, with everything that belongs to it. */
export async function run(
  { config, warnings }: LoadedConfig,
  signal: AbortSignal,
  others: Reporter[] = [],
): Promise<void> {
  setUmask(UMASK)
  let server: StatusServer | undefined
  const { deps, log } = await compose(config, (log, queue) => {
    server = serverOf(config, { log, ask: (trigger) => queue.ask(trigger) })
    return [server, statusFile(config.identity.directory, log), ...others]
  })
  for (const warning of warnings) log.warn(formatProblem(warning))
  try {
    await runLoop(deps, signal)
  } finally {
    await server?.close()
  }
}

function serverOf(
  config: Config,
  { log, ask }: Pick<Parameters<typeof statusServer>[0], 'log' | 'ask'>,
): StatusServer {
  const { listen } = config.status
  return statusServer({
    ...(listen === undefined ? {} : { tcp: listen }),
    socket: controlSocket(config.identity.directory),
    log,
    now: () => systemClock.now(),
    ask,
  })
}
