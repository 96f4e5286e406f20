import { AgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import { notDue, succeeded } from './next.ts'
import type { Deps } from './deps.ts'
import { openSession, planRenewal } from './record-identity.ts'
import type { Target } from '../targets/target.ts'
import { initialState } from './state.ts'
import type { Memory, TargetMemory } from './memory.ts'
import { unusedConfiguration } from './report.ts'

/** Nothing is known yet, and nothing may be done. */
export function blankMemory(deps: Deps): Memory {
  const now = deps.clock.now()
  return {
    startedAt: now,
    owner: false,
    pending: undefined,
    retired: [],
    token: { status: 'none' },
    reconnect: false,
    planeAskedAt: 0,
    clockFrom: 0,
    snapshotProblems: [],
    credentialsHeld: [],
    state: initialState,
    storedState: '',
    saving: Promise.resolve(),
    connect: succeeded(now),
    renew: notDue,
    label: notDue,
    configurationProblems: unusedConfiguration(deps),
    report: notDue,
    reported: {},
    sources: {
      director: succeeded(now),
      ...(deps.configuration === undefined ? {} : { 'runtime-director': succeeded(now) }),
    },
    targets: Object.fromEntries(
      deps.targets.map((target) => [target.name, freshTarget(target, now)]),
    ),
    running: new Map(),
    history: [],
    lookedAt: now,
  }
}

/**
 * Learns again what the last run knew. What cannot be read is a problem to show: the agent starts all the same.
 *
 * @throws AgentError of a store that only does not answer just now: an identity that was not read is not absent
 */
export async function openMemory(deps: Deps): Promise<Memory> {
  const loaded = await readable(() => deps.store.load())
  const pending = await readable(() => deps.store.loadPending())
  const { snapshot, problem: snapshotProblem } = await deps.snapshots.load()
  const state = await deps.states.load()
  const identity = loaded.value?.identity
  const identityProblem = loaded.problem ?? loaded.value?.fallback ?? pending.problem
  // Without an identity the one that is meant tells whether what was kept is of another runtime.
  const wanted = await readable(() => Promise.resolve(deps.settings.runtimeId))
  const meant = identity?.runtimeId ?? wanted.value
  const foreign = meant !== undefined && snapshot?.runtimeId.toLowerCase() !== meant.toLowerCase()
  const configuration = await keptConfiguration(deps, meant)
  const memory: Memory = {
    ...blankMemory(deps),
    ...configuration,
    owner: true,
    ...(identity === undefined ? {} : { identity }),
    ...(identityProblem === undefined ? {} : { identityProblem }),
    pending: pending.value,
    ...(snapshot === undefined || foreign ? {} : { snapshot }),
    snapshotProblems: snapshotProblem === undefined ? [] : [snapshotProblem],
    state,
    storedState: JSON.stringify(state),
  }
  openSession(deps, memory)
  planRenewal(deps, memory)
  return memory
}

/**
 * What was let in by other rules, or came from elsewhere, is not used: until it was fetched anew nothing is known, and
 * what is there stays.
 */
async function keptConfiguration(
  deps: Deps,
  meant: string | undefined,
): Promise<Pick<Memory, 'configuration' | 'configurationProblems'>> {
  const problems = unusedConfiguration(deps)
  if (deps.configuration === undefined) return { configurationProblems: problems }
  const { store, digest } = deps.configuration
  const { configuration, problem } = await store.load()
  const foreign =
    meant !== undefined && configuration?.runtimeId.toLowerCase() !== meant.toLowerCase()
  const usable = configuration !== undefined && !foreign && configuration.rules === digest
  return {
    configurationProblems: problem === undefined ? problems : [...problems, problem],
    ...(usable ? { configuration } : {}),
  }
}

function freshTarget({ kind, slices }: Target, now: number): TargetMemory {
  return { kind, slices, held: [], problems: [], ...succeeded(now) }
}

async function readable<T>(read: () => Promise<T>): Promise<{ value?: T; problem?: Problem }> {
  try {
    return { value: await read() }
  } catch (thrown) {
    if (!(thrown instanceof AgentError) || thrown.class === 'retry') throw thrown
    return { problem: thrown.toProblem() }
  }
}
