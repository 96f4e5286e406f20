import { AgentError } from '../model/problem.ts'
import { audit, change } from './keeper.ts'
import type { Keeper } from './keeper.ts'
import { nextStep, percentOf } from './rollout.ts'
import type { Version } from './versions.ts'
import { versionsOf } from './versions.ts'
import type { Db } from './tables.ts'

/** Takes the step of the newest version that is due, once of all servers that see it. */
export async function advance(keeper: Keeper, version: Version): Promise<void> {
  if (nextStep(version, keeper.now()) === undefined) return
  await change(keeper, async (db) => {
    const [newest] = await versionsOf(db, 1)
    const step = newest && nextStep(newest, keeper.now())
    if (newest === undefined || step === undefined) return
    const at = keeper.now()
    if (step === 'restart') {
      await update(db, newest, { stage_at: at })
      return
    }
    await update(db, newest, { stage: step.stage, stage_at: at, rollout: step.state })
    const detail = `${percentOf({ ...newest, stage: step.stage })} percent`
    await audit(db, { at, who: 'rollout', action: 'step', subject: nameOf(newest), detail })
  })
}

/** Stops the rollout of the newest version where it is. Throws rollout_idle when none goes on. */
export function stopRollout(keeper: Keeper, who: string): Promise<Version> {
  return change(keeper, async (db) => {
    const newest = await rolloutIn(db, 'rolling', 'stop')
    await stop(db, newest, { at: keeper.now(), who, why: `stopped by ${who}` })
    return newest
  })
}

/** Within a change: stops it, and says so in the audit log. */
export async function stop(
  db: Db,
  version: Version,
  { at, who, why }: { at: number; who: string; why: string },
): Promise<void> {
  await update(db, version, { rollout: 'stopped', why })
  await audit(db, { at, who, action: 'stop', subject: nameOf(version), detail: why })
}

/** Goes on with a rollout that was stopped; `all`: to all runtimes now. Throws rollout_idle when none is stopped. */
export function resumeRollout(
  keeper: Keeper,
  who: string,
  { all }: { all: boolean },
): Promise<Version> {
  return change(keeper, async (db) => {
    const newest = await rolloutIn(db, 'stopped', 'resume')
    const at = keeper.now()
    await db.deleteFrom('failures').where('version', '=', newest.number).execute()
    const last = newest.steps.length - 1
    await update(db, newest, {
      ...{ stage_at: at, why: null },
      ...(all ? { stage: last, rollout: 'complete' } : { rollout: 'rolling' }),
    })
    const detail = all ? 'to all runtimes' : 'in steps'
    await audit(db, { at, who, action: 'resume', subject: nameOf(newest), detail })
    return newest
  })
}

async function rolloutIn(db: Db, state: Version['state'], verb: string): Promise<Version> {
  const [newest] = await versionsOf(db, 1)
  if (newest?.state === state) return newest
  const found =
    newest === undefined
      ? 'nothing is published'
      : `that of version ${newest.number} is ${newest.state}`
  throw new AgentError('rollout_idle', `Cannot ${verb} a rollout: ${found}`)
}

type Columns = {
  stage?: number
  stage_at?: number
  rollout?: Version['state']
  why?: string | null
}

async function update(db: Db, { number }: Version, columns: Columns): Promise<void> {
  await db.updateTable('versions').set(columns).where('number', '=', number).execute()
}

function nameOf({ number }: Version): string {
  return `version ${number}`
}
