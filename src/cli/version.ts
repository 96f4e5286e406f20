import type { Command } from 'commander'
import { version } from '../model/version.ts'
import { architecture, platform, runtimeName, runtimeVersion } from '../runtime/process.ts'
import { withExample, withJson } from './options.ts'
import type { JsonOption } from './options.ts'
import { print, printJson } from './terminal.ts'

export function registerVersion(program: Command): void {
  const command = program.command('version').description('print the version and what it runs on')
  withExample(withJson(command), 'agent version').action(({ json }: JsonOption) => {
    const facts = { version, runtime: runtimeName, runtimeVersion, platform, architecture }
    if (json === true) printJson(facts)
    else
      print(
        `runtime-agent ${version} (${runtimeName} ${runtimeVersion}, ${platform}-${architecture})`,
      )
  })
}
