import { AgentError } from '../model/problem.ts'
import { isUsable } from './connect.ts'
import type { Deps } from './deps.ts'
import { busyWith, makeDue, syncParts } from './memory.ts'
import type { Memory } from './memory.ts'
import { succeeded } from './next.ts'
import type { Trigger } from './ports.ts'
import { noteDone, promiseState } from './retry.ts'

/**
 * Makes due what was asked for; next() does the rest. Throws when it cannot be done: approval_unknown, token_missing,
 * identity_expired.
 */
export async function obey(deps: Deps, memory: Memory, trigger: Trigger): Promise<void> {
  switch (trigger.kind) {
    case 'sync':
      makeSyncDue(deps, memory)
      return
    case 'renew':
      if (memory.identity === undefined)
        throw new AgentError('token_missing', 'Cannot renew: there is no identity yet')
      if (!isUsable(memory, deps.clock.now()))
        throw new AgentError('identity_expired', 'Cannot renew: the client certificate has expired')
      memory.renewAsked = true
      memory.renew = succeeded(deps.clock.now())
      return
    case 'reconnect':
      if (memory.token.status !== 'unspent' && memory.token.status !== 'in-use') {
        throw new AgentError(
          'token_missing',
          'Cannot reconnect: there is no token that was not used before',
        )
      }
      memory.reconnect = true
      return
    case 'pause':
    case 'resume':
      await promiseState(deps, memory, () => ({ paused: trigger.kind === 'pause' }))
      noteDone(deps, memory, `${trigger.kind}d by an operator`)
      return
    case 'approve':
      return approve(deps, memory, trigger.hash)
  }
}

/**
 * Whether what cannot be done may be possible soon: an identity is being enrolled, or the first passes since the start
 * have not said yet what they hold.
 */
export function isEarly({ kind }: Trigger, memory: Memory): boolean {
  const { running, sources, targets } = memory
  if (kind === 'renew' || kind === 'reconnect') return running.has('identity')
  const parts = [...Object.values(sources), ...Object.values(targets)]
  const unseen = parts.some((part) => part.lastSuccess === undefined && part.failures === 0)
  return kind === 'approve' && busyWith(memory).length > 0 && unseen
}

/** Sources and targets are due now. */
export function makeSyncDue(deps: Deps, memory: Memory): void {
  const now = deps.clock.now()
  for (const part of syncParts(memory)) makeDue(memory, part, now)
}

async function approve(deps: Deps, memory: Memory, hash: string): Promise<void> {
  // Also what the last run held: an agent that has just started has not compared anything yet.
  const held = [
    ...memory.credentialsHeld,
    ...Object.values(memory.targets).flatMap((target) => target.held),
    ...Object.values(memory.state.guards).flatMap(({ waiting }) => waiting),
  ].map((one) => one.hash)
  if (!held.includes(hash) && memory.snapshot?.credentialsHeld?.hash !== hash) {
    throw new AgentError('approval_unknown', `Cannot approve ${hash}: nothing is held under it`)
  }
  const approval = { hash, at: deps.clock.now() }
  await promiseState(deps, memory, ({ approvals }) => ({
    approvals: [...approvals.filter((one) => one.hash !== hash), approval],
  }))
  makeSyncDue(deps, memory)
  noteDone(deps, memory, `an operator approved ${hash}`)
}
