import type { Call } from '../clients/connector.ts'
import type { AgentError } from '../model/problem.ts'
import { connectWork } from './connect.ts'
import type { Deps } from './deps.ts'
import type { Memory } from './memory.ts'
import type { Decision, Idle, Part } from './next.ts'
import { recordConnectFailed, recordNotFound, recordRenewFailed } from './record-identity.ts'
import { recordApplyFailed, recordFetchFailed, recordLabelFailed } from './record-sync.ts'
import { applyTo, enrolOnce, fetchFrom, findPlane, renewOnce, sendLabels } from './steps.ts'

/** One step on one part, which throws, and what is recorded then. */
export type Work = { part: Part; step(): Promise<void>; failed(error: AgentError): void }

/** What it takes to do what was decided; nothing has begun yet. */
export function workOf(
  deps: Deps,
  memory: Memory,
  decision: Exclude<Decision, Idle>,
  signal: AbortSignal,
): Work[] {
  const call = callFor(deps, memory, signal)
  switch (decision.state) {
    case 'connect':
      return [connectWork(memory, deps.clock.now()) === 'find-plane' ? finding() : enrolling()]
    case 'renew':
      return [
        {
          part: 'identity',
          step: () => renewOnce(deps, memory, call),
          failed: (error) => recordRenewFailed(deps, memory, error),
        },
      ]
    case 'label':
      return [
        {
          part: 'label',
          step: () => sendLabels(deps, memory, call),
          failed: (error) => recordLabelFailed(deps, memory, error),
        },
      ]
    case 'sync':
      return [
        ...decision.fetch.map((source): Work => ({
          part: source,
          step: () => fetchFrom(deps, memory, source, call),
          failed: (error) => recordFetchFailed(deps, memory, source, error),
        })),
        ...decision.apply.map((name): Work => ({
          part: `target ${name}`,
          step: () => applyTo(deps, memory, name, signal),
          failed: (error) => recordApplyFailed(deps, memory, name, error),
        })),
      ]
  }

  function finding(): Work {
    return {
      part: 'identity',
      step: () => findPlane(deps, memory, call),
      failed: (error) => recordNotFound(deps, error),
    }
  }

  function enrolling(): Work {
    return {
      part: 'identity',
      step: () => enrolOnce(deps, memory, call),
      failed: (error) => recordConnectFailed(deps, memory, error),
    }
  }
}

function callFor(deps: Deps, { identity }: Memory, signal: AbortSignal): Call {
  const id = deps.uuid()
  return { requestId: identity === undefined ? id : `${identity.runtimeId}_${id}`, signal }
}
