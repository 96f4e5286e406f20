import { checkText } from './check.ts'
import type { Config } from './config.ts'
import { contradictions } from './contradictions.ts'
import { absolute, directoryOf } from './path.ts'
import type { ConfigProblem } from './problem.ts'
import { agentSchema } from './schema.ts'
import { warningsOf } from './warnings.ts'

export type ParseOptions = {
  /** As the operator named it; problems begin with it. */
  file: string
  /** Absolute working directory, for a relative `file`. */
  cwd: string
  /** The environment, for `${VAR}`; undefined when not set. */
  env: (name: string) => string | undefined
}

/** Either a whole configuration, or everything that is wrong with it, in the order of the file. */
export type Parsed =
  | { config: Config; warnings: ConfigProblem[]; problems?: never }
  | { config?: never; warnings?: never; problems: ConfigProblem[] }

/** Checks the text of agent.yaml as a whole. Pure, and never throws. */
export function parseConfig(text: string, { file, cwd, env }: ParseOptions): Parsed {
  const base = directoryOf(absolute(file, cwd))
  const { output, problemsAt, problems } = checkText(text, {
    schema: agentSchema(base),
    file,
    env,
    contradictions: (value) => contradictions(value, base),
    want: 'version: 1',
  })
  if (problems !== undefined) return { problems }
  return { config: output, warnings: problemsAt(warningsOf(output, env)) }
}
