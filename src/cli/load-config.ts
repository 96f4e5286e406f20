import type { Config } from '../config/config.ts'
import { MAX_CONFIG_BYTES, parseConfig } from '../config/parse.ts'
import { formatProblem } from '../config/problem.ts'
import type { ConfigProblem } from '../config/problem.ts'
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

export type LoadedConfig = { config: Config; warnings: ConfigProblem[]; path: string }

/** Reads agent.yaml. Throws config_missing, or config_invalid with every problem on a line of its own. Touches nothing. */
export async function loadConfig(file: string): Promise<LoadedConfig> {
  const path = resolve(workingDirectory(), file)
  const text = await readTextOrPipe(path, 2 * MAX_CONFIG_BYTES).catch((thrown: unknown) => {
    const why = thrown instanceof AgentError ? thrown.message : 'it cannot be read'
    throw new AgentError('config_invalid', `Cannot use the configuration ${file}: ${why}`)
  })
  if (text === undefined) {
    throw new AgentError(
      'config_missing',
      `Cannot use the configuration ${file}: there is no such file`,
    )
  }
  const { config, problems, ...rest } = parseConfig(text, { file, cwd: workingDirectory(), env })
  if (config === undefined) throw invalidConfig(file, problems)
  refuseLongSocket(file, config)
  return { config, path, warnings: 'warnings' in rest ? rest.warnings : [] }
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

function invalidConfig(file: string, problems: ConfigProblem[]): AgentError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  const lines = problems.map((problem) => `\n  ${formatProblem(problem)}`)
  return new AgentError(
    'config_invalid',
    `Cannot use the configuration ${file}: ${count}${lines.join('')}`,
  )
}
