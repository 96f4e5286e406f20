import type { Command } from 'commander'
import { withExample, withJson } from './options.ts'
import type { JsonOption } from './options.ts'

/*
 * The server's part of the program is a bundle of its own (scripts/bundle.ts), which an agent never loads. Only words and
 * numbers go over: its classes are others than those here.
 */

declare const AGENT_SERVERS: string | undefined

/** Beside this file, or beside the bundle, which says so; computed, so that no bundler takes it in. */
const SERVERS = typeof AGENT_SERVERS === 'string' ? AGENT_SERVERS : './director-commands.ts'

type Commands = typeof import('./director-commands.ts')

/** The module of the commands: its type is ours to say, as its path is computed. */
async function servers(): Promise<Commands> {
  return (await import(new URL(SERVERS, import.meta.url).href)) as Commands
}

const DEFAULT_CONFIG = 'director.yaml'

type DirectorOption = { config: string }

export function registerRuntimeDirector(program: Command): void {
  const group = program
    .command('runtime-director')
    .description('the server that gives runtimes their configuration')
    .helpCommand(false)
  withExample(
    group,
    'agent runtime-director --config director.yaml',
    'agent runtime-director publish --dry-run',
  )
  const add = (name: string, about: string, ...examples: string[]): Command => {
    const command = group
      .command(name)
      .description(about)
      .option('-c, --config <file>', 'the configuration of the server', DEFAULT_CONFIG)
      .exitOverride()
    return withExample(command, ...examples.map((one) => `agent runtime-director ${one}`))
  }
  // Of the group, where no command is named.
  group
    .option('-c, --config <file>', 'the configuration of the server', DEFAULT_CONFIG)
    .action(async ({ config }: DirectorOption) => (await servers()).run({ config }))
  add('run', 'run the server until it is told to stop (the default)', 'run').action(
    async (options: DirectorOption, command: Command) =>
      (await servers()).run(given(options, command)),
  )
  registerChanges(add)
  withJson(
    add('status', 'what is published, how far it has come, and who waits', 'status --json'),
  ).action(async (options: DirectorOption & JsonOption, command: Command) =>
    (await servers()).status(given(options, command)),
  )
  add('migrate', 'bring the tables of the store up to date', 'migrate').action(
    async (options: DirectorOption, command: Command) =>
      (await servers()).migrate(given(options, command)),
  )
}

type Add = (name: string, about: string, ...examples: string[]) => Command

type PublishOptions = DirectorOption &
  JsonOption & { dryRun?: boolean; atOnce?: boolean; note?: string }

function registerChanges(add: Add): void {
  withJson(
    add(
      'publish',
      'publish the desired state as the next version',
      'publish --dry-run',
      'publish --note "new logging service"',
    ),
  )
    .option('--dry-run', 'only look at it and say what would change')
    .option('--at-once', 'to all runtimes at once, whatever rollout.steps says')
    .option('--note <text>', 'why, for the history')
    .action(async (options: PublishOptions, command: Command) =>
      (await servers()).publish(given(options, command)),
    )
  withJson(
    add('rollback', 'publish an old version under a new number, at once', 'rollback 7')
      .argument('<version>', 'the number of the old version')
      .option('--note <text>', 'why, for the history'),
  ).action(async (version: string, options: PublishOptions, command: Command) =>
    (await servers()).rollback({ ...given(options, command), version }),
  )
  add('stop', 'stop the rollout of the newest version where it is', 'stop').action(
    async (options: DirectorOption, command: Command) =>
      (await servers()).stop(given(options, command)),
  )
  add('resume', 'go on with a rollout that was stopped', 'resume', 'resume --all')
    .option('--all', 'to all runtimes now')
    .action(async (options: DirectorOption & { all?: boolean }, command: Command) =>
      (await servers()).resume(given(options, command)),
    )
  add(
    'admit',
    'let a client certificate ask for a runtime',
    'admit 0d6b3f0c-3b0e-4b5e-9f4e-2f6f0a4f8f11 4c86b315-c027-467f-a6fc-b184ca0a80f1',
  )
    .argument('<runtime>', 'the id of the runtime')
    .argument('<cn>', 'the common name of the certificate')
    .option('--remove', 'take that back')
    .action(
      async (
        runtime: string,
        cn: string,
        options: DirectorOption & { remove?: boolean },
        command: Command,
      ) => (await servers()).admission({ ...given(options, command), runtime, cn }),
    )
}

/** `agent runtime-director --config FILE publish` is what people type, too. */
function given<Options extends DirectorOption>(options: Options, command: Command): Options {
  const own = command.getOptionValueSource('config') === 'cli'
  const above = command.parent?.opts<DirectorOption>()
  return own || above === undefined ? options : { ...options, config: above.config }
}
