import type { Command } from 'commander'
import { DEFAULT_CONFIG } from './load-config.ts'

export type ConfigOption = { config: string }
export type JsonOption = { json?: boolean }

export function withConfig(command: Command): Command {
  return command.option('-c, --config <file>', 'the configuration', DEFAULT_CONFIG)
}

export function withJson(command: Command): Command {
  return command.option('--json', 'print JSON')
}

/** Help ends with what a person would type. */
export function withExample(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\nExample:\n${lines.map((line) => `  ${line}`).join('\n')}`)
}
