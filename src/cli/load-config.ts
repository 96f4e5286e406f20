import type { Config } from '../config/config.ts'
import { MAX_CONFIG_BYTES, parseConfig } from '../config/parse.ts'
import { formatProblem } from '../config/problem.ts'
import type { ConfigProblem } from '../config/problem.ts'
import { AgentError } from '../model/problem.ts'
import { readText } from '../runtime/files.ts'
import { resolve } from '../runtime/path.ts'
import { env, workingDirectory } from '../runtime/process.ts'

export const DEFAULT_CONFIG = 'agent.yaml'

export type LoadedConfig = { config: Config; warnings: ConfigProblem[]; path: string }

/** Reads agent.yaml. Throws config_missing, or config_invalid with every problem on a line of its own. Touches nothing. */
export async function loadConfig(file: string): Promise<LoadedConfig> {
  const path = resolve(workingDirectory(), file)
  const text = await readText(path, 2 * MAX_CONFIG_BYTES).catch((thrown: unknown) => {
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
  return { config, path, warnings: 'warnings' in rest ? rest.warnings : [] }
}

function invalidConfig(file: string, problems: ConfigProblem[]): AgentError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  const lines = problems.map((problem) => `\n  ${formatProblem(problem)}`)
  return new AgentError(
    'config_invalid',
    `Cannot use the configuration ${file}: ${count}${lines.join('')}`,
  )
}
