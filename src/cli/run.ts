import type { Command } from 'commander'
import { runLoop } from '../agent/loop.ts'
import type { Reporter } from '../agent/ports.ts'
import type { Config } from '../config/config.ts'
import { AgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import { systemClock } from '../runtime/clock.ts'
import { ensureDirectory, lstat, removeFile, writeAtomic } from '../runtime/files.ts'
import { openLog } from '../runtime/log.ts'
import { join } from '../runtime/path.ts'
import { setUmask } from '../runtime/process.ts'
import { openNotify } from '../runtime/sd-notify.ts'
import { statusFile } from '../server/status-file.ts'
import { statusServer } from '../server/status-server.ts'
import type { StatusServer } from '../server/status-server.ts'
import { systemdReporter } from '../server/systemd-reporter.ts'
import type { SystemdReporter } from '../server/systemd-reporter.ts'
import { compose } from './compose.ts'
import type { Surroundings } from './compose.ts'
import { keptLock } from './kept-lock.ts'
import type { KeptLock } from './kept-lock.ts'
import { controlSocket, loadConfig } from './load-config.ts'
import type { LoadedConfig } from './load-config.ts'
import { withConfig, withExample } from './options.ts'
import type { ConfigOption } from './options.ts'
import { reloadSignal, runTerms } from './reload.ts'
import type { Reload, Term } from './reload.ts'
import { stopSignal } from './stop.ts'

/** Group and owner only, as published files are for a group; everything else sets its own mode. */
export const UMASK = 0o027

export function registerRun(program: Command): void {
  const command = program
    .command('run', { isDefault: true })
    .description('run the agent until it is told to stop (the default)')
  withExample(withConfig(command), 'agent --config agent.yaml').action(
    async ({ config }: ConfigOption) => {
      const signal = stopSignal()
      const reload = { asked: reloadSignal(), read: () => loadConfig(config) }
      await run(await loadConfig(config), signal, { reload })
    },
  )
}

export type RunOptions = {
  reporters?: Reporter[]
  /** Missing: the configuration stays as it is. */
  reload?: Reload
}

/** Runs the agent until the signal, with everything that belongs to it. */
export async function run(
  loaded: LoadedConfig,
  signal: AbortSignal,
  { reporters = [], reload }: RunOptions = {},
): Promise<void> {
  setUmask(UMASK)
  const lock = keptLock()
  const systemd = await openSystemd(loaded.config.log, signal)
  const open = (next: LoadedConfig): Promise<Term> => openTerm(next, { lock, systemd, reporters })
  try {
    const first = await open(loaded)
    await runTerms(first, signal, reload && { ...reload, open, begins: () => systemd?.reloading() })
  } finally {
    await lock.release()
  }
}

/** Who has started us may want to know how it goes. */
async function openSystemd(
  options: Config['log'],
  signal: AbortSignal,
): Promise<SystemdReporter | undefined> {
  const notify = await openNotify((message) => openLog(options).debug(message))
  if (notify === undefined) return undefined
  const reporter = systemdReporter(notify, () => systemClock.now())
  signal.addEventListener('abort', () => void reporter.stopping(), { once: true })
  return reporter
}

type Lasting = { lock: KeptLock; systemd: SystemdReporter | undefined; reporters: Reporter[] }

/** What runs with one configuration; nothing is written before it runs. */
async function openTerm(
  loaded: LoadedConfig,
  { lock, systemd, reporters }: Lasting,
): Promise<Term> {
  const { config } = loaded
  const directory = await usableDirectory(config)
  let server: StatusServer | undefined
  let refused: Problem | undefined
  const { deps, log, close } = await compose(loaded, (given) => {
    const problems = (): Problem[] => [...(refused ? [refused] : []), ...given.problems()]
    server = serverOf(config, directory, { ...given, problems })
    return [
      systemd === undefined ? server : inOrder(server, systemd, problems),
      ...(directory === undefined ? [] : [statusFile(directory, given.log)]),
      ...reporters,
    ]
  })
  return {
    loaded,
    log,
    async run(end) {
      for (const warning of loaded.warnings) log.warn(warning)
      if (directory === undefined) {
        log.info('no control socket and no status file: the directory cannot be written', {
          directory: config.identity.directory,
        })
      }
      await runLoop({ ...deps, ownership: lock.over(deps.ownership, config) }, end)
    },
    refuse(problem) {
      refused = problem
    },
    async close() {
      await server?.close()
      await close()
    },
  }
}

/** Ready is said when the status can be asked for, and with the problems that are shown there. */
function inOrder(server: Reporter, systemd: Reporter, problems: () => Problem[]): Reporter {
  return {
    async report(status, final) {
      await server.report(status, final)
      await systemd.report({ ...status, problems: [...problems(), ...status.problems] }, final)
    },
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
