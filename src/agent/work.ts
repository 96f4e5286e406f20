import type { Call } from '../clients/connector.ts'
import type { AgentError } from '../model/problem.ts'
import { connectWork } from './connect.ts'
import type { Deps } from './deps.ts'
import type { Memory } from './memory.ts'
import type { Decision, Idle, Part } from './next.ts'
import { recordConnectFailed, recordNotFound, recordRenewFailed } from './record-identity.ts'
import { recordConfigurationFailed, recordReportFailed } from './record-configuration.ts'
import { recordApplyFailed, recordFetchFailed, recordLabelFailed } from './record-sync.ts'
import {
  applyTo,
  configure,
  enrolOnce,
  fetchApplications,
  findPlane,
  renewOnce,
  sendLabels,
  sendReport,
} from './steps.ts'

/** One step on one part, which throws, and what is recorded then. */
export type Work = {
  part: Part
  step(): Promise<void>
  failed(error: AgentError): void
  /** Of work that only waits for something new: ends it, and that is no failure. */
  interrupt?: () => void
}

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
        ...decision.fetch.map((source) =>
          source === 'director' ? fetching() : configuring(memory.sources[source]?.listen === true),
        ),
        ...decision.apply.map((name): Work => ({
          part: `target ${name}`,
          step: () => applyTo(deps, memory, name, signal),
          failed: (error) => recordApplyFailed(deps, memory, name, error),
        })),
        ...(decision.report === true ? [reporting()] : []),
      ]
  }

  function fetching(): Work {
    return {
      part: 'director',
      step: () => fetchApplications(deps, memory, call),
      failed: (error) => recordFetchFailed(deps, memory, 'director', error),
    }
  }

  function configuring(listen: boolean): Work {
    const failed = (error: AgentError): void => recordConfigurationFailed(deps, memory, error)
    const part = 'runtime-director'
    if (!listen) return { part, failed, step: () => configure(deps, memory, { listen, call }) }
    const over = new AbortController()
    const interrupt = (): void => over.abort()
    return { part, failed, interrupt, step: () => untilOver(over) }
  }

  /** Listens until there is something new, or until it is interrupted: that is no failure. */
  async function untilOver(over: AbortController): Promise<void> {
    const stop = (): void => over.abort(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    try {
      await configure(deps, memory, { listen: true, call: { ...call, signal: over.signal } })
    } catch (thrown) {
      if (!over.signal.aborted) throw thrown
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  function reporting(): Work {
    return {
      part: 'report',
      step: () => sendReport(deps, memory, call),
      failed: (error) => recordReportFailed(deps, memory, error),
    }
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
