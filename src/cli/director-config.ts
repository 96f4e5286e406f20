import { parseDirectorConfig } from '../config/director.ts'
import type { DirectorConfig } from '../config/director.ts'
import { formatProblem } from '../config/problem.ts'
import { AgentError } from '../model/problem.ts'
import { readTextOrPipe } from '../runtime/files.ts'
import { resolve } from '../runtime/path.ts'
import { env, workingDirectory } from '../runtime/process.ts'

export type { DirectorConfig } from '../config/director.ts'

const LARGEST = 2 * 1024 * 1024

/** Reads director.yaml. Throws config_missing, or config_invalid with every problem on a line of its own. Touches nothing. */
export async function loadDirectorConfig(file: string): Promise<{ config: DirectorConfig }> {
  const text = await readTextOrPipe(resolve(workingDirectory(), file), LARGEST).catch(
    (thrown: unknown) => {
      const why = thrown instanceof AgentError ? thrown.message : 'it cannot be read'
      throw new AgentError('config_invalid', `Cannot use the configuration ${file}: ${why}`)
    },
  )
  if (text === undefined) {
    throw new AgentError(
      'config_missing',
      `Cannot use the configuration ${file}: there is no such file`,
      {
        hint: 'write director.yaml and pass it with --config; docs/runtime-director.md has one to begin with',
      },
    )
  }
  const { config, problems } = parseDirectorConfig(text, { file, cwd: workingDirectory(), env })
  if (config !== undefined) return { config }
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  const lines = problems.map((problem) => `\n  ${formatProblem(problem)}`)
  throw new AgentError(
    'config_invalid',
    `Cannot use the configuration ${file}: ${count}${lines.join('')}`,
    { hint: 'mend the places named; nothing was touched' },
  )
}
