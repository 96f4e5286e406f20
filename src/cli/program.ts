import { Command, CommanderError } from 'commander'
import { version } from '../model/version.ts'
import { AgentError } from '../model/problem.ts'
import { stderr, stdout } from '../runtime/process.ts'
import { fail } from './terminal.ts'

type Register = (program: Command) => void

/** Builds `agent`, its commands in the order in which help shows them. */
export function buildProgram(registers: Register[]): Command {
  const program = new Command('agent')
    .description('Connects a runtime to UCL/Compass: connect, sync, label, renew, idle.')
    .version(version, '-v, --version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .showHelpAfterError('(agent --help shows the commands and their options)')
    .configureOutput({ writeOut: stdout, writeErr: stderr })
    .exitOverride()
  for (const register of registers) register(program)
  for (const command of program.commands)
    command.exitOverride().configureOutput({ writeOut: stdout, writeErr: stderr })
  return program
}

/** Runs one command. Never throws: what goes wrong is one message and an exit code. */
export async function runProgram(program: Command, argv: string[]): Promise<void> {
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (thrown) {
    if (thrown instanceof CommanderError) failUsage(thrown)
    else fail(thrown)
  }
}

/** Commander has printed the message already; help and version are no failures. */
function failUsage(error: CommanderError): void {
  if (error.exitCode === 0) return
  fail(new AgentError('usage', 'Cannot understand the command line'))
}
