import type { Command } from 'commander'
import { agentEditorSchema } from '../config/jsonSchema.ts'
import { withExample, withJson } from './options.ts'
import { printJson } from './terminal.ts'

export function registerSchema(program: Command): void {
  const command = program
    .command('schema')
    .description('print the JSON Schema of agent.yaml, for editors')
  withExample(withJson(command), 'agent schema > agent.schema.json').action(() =>
    printJson(agentEditorSchema()),
  )
}
