import type { Command } from 'commander'
import { lookAtToken } from '../agent/token-watch.ts'
import type { Config } from '../config/config.ts'
import { describeSource } from '../config/value.ts'
import type { Problem } from '../model/problem.ts'
import { loadConfig } from './load-config.ts'
import { withConfig, withExample, withJson } from './options.ts'
import type { ConfigOption, JsonOption } from './options.ts'
import { openToken, readCa, valueReaders } from './values.ts'
import { note, print, printJson, printProblem } from './terminal.ts'

export function registerCheck(program: Command): void {
  const command = program
    .command('check')
    .description('look at agent.yaml, its token and its CA, without network, and change nothing')
  withExample(withJson(withConfig(command)), 'agent check --config agent.yaml').action(
    async (options: ConfigOption & JsonOption) => {
      const { config, warnings, name: title } = await loadConfig(options.config)
      const { remarks, tokenProblem } = await offline(config)
      const all = [...warnings, ...remarks]
      const targets = config.targets.map(({ name, kind }) => ({ name, kind }))
      if (options.json === true) {
        printJson({ ok: true, warnings: all, tokenProblem, targets })
        return
      }
      for (const remark of all) note(remark)
      // A healthy agent needs no token, so one that cannot be read is worth a word but no failure.
      if (tokenProblem !== undefined) printProblem(tokenProblem)
      print(
        `${title} is fine: ${targets.map(({ name, kind }) => `${name} (${kind})`).join(', ') || 'no targets'}`,
      )
    },
  )
}

/** What of the configuration can be looked at without a network: files and variables, but no Secret of a cluster. */
async function offline({
  connector: { token, ca },
}: Config): Promise<{ remarks: string[]; tokenProblem?: Problem }> {
  const remarks = [token, ca]
    .filter((source) => source?.from === 'secret')
    .map((source) => `not looked at: ${describeSource(source)}`)
  if (ca?.from !== 'secret') await readCa(ca, valueReaders(undefined))
  if (token.from === 'secret') return { remarks }
  const { problem } = await lookAtToken(openToken(token, undefined))
  return { remarks, ...(problem === undefined ? {} : { tokenProblem: problem }) }
}
