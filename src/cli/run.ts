import type { Command } from 'commander'
import { runLoop } from '../agent/loop.ts'
import type { Reporter } from '../agent/ports.ts'
import type { Config } from '../config/config.ts'
import { AgentError } from '../model/problem.ts'
import { systemClock } from '../runtime/clock.ts'
import { ensureDirectory, lstat, removeFile, writeAtomic } from '../runtime/files.ts'
import { join } from '../runtime/path.ts'
import { setUmask } from '../runtime/process.ts'
import { statusFile } from '../server/status-file.ts'
import { statusServer } from '../server/status-server.ts'
import type { StatusServer } from '../server/status-server.ts'
import { compose } from './compose.ts'
import type { Surroundings } from './compose.ts'
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
  loaded: LoadedConfig,
  signal: AbortSignal,
  others: Reporter[] = [],
): Promise<void> {
  setUmask(UMASK)
  const { config, warnings } = loaded
  const directory = await usableDirectory(config)
  let server: StatusServer | undefined
  const { deps, log, close } = await compose(loaded, (surroundings) => {
    server = serverOf(config, directory, surroundings)
    return [
      server,
      ...(directory === undefined ? [] : [statusFile(directory, surroundings.log)]),
      ...others,
    ]
  })
  for (const warning of warnings) log.warn(warning)
  if (directory === undefined) {
    log.info('no control socket and no status file: the directory cannot be written', {
      directory: config.identity.directory,
    })
  }
  try {
    await runLoop(deps, signal)
  } finally {
    await server?.close()
    await close()
  }
}

/**
 * Where socket and status file go. With the state in the cluster the agent works without them: pods often have a
 * read-only root.
 */
async function usableDirectory({ identity }: Config): Promise<string | undefined> {
  const { store, directory } = identity
  if (store === 'disk' || (await isUsable(directory))) return directory
  return undefined
}

async function isUsable(directory: string): Promise<boolean> {
  try {
    if ((await lstat(directory)) === undefined) await ensureDirectory(directory, { mode: 0o700 })
    const probe = join(directory, '.probe')
    await writeAtomic(probe, '')
    await removeFile(probe)
    return true
  } catch (thrown) {
    if (!(thrown instanceof AgentError)) throw thrown
    return false
  }
}

function serverOf(
  config: Config,
  directory: string | undefined,
  { log, queue, problems }: Surroundings,
): StatusServer {
  const { listen } = config.status
  return statusServer({
    ...(listen === undefined ? {} : { tcp: listen }),
    ...(directory === undefined ? {} : { socket: controlSocket(directory) }),
    log,
    now: () => systemClock.now(),
    ask: (trigger) => queue.ask(trigger),
    problems,
  })
}
