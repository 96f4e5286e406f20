import type { Code, Problem } from '../model/problem.ts'
import { AgentError, toAgentError } from '../model/problem.ts'
import { env, isTerminal, setExitCode, stderr, stdout } from '../runtime/process.ts'

/** Exit codes of every command (design §8). */
export const EXIT = { done: 0, failed: 1, usage: 2, person: 3, locked: 4, partly: 5 } as const

/** What a command was asked for goes to stdout, so that it can be piped; everything else to stderr. */
export function print(text: string): void {
  stdout(text.endsWith('\n') ? text : `${text}\n`)
}

export function printJson(value: unknown): void {
  print(harmless(JSON.stringify(value, null, 2)))
}

/**
 * Names come from outside: what steers a terminal or turns the direction of text is shown as its JSON escape. Tabs and
 * line breaks stay.
 */
export function harmless(text: string): string {
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** For people, on stderr: progress, remarks. */
export function note(text: string): void {
  stderr(text.endsWith('\n') ? text : `${text}\n`)
}

/** A problem as a person reads it: what cannot be done, then what to do about it. */
export function formatProblem({ code, message, hint, turn }: Problem): string {
  // Only those of a configuration have several lines; a line break in a name would make a message of its own.
  const lines = USAGE.has(code) ? message : message.replaceAll('\n', '\\n')
  return `${harmless(lines)} [${code}]\n  whose turn: ${turn}; ${harmless(hint)}`
}

export function printProblem(problem: Problem): void {
  note(`agent: error: ${formatProblem(problem)}`)
}

const USAGE: ReadonlySet<Code> = new Set<Code>([
  'config_missing',
  'config_invalid',
  'usage',
  'desired_invalid',
])

/** The exit code for an error: what a script can act on. */
function exitCodeOf(error: AgentError): number {
  if (USAGE.has(error.code) || error.code === 'kubeconfig_invalid') return EXIT.usage
  if (error.code === 'already_running') return EXIT.locked
  return error.class === 'operator' ? EXIT.person : EXIT.failed
}

/** Ends a command that failed: one message, one exit code. */
export function fail(thrown: unknown): void {
  const error = toAgentError(thrown)
  printProblem(error.toProblem())
  setExitCode(exitCodeOf(error))
}

/** Whether colours help: a terminal, and nobody asked for none. */
function colourful(): boolean {
  return isTerminal('stdout') && env('NO_COLOR') === undefined
}

const COLOURS = { bold: 1, red: 31, green: 32, yellow: 33, grey: 90 } as const

export function paint(colour: keyof typeof COLOURS, text: string): string {
  const clean = harmless(text)
  return colourful() ? `\u001b[${COLOURS[colour]}m${clean}\u001b[0m` : clean
}

/** Rows in columns, two blanks between them. */
export function columns(given: string[][]): string {
  const rows = given.map((row) => row.map((cell) => harmless(cell).replaceAll('\n', '\\n')))
  const widths = rows.reduce<number[]>((all, row) => {
    row.forEach((cell, i) => (all[i] = Math.max(all[i] ?? 0, cell.length)))
    return all
  }, [])
  const line = (row: string[]) =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ')
  return rows.map(line).join('\n')
}
