import type { Command } from 'commander'
import { lookAtToken } from '../agent/token-watch.ts'
import { formatProblem as formatConfigProblem } from '../config/problem.ts'
import { compose } from './compose.ts'
import { loadConfig } from './load-config.ts'
import { withConfig, withExample, withJson } from './options.ts'
import type { ConfigOption, JsonOption } from './options.ts'
import { note, print, printJson, printProblem } from './terminal.ts'

export function registerCheck(program: Command): void {
  const command = program
    .command('check')
    .description('look at agent.yaml, its token and its CA, without network, and change nothing')
  withExample(withJson(withConfig(command)), 'agent check --config agent.yaml').action(
    async (options: ConfigOption & JsonOption) => {
      const { config, warnings } = await loadConfig(options.config)
      const { deps } = await compose(config, () => [])
      const token = await lookAtToken(deps.token)
      const remarks = warnings.map(formatConfigProblem)
      const targets = deps.targets.map(({ name, kind }) => ({ name, kind }))
      if (options.json === true) {
        printJson({ ok: true, warnings: remarks, tokenProblem: token.problem, targets })
        return
      }
      for (const remark of remarks) note(remark)
      // A healthy agent needs no token, so one that cannot be read is worth a word but no failure.
      if (token.problem !== undefined) printProblem(token.problem)
      print(
        `${options.config} is fine: ${targets.map(({ name, kind }) => `${name} (${kind})`).join(', ') || 'no targets'}`,
      )
    },
  )
}
