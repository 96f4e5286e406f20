import { Command, CommanderError } from 'commander'
import { nearest } from '../config/nearest.ts'
import { version } from '../model/version.ts'
import { AgentError } from '../model/problem.ts'
import { stderr, stdout } from '../runtime/process.ts'
import { fail } from './terminal.ts'

type Register = (program: Command) => void

/** What commander says of a wrong command line is told by {@link runProgram}, in one message with everything else. */
const OUTPUT = { writeOut: stdout, writeErr: stderr, outputError: () => undefined }

/** Builds `agent`, its commands in the order in which help shows them. */
export function buildProgram(registers: Register[]): Command {
  const program = new Command('agent')
    .description('Connects a runtime to UCL/Compass: connect, sync, label, renew, idle.')
    .version(version, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .addHelpText('after', '\nExample:\n  agent --config agent.yaml\n  agent status --help')
    .configureOutput(OUTPUT)
    .exitOverride()
  for (const register of registers) register(program)
  for (const command of program.commands) command.exitOverride().configureOutput(OUTPUT)
  return program
}

/** Runs one command. Never throws: what goes wrong is one message and an exit code. */
export async function runProgram(program: Command, given: string[]): Promise<void> {
  // Commander's own `help` prints everything for a command that it does not know, and fails without a word.
  const argv = given[0] === 'help' ? [...given.slice(1, 2), '--help'] : commandFirst(program, given)
  try {
    refuseUnknown(program, argv[0])
    await program.parseAsync(argv, { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) fail(thrown)
    // Help and version are no failures.
    else if (thrown.exitCode !== 0) fail(usage(reasonOf(thrown), program, argv[0]))
  }
}

/** `agent --config agent.yaml status` is what people type: options of a command may stand before it. */
function commandFirst({ commands }: Command, given: string[]): string[] {
  let at = 0
  while (given[at]?.startsWith('-') === true)
    at += given[at] === '-c' || given[at] === '--config' ? 2 : 1
  const word = given[at]
  if (word === undefined || !commands.some((command) => command.name() === word)) return given
  return [word, ...given.slice(0, at), ...given.slice(at + 1)]
}

/** Commander would take a word that is no command for an argument of the default one. */
function refuseUnknown(program: Command, word: string | undefined): void {
  if (word === undefined || word.startsWith('-')) return
  const names = program.commands.map((command) => command.name())
  if (names.includes(word)) return
  const meant = nearest(word, names)
  const hint = meant === undefined ? '' : `, did you mean ${meant}?`
  throw usage(`there is no command ${JSON.stringify(word)}${hint}`, program)
}

/** Commander's message without its frame: `unknown option '--jsn', did you mean --json?`. */
function reasonOf({ message }: CommanderError): string {
  return message
    .replace(/^error: /, '')
    .replace(/\n?\(Did you mean ([^)]+)\?\)$/, ', did you mean $1?')
    .replace(/\.$/, '')
}

function usage(why: string, program: Command, word?: string): AgentError {
  const command = program.commands.find((one) => one.name() === word)
  const hint =
    command === undefined ? {} : { hint: `agent ${command.name()} --help shows what it takes` }
  return new AgentError('usage', `Cannot understand the command line: ${why}`, hint)
}
