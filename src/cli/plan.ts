import type { Command } from 'commander'
import { planTarget } from '../agent/apply.ts'
import type { Planned } from '../agent/apply.ts'
import type { Deps } from '../agent/deps.ts'
import { fetchConfiguration } from '../agent/fetch-configuration.ts'
import type { Call } from '../clients/connector.ts'
import type { RuntimeDirector } from '../clients/runtime-director.ts'
import { initialGuardState, validApprovals } from '../model/guard.ts'
import type { Held } from '../model/guard.ts'
import type { ConfigurationSnapshot } from '../model/configuration.ts'
import { AgentError, toAgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import { retain } from '../model/snapshot.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { Change } from '../model/target.ts'
import { formatInstant } from '../model/time.ts'
import { actAsOwnerOf } from '../runtime/files.ts'
import { compose } from './compose.ts'
import { loadConfig } from './load-config.ts'
import { withConfig, withExample, withJson } from './options.ts'
import type { ConfigOption, JsonOption } from './options.ts'
import { note, paint, print, printJson, printProblem } from './terminal.ts'

export function registerPlan(program: Command): void {
  const command = program
    .command('plan')
    .description(
      'show what a sync would change, and what is held; writes nothing and takes no lock',
    )
    .option('--offline', 'plan from the last snapshot instead of asking the Director')
  withExample(withJson(withConfig(command)), 'agent plan', 'agent plan --json').action(
    async (options: ConfigOption & JsonOption & { offline?: boolean }) => {
      const given = await loadConfig(options.config)
      // What is right for the user of the agent would look wrong to root.
      await actAsOwnerOf(given.config.identity.directory)
      const { deps, look, close } = await compose(given, () => [])
      try {
        await look()
        const seen = await (options.offline === true ? lastSnapshot(deps) : fetchSnapshot(deps))
        const plans = await planAll(deps, seen)
        if (options.json === true) printJson(asJson(seen, plans))
        else show(seen, plans)
      } finally {
        await close()
      }
    },
  )
}

type Seen = {
  snapshot: Snapshot
  configuration?: ConfigurationSnapshot
  credentialsHeld: Held[]
  problems: Problem[]
}
type TargetPlan = { target: string; planned: Planned }

async function lastSnapshot({ snapshots, configuration }: Deps): Promise<Seen> {
  const { snapshot, problem } = await snapshots.load()
  if (snapshot !== undefined) {
    const kept = await lastConfiguration(configuration)
    return { snapshot, ...kept, credentialsHeld: [], problems: [] }
  }
  const why = problem?.message.replace(/^Cannot /, 'cannot ') ?? 'there is no snapshot yet'
  throw new AgentError('state_unusable', `Cannot plan offline: ${why}`)
}

/** As the agent would take it at start: not what was let in by other rules. */
async function lastConfiguration(
  settings: Deps['configuration'],
): Promise<{ configuration?: ConfigurationSnapshot }> {
  const { configuration } = (await settings?.store.load()) ?? {}
  return configuration?.rules === settings?.digest && configuration !== undefined
    ? { configuration }
    : {}
}

/** What the Runtime Director has now. That it cannot be told is a problem of that slice alone, which then stays. */
async function fetchConfigurationOf(
  { configuration: settings, clock }: Deps,
  runtimeDirector: RuntimeDirector | undefined,
  { runtimeId, call }: { runtimeId: string; call: Call },
): Promise<{ configuration?: ConfigurationSnapshot; problem?: Problem }> {
  if (settings === undefined || runtimeDirector === undefined) return {}
  const store = { ...settings.store, save: () => Promise.resolve(undefined) }
  try {
    const { configuration } = await fetchConfiguration(
      {
        ...settings,
        store,
        runtimeDirector,
        runtimeId,
        last: undefined,
        listen: false,
        unsaved: false,
        now: () => clock.now(),
      },
      call,
    )
    return { configuration }
  } catch (thrown) {
    return { ...(await lastConfiguration(settings)), problem: toAgentError(thrown).toProblem() }
  }
}

/** What the Director has now, as a sync would take it; nothing is stored. */
async function fetchSnapshot(deps: Deps): Promise<Seen> {
  const loaded = await deps.store.load()
  if (loaded === undefined)
    throw new AgentError('token_missing', 'Cannot plan: there is no identity yet')
  const { identity } = loaded
  const session = deps.compass.session(identity)
  const call = {
    requestId: `${identity.runtimeId}_${deps.uuid()}`,
    signal: new AbortController().signal,
  }
  try {
    const { runtimeId } = identity
    const { applications } = await session.director.applications(runtimeId, call)
    const { runtimeDirector } = session
    const { problem, ...kept } = await fetchConfigurationOf(deps, runtimeDirector, {
      runtimeId,
      call,
    })
    const [{ snapshot: last }, state, now] = [
      await deps.snapshots.load(),
      await deps.states.load(),
      deps.clock.now(),
    ]
    const { guard } = deps.settings
    const fetched = { runtimeId, applications, fetchedAt: now }
    const approved = validApprovals(state.approvals, now)
    const retained = retain(last, fetched, {
      now,
      grace: guard.credentialsGrace,
      ordinary: guard.ordinary,
      approved,
    })
    return {
      snapshot: retained.snapshot,
      ...kept,
      credentialsHeld: retained.held,
      problems: [
        ...retained.problems.map((p) => p.problem),
        ...(problem === undefined ? [] : [problem]),
        ...(kept.configuration?.refused ?? []).map((refusal) => refusal.problem),
      ],
    }
  } finally {
    await session.close()
  }
}

async function planAll(deps: Deps, seen: Seen): Promise<TargetPlan[]> {
  const { snapshot, configuration } = seen
  const state = await deps.states.load()
  const signal = new AbortController().signal
  const plans: TargetPlan[] = []
  for (const target of deps.targets) {
    const { guard } = deps.settings
    const guardState = state.guards[target.name] ?? initialGuardState
    const planned = await planTarget(
      {
        target,
        snapshot,
        ...(configuration === undefined ? {} : { configuration }),
        guardState,
        guard,
        approvals: state.approvals,
        now: deps.clock.now(),
      },
      signal,
    )
    plans.push({ target: target.name, planned })
  }
  return plans
}

/** Keys, names and reasons; never content, which holds credentials. */
function asJson(seen: Seen, plans: TargetPlan[]): unknown {
  return {
    fetchedAt: formatInstant(seen.snapshot.fetchedAt),
    ...(seen.configuration === undefined ? {} : { documents: seen.configuration.documents.length }),
    credentialsHeld: seen.credentialsHeld,
    problems: seen.problems,
    targets: plans.map(({ target, planned }) => ({
      target,
      objects: planned.objects,
      changes: planned.plan.changes.map(describe),
      held: planned.held,
      waiting: planned.waiting.map(describe),
      problems: planned.problems.map((p) => p.problem),
    })),
  }
}

function describe(change: Change): Record<string, string> {
  const { kind, key, name } = change
  return kind === 'delete' ? { kind, key, name, why: change.why } : { kind, key, name }
}

const SIGN = { create: '+', update: '~', delete: '-' } as const
const COLOUR = { create: 'green', update: 'yellow', delete: 'red' } as const

function show(seen: Seen, plans: TargetPlan[]): void {
  const held = [...seen.credentialsHeld, ...plans.flatMap(({ planned }) => planned.held)]
  for (const { target, planned } of plans) {
    const { changes } = planned.plan
    print(
      `${paint('bold', target)}: ${planned.objects} objects, ${changes.length === 0 ? 'nothing to change' : `${changes.length} ${changes.length === 1 ? 'change' : 'changes'}`}`,
    )
    for (const change of changes) {
      const why = change.kind === 'delete' ? `: ${change.why}` : ''
      print(paint(COLOUR[change.kind], `  ${SIGN[change.kind]} ${change.name}${why}`))
    }
    for (const change of planned.waiting)
      print(paint('grey', `  held - ${change.name}: ${change.why}`))
  }
  for (const { reason, hash } of held)
    note(`held: ${reason}; if it is meant: agent approve ${hash}`)
  const problems = [
    ...seen.problems,
    ...plans.flatMap(({ planned }) => planned.problems.map((p) => p.problem)),
  ]
  // What is wrong with a document is told by each target that keeps what is there of it.
  for (const found of new Map(problems.map((one) => [one.message, one])).values())
    printProblem(found)
}
