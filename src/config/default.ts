import * as v from 'valibot'
import type { Config } from './config.ts'
import { agentSchema } from './schema.ts'

/** What an agent.yaml says that holds nothing but its version. */
export function defaultConfig(): Config {
  return v.parse(agentSchema('/'), { version: 1 })
}
