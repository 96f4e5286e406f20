import type { Config, ObjectName } from '../config/config.ts'
import { MAX_CONFIG_BYTES } from '../config/check.ts'
import { parseConfig } from '../config/parse.ts'
import { formatProblem } from '../config/problem.ts'
import { dropInConfig, isDropIn } from '../kyma/environment.ts'
import { AgentError } from '../model/problem.ts'
import { readTextOrPipe } from '../runtime/files.ts'
import { LONGEST_SOCKET_PATH } from '../runtime/listen-socket.ts'
import { join, resolve } from '../runtime/path.ts'
import { env, workingDirectory } from '../runtime/process.ts'

export const DEFAULT_CONFIG = 'agent.yaml'

/** Where a running agent answers the verbs that act. */
export function controlSocket(stateDirectory: string): string {
  return join(stateDirectory, 'agent.sock')
}

export type LoadedConfig = {
  config: Config
  /** What a careful operator wants to know, a line each. */
  warnings: string[]
  /** What it was made from, for messages. */
  name: string
  /** The Secret that Compass Manager writes, where the agent stands in for the Go agent: token, addresses and ids. */
  configuration?: ObjectName
}

/**
 * Reads agent.yaml; where there is none and the surroundings are those of the Go agent, its variables. Throws
 * config_missing, or config_invalid with every problem on a line of its own. Touches nothing.
 */
export async function loadConfig(file: string): Promise<LoadedConfig> {
  const path = resolve(workingDirectory(), file)
  const text = await readTextOrPipe(path, 2 * MAX_CONFIG_BYTES).catch((thrown: unknown) => {
    const why = thrown instanceof AgentError ? thrown.message : 'it cannot be read'
    throw new AgentError('config_invalid', `Cannot use the configuration ${file}: ${why}`)
  })
  if (text === undefined && file === DEFAULT_CONFIG && isDropIn(env)) return loadDropIn()
  if (text === undefined) {
    throw new AgentError(
      'config_missing',
      `Cannot use the configuration ${file}: there is no such file`,
    )
  }
  const { config, problems, ...rest } = parseConfig(text, { file, cwd: workingDirectory(), env })
  if (config === undefined) throw invalidConfig(file, problems.map(formatProblem))
  refuseLongSocket(file, config)
  const warnings = 'warnings' in rest ? rest.warnings.map(formatProblem) : []
  return { config, warnings, name: file }
}

const VARIABLES = 'of the environment'

function loadDropIn(): LoadedConfig {
  const found = dropInConfig(env)
  if (found.config === undefined) throw invalidConfig(VARIABLES, found.problems)
  refuseLongSocket(VARIABLES, found.config)
  return { ...found, name: 'the configuration of the environment (APP_*)' }
}

/** No process could be asked anything over a socket that cannot be made, so the directory is no good. */
function refuseLongSocket(file: string, { identity }: Config): void {
  const length = new TextEncoder().encode(controlSocket(identity.directory)).length
  if (length <= LONGEST_SOCKET_PATH) return
  throw new AgentError(
    'config_invalid',
    `Cannot use the configuration ${file}: identity.directory: the control socket in ${identity.directory} would have a path of ${length} bytes, and a Unix socket takes ${LONGEST_SOCKET_PATH}`,
    { hint: 'name a state directory with a shorter path' },
  )
}

function invalidConfig(file: string, problems: string[]): AgentError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  const lines = problems.map((problem) => `\n  ${problem}`)
  return new AgentError(
    'config_invalid',
    `Cannot use the configuration ${file}: ${count}${lines.join('')}`,
  )
}
