import { Argument } from 'commander'
import type { Command } from 'commander'
import { AgentError, reasonOf } from '../model/problem.ts'
import { runCommand } from '../runtime/command.ts'
import { isWritableByOthers, lstat, writeAtomic } from '../runtime/files.ts'
import { holdDirectory } from '../runtime/held-directory.ts'
import type { HeldDirectory } from '../runtime/held-directory.ts'
import { resolve } from '../runtime/path.ts'
import { setExitCode, workingDirectory } from '../runtime/process.ts'
import { refuseRequests, runRequests } from '../targets/hook-helper.ts'
import { hooksOfTarget } from '../targets/target-hooks.ts'
import { loadConfig } from './load-config.ts'
import type { LoadedConfig } from './load-config.ts'
import { withExample } from './options.ts'
import type { ConfigOption } from './options.ts'
import { stopSignal } from './stop.ts'
import { HOOK_OUTCOMES } from './systemd-hooks.ts'
import { SERVICE } from './systemd-text.ts'
import { EXIT, harmless, note } from './terminal.ts'

type HooksOptions = ConfigOption & { requests: string; outcomes: string }

export function registerHooks(program: Command): void {
  const command = program
    .command('hooks')
    .description('run what onChange asks for: systemd starts it as root when the agent asks')
    .addArgument(new Argument('<what>', 'what to do with them').choices(['run']))
    .option('-c, --config <file>', 'the configuration', `/etc/${SERVICE}/agent.yaml`)
    .requiredOption('--requests <dir>', 'where the agent asks: hooks in its state directory')
    .option('--outcomes <dir>', 'where the agent reads what came of it', HOOK_OUTCOMES)
  withExample(command, `agent hooks run --requests /var/lib/${SERVICE}/state/hooks`).action(
    (_what: string, options: HooksOptions) => runHooks(options),
  )
}

async function runHooks(options: HooksOptions): Promise<void> {
  const [path, outcomes] = [options.requests, options.outcomes].map(absolute)
  if (path === undefined || outcomes === undefined) return
  const requests = holdDirectory(path)
  if (requests === undefined) return
  try {
    const { config } = await trusted(options, outcomes, requests)
    const well = await runRequests(
      {
        requests,
        outcomes,
        hooksOf: (name) => {
          const target = config.targets.find((one) => one.name === name)
          return target === undefined ? undefined : hooksOfTarget(target)
        },
        run: runCommand,
        write: (file, text) => writeAtomic(file, text, { mode: 0o644 }),
        say,
      },
      stopSignal(),
    )
    if (!well) setExitCode(EXIT.failed)
  } finally {
    requests.close()
  }
}

/** Into the log of the service; what a command has printed may hold anything. */
function say(line: string): void {
  note(harmless(`agent: ${line}`))
}

function absolute(path: string): string {
  return resolve(workingDirectory(), path)
}

/** Only what root alone can have said. Else all requests are refused, as systemd starts this again for each that is left. */
async function trusted(
  { config }: HooksOptions,
  outcomes: string,
  requests: HeldDirectory,
): Promise<LoadedConfig> {
  try {
    for (const path of [absolute(config), outcomes]) {
      if ((await lstat(path)) === undefined) {
        throw new AgentError('config_missing', `Cannot run hooks: there is no ${path}`, {
          hint: 'agent install systemd makes what is missing',
        })
      }
      const open = await isWritableByOthers(path)
      if (open !== undefined) {
        throw new AgentError(
          'config_invalid',
          `Cannot run hooks of ${path}: other users can change ${open}`,
          { hint: `give it to root: chown root ${open}; chmod go-w ${open}` },
        )
      }
    }
    return await loadConfig(absolute(config))
  } catch (thrown) {
    refuseRequests({ requests, say }, reasonOf(thrown))
    throw thrown
  }
}
