import type { Call } from '../clients/connector.ts'
import { renew } from '../identity/renewal.ts'
import type { Identity } from '../model/identity.ts'
import { AgentError } from '../model/problem.ts'
import { applyTarget } from './apply.ts'
import { enrolStep, findPlaneStep } from './connect.ts'
import type { AgentSettings, Deps } from './deps.ts'
import { fetchDirector } from './fetch.ts'
import { fetchConfiguration } from './fetch-configuration.ts'
import { label } from './label.ts'
import type { Memory } from './memory.ts'
import { notDue } from './next.ts'
import type { TargetName } from './next.ts'
import { proveOver } from './prove.ts'
import { reportOf } from './report.ts'
import { recordAdopted, recordConnectBegins, recordEnrolled } from './record-identity.ts'
import { recordConfiguration, recordReported, recordTried } from './record-configuration.ts'
import { guardStateOf, recordApplied, recordFetched, recordLabelled } from './record-sync.ts'
import { makeSyncDue } from './trigger.ts'

/*
 * What one decision does, and what is recorded when it succeeds. Steps throw; loop.ts catches, records and retries. No
 * step knows which one comes next.
 */

export async function enrolOnce(deps: Deps, memory: Memory, call: Call): Promise<void> {
  recordConnectBegins(memory)
  try {
    const identity = await enrolStep(deps, memory, call)
    await recordEnrolled(deps, memory, identity)
  } finally {
    await readJournal(deps, memory)
  }
}

/** A damaged journal counts as none: the next write lays it aside. */
async function readJournal(deps: Deps, memory: Memory): Promise<void> {
  memory.pending = await deps.store.loadPending().catch(() => undefined)
}

export async function findPlane(deps: Deps, memory: Memory, call: Call): Promise<void> {
  memory.planeAskedAt = deps.clock.now()
  const moved = await findPlaneStep(deps, memory, call)
  if (moved === undefined) return
  recordAdopted(deps, memory, moved, 'Compass has moved')
  makeSyncDue(deps, memory)
}

export async function renewOnce(deps: Deps, memory: Memory, call: Call): Promise<void> {
  const { identity, session } = memory
  if (identity === undefined || session === undefined) return
  const { store, compass, clock } = deps
  try {
    const renewed = await renew({
      store,
      identity,
      connector: session.connector,
      prove: proveOver(compass),
      // Whether a certificate has expired is for the server's clock to say.
      now: () => clock.now() + (compass.lastAnswer()?.skew ?? 0),
      makeKey: deps.makeKey,
      call,
    })
    memory.pending = undefined
    recordAdopted(deps, memory, renewed, 'the certificate was renewed')
  } finally {
    // A certificate that could not be proved yet may be all that is left when the present one expires.
    await readJournal(deps, memory)
  }
}

export async function sendLabels(deps: Deps, memory: Memory, call: Call): Promise<void> {
  const { session, identity, runtimeLabels: current } = memory
  if (session === undefined || identity === undefined || current === undefined) return
  const { runtimeId } = identity
  const wanted = deps.settings.labels
  const sent = await label(session.director, { runtimeId, wanted, current }, call)
  recordLabelled(deps, memory, sent)
}

export async function fetchApplications(deps: Deps, memory: Memory, call: Call): Promise<void> {
  const { session, identity } = memory
  if (session === undefined || identity === undefined) return
  refuseOtherRuntime(deps.settings, identity)
  const outcome = await fetchDirector(
    {
      director: session.director,
      snapshots: deps.snapshots,
      runtimeId: identity.runtimeId,
      last: memory.snapshot,
      guard: deps.settings.guard,
      approvals: memory.state.approvals,
      unsaved: memory.unsaved !== undefined,
      now: () => deps.clock.now(),
    },
    call,
  )
  // Enrolled anew meanwhile, for another runtime: what was fetched is not for it, and it is fetched again.
  if (memory.identity?.runtimeId !== identity.runtimeId) return
  await recordFetched(deps, memory, 'director', outcome)
}

/** Asks the Runtime Director. `listen`: it may take its time until there is something new. */
export async function configure(
  deps: Deps,
  memory: Memory,
  { listen, call }: { listen: boolean; call: Call },
): Promise<void> {
  const { session, identity } = memory
  if (session === undefined || identity === undefined) return
  const [settings, { runtimeDirector }] = [deps.configuration, session]
  if (settings === undefined || runtimeDirector === undefined)
    throw new AgentError('internal', 'Cannot ask the Runtime Director: nobody has opened it')
  refuseOtherRuntime(deps.settings, identity)
  const { runtimeId } = identity
  const outcome = await fetchConfiguration(
    {
      ...settings,
      runtimeDirector,
      runtimeId,
      last: memory.configuration,
      listen,
      unsaved: memory.configurationUnsaved !== undefined,
      now: () => deps.clock.now(),
    },
    call,
  )
  if (memory.identity?.runtimeId !== runtimeId) return
  recordConfiguration(deps, settings, memory, outcome)
}

export async function sendReport(deps: Deps, memory: Memory, call: Call): Promise<void> {
  const { identity, session } = memory
  const report = reportOf(memory)
  const runtimeDirector = session?.runtimeDirector
  if (report === undefined || identity === undefined || runtimeDirector === undefined) {
    // What there was to tell is being replaced: it becomes due when that is done.
    memory.report = notDue
    return
  }
  const taken = await runtimeDirector.report(identity.runtimeId, report, call)
  recordReported(deps, memory, report, taken)
}

/** Another runtime is meant now: what this identity would bring is not for it. What is there stays as it is. */
function refuseOtherRuntime({ runtimeId: wanted }: AgentSettings, { runtimeId }: Identity): void {
  if (wanted === undefined || wanted.toLowerCase() === runtimeId.toLowerCase()) return
  const message = `Cannot read the applications: this identity is of runtime ${runtimeId}, and the configuration names ${wanted}`
  throw new AgentError('runtime_mismatch', message)
}

export async function applyTo(
  deps: Deps,
  memory: Memory,
  name: TargetName,
  signal: AbortSignal,
): Promise<void> {
  const target = deps.targets.find((one) => one.name === name)
  const { snapshot, configuration } = memory
  if (target === undefined || (snapshot === undefined && configuration === undefined)) return
  const work = applyTarget(
    {
      target,
      ...(snapshot === undefined ? {} : { snapshot }),
      ...(configuration === undefined ? {} : { configuration }),
      guardState: guardStateOf(memory, name),
      guard: deps.settings.guard,
      approvals: memory.state.approvals,
      now: deps.clock.now(),
    },
    signal,
  )
  // Done or failed: this much is tried.
  const outcome = await work.finally(() => recordTried(memory, name, configuration))
  await recordApplied(deps, memory, name, outcome)
}
