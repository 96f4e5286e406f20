import type { Command } from 'commander'
import type { Deps } from '../agent/deps.ts'
import type { Config } from '../config/config.ts'
import type { Identity } from '../model/identity.ts'
import { AgentError, toAgentError } from '../model/problem.ts'
import { SECOND, formatInstant } from '../model/time.ts'
import { removeFile } from '../runtime/files.ts'
import { statusFilePath } from '../server/status-file.ts'
import { actHere } from './control.ts'
import { compose } from './compose.ts'
import type { Composition, Given } from './compose.ts'
import { loadConfig } from './load-config.ts'
import { withConfig, withExample } from './options.ts'
import type { ConfigOption } from './options.ts'
import { note, printProblem } from './terminal.ts'
import { ownNow } from './own.ts'

/** The two ends of a connection, each done by this process under the lock of the agent. */
export function registerConnect(program: Command): void {
  const connect = program
    .command('connect')
    .description(
      'spend the token now, prove the new certificate, and end; agent run does it by itself',
    )
  withExample(withConfig(connect), 'agent connect --config agent.yaml').action(
    async ({ config }: ConfigOption) => connectOnce(await loadConfig(config)),
  )
  const disconnect = program
    .command('disconnect')
    .description('revoke the certificate and remove the identity here; what was applied stays')
    .option(
      '--local-only',
      'only remove the identity here, where the Connector cannot be reached any more',
    )
  withExample(withConfig(disconnect), 'agent disconnect --config agent.yaml').action(
    async ({ config, localOnly }: ConfigOption & { localOnly?: boolean }) =>
      disconnectOnce(await loadConfig(config), localOnly === true),
  )
}

/** Without targets the loop has enrolled, read the Director once, and has nothing more to do. */
async function connectOnce(given: Given): Promise<void> {
  const { status, refused } = await actHere(withoutTargets(given), { kind: 'sync' })
  const { identity, runtimeId, problems } = status
  const [problem] = refused === undefined ? problems : [refused]
  if (identity?.condition === 'valid') {
    note(
      `agent: connected as runtime ${runtimeId ?? ''}, certificate until ${formatInstant(identity.notAfter)}`,
    )
  }
  if (problem !== undefined)
    throw new AgentError(problem.code, problem.message, { hint: problem.hint, turn: problem.turn })
}

function withoutTargets(given: Given): Given {
  return { ...given, config: { ...given.config, targets: [] }, untold: true }
}

async function disconnectOnce(given: Given, localOnly: boolean): Promise<void> {
  const composition = await compose(withoutTargets(given), () => [])
  try {
    await disconnectWith(composition, given.config, localOnly)
  } finally {
    await composition.close()
  }
}

async function disconnectWith(
  { deps, removeConnection }: Composition,
  { identity }: Config,
  localOnly: boolean,
): Promise<void> {
  const owned = await ownNow(deps.ownership)
  try {
    const loaded = await deps.store.load()
    if (loaded === undefined) {
      note('agent: nothing to disconnect: there is no identity here')
      return
    }
    if (!localOnly) await revoke(deps, loaded.identity)
    await deps.store.forget()
    await removeFile(statusFilePath(identity.directory))
    await removeConnection().catch((thrown: unknown) =>
      printProblem(toAgentError(thrown).toProblem()),
    )
    const left = localOnly
      ? 'here only: the certificate stays valid until it expires'
      : 'the certificate is revoked'
    note(`agent: disconnected, ${left}; what was applied stays`)
  } finally {
    await owned.release()
  }
}

async function revoke(deps: Deps, identity: Identity): Promise<void> {
  const session = deps.compass.session(identity)
  try {
    await session.connector.revoke({
      requestId: deps.uuid(),
      signal: AbortSignal.timeout(30 * SECOND),
    })
  } catch (thrown) {
    const { code, message } = toAgentError(thrown)
    const hint = 'nothing was removed; --local-only removes the identity here without revoking it'
    throw new AgentError(code, `Cannot disconnect: ${message}`, { hint })
  } finally {
    await session.close()
  }
}
