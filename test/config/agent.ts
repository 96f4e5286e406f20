import type { Config, FilesTargetConfig } from '../../src/config/config.ts'
import type { Parsed } from '../../src/config/parse.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { formatProblem } from '../../src/config/problem.ts'

/** Parses a text as /etc/agent/agent.yaml, named agent.yaml. */
export function parse(text: string, env: Record<string, string> = {}): Parsed {
  return parseConfig(text, { file: 'agent.yaml', cwd: '/etc/agent', env: (name) => env[name] })
}

/** The configuration of a text that must be valid. */
export function configOf(text: string, env: Record<string, string> = {}): Config {
  const { config, problems } = parse(text, env)
  if (config === undefined) throw new Error(problems.map(formatProblem).join('\n'))
  return config
}

/** Its targets of kind files. */
export function filesOf({ targets }: Config): FilesTargetConfig[] {
  return targets.filter((target) => target.kind === 'files')
}

/** All problems of a text as an operator reads them, without the file name. */
export function problemsOf(text: string, env: Record<string, string> = {}): string[] {
  return (parse(text, env).problems ?? []).map((p) => formatProblem(p).replace('agent.yaml:', ''))
}

/** All warnings of a valid text, without the file name. */
export function warningsOf(text: string, env: Record<string, string> = {}): string[] {
  const { config, warnings, problems } = parse(text, env)
  if (config === undefined) throw new Error(problems.map(formatProblem).join('\n'))
  return warnings.map((p) => formatProblem(p).replace('agent.yaml:', ''))
}
