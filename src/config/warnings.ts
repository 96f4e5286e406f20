import { isLoopback } from './address.ts'
import type { Config } from './config.ts'
import type { NodePath } from './problem.ts'
import type { ValueSource } from './value.ts'

/** Something that is allowed, but that a careful operator wants to know. */
type Warning = { path: NodePath; message: string }

/** What to say about a valid configuration. `env` is that of this process, which may differ from the service's. */
export function warningsOf(config: Config, env: (name: string) => string | undefined): Warning[] {
  const found: Warning[] = []
  const warn = (path: NodePath, message: string) => found.push({ path, message })
  if (config.insecureSkipVerify) {
    warn(
      ['insecureSkipVerify'],
      'TLS servers are not verified: anybody on the way can read and change everything',
    )
  }
  const { listen } = config.status
  if (listen !== undefined && !isLoopback(listen.host)) {
    warn(['status', 'listen'], 'other machines can read the status without login')
  }
  if (config.guard.massDeletion === 'off') {
    warn(['guard', 'massDeletion'], 'nothing stops a fault elsewhere from emptying this runtime')
  }
  if (config.configuration?.allow.length === 0) {
    warn(['configuration', 'allow'], 'no row lets anything in, and what is there goes')
  }
  const sources: [NodePath, ValueSource | undefined][] = [
    [['connector', 'token'], config.connector.token],
    [['connector', 'ca'], config.connector.ca],
  ]
  for (const [path, source] of sources) {
    const message = source === undefined ? undefined : missingVariable(source, env)
    if (message !== undefined) warn(path, message)
  }
  return found
}

function missingVariable(
  source: ValueSource,
  env: (name: string) => string | undefined,
): string | undefined {
  if (source.from === 'env' && env(source.env) === undefined) {
    return `the variable ${source.env} is not set here`
  }
  if (source.from === 'credential' && env('CREDENTIALS_DIRECTORY') === undefined) {
    return 'CREDENTIALS_DIRECTORY is not set here: credentials exist only in a unit of systemd with LoadCredential='
  }
  return undefined
}
