/**
 * What `agent runtime-director` does: the entry point of a bundle of its own. It is given plain options and says itself what
 * went wrong, as errors of one bundle are no errors of another one.
 */
import { admit, admittedIn, dismiss, pendingIn } from '../runtime-director/identities.ts'
import { openLive } from '../runtime-director/live.ts'
import { outcomeInfo, overviewOf, versionInfo } from '../runtime-director/overview.ts'
import { publishTree, rollBack } from '../runtime-director/publish.ts'
import { rulesOf, startServer } from '../runtime-director/server.ts'
import type { DirectorServer } from '../runtime-director/server.ts'
import { resumeRollout, stopRollout } from '../runtime-director/steps.ts'
import { versionsOf } from '../runtime-director/versions.ts'
import { AgentError } from '../model/problem.ts'
import { systemClock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import { openLog } from '../runtime/log.ts'
import { userId } from '../runtime/files.ts'
import { env, setUmask } from '../runtime/process.ts'
import { openNotify } from '../runtime/sd-notify.ts'
import { loadDirectorConfig } from './director-config.ts'
import type { DirectorConfig } from './director-config.ts'
import { openKeeper, serverFiles } from './director-keeper.ts'
import type { OpenKeeper } from './director-keeper.ts'
import { outcomeText, overviewText } from './director-text.ts'
import { stopSignal } from './stop.ts'
import { fail, print, printJson } from './terminal.ts'

type Options = { config: string; json?: boolean }

/** The server, until it is told to stop. */
export function run(options: Options): Promise<void> {
  return told(async () => {
    const signal = stopSignal()
    setUmask(0o077)
    const { config } = await loadDirectorConfig(options.config)
    const log = openLog(config.log)
    const server = await start(config, log)
    const notify = await openNotify((message) => log.debug(message))
    await notify?.send(['READY=1'])
    await ended(signal)
    await notify?.send(['STOPPING=1'])
    await server.close()
  })
}

async function start(config: DirectorConfig, log: Log): Promise<DirectorServer & OpenKeeper> {
  const files = await serverFiles(config)
  const opened = await openKeeper(config, (reason) => log.warn('the store is lost', { reason }))
  const { keeper, close } = opened
  try {
    const { listen } = config
    const admin = config.admin.listen
    const server = await startServer({
      ...{ keeper, clock: systemClock, log, tree: treeOf(config), rules: rulesOf(config) },
      ...{ firstUse: config.admission === 'first-use', watch: config.watch },
      ...(listen === undefined ? {} : { agents: { at: listen, tls: files.agents } }),
      ...(admin === undefined
        ? {}
        : { admin: { at: admin, tokens: config.admin.tokens, ...files.admin } }),
    })
    const newest = server.live.layers()[0]?.view.number ?? 'none'
    log.info('the Runtime Director runs', {
      ...{ agents: at(listen, server.agentsPort), admin: at(admin, server.adminPort) },
      ...{ store: keeper.storage.dialect, version: newest },
    })
    return { ...server, keeper, close: () => server.close().finally(close) }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

function at(address: { host: string } | undefined, port: number | undefined): string | undefined {
  return address === undefined ? undefined : `${address.host}:${port ?? 0}`
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Publishes the desired state, or only looks. */
export function publish(
  options: Options & { dryRun?: boolean; atOnce?: boolean; note?: string },
): Promise<void> {
  return withKeeper(options, async ({ keeper }, config) => {
    const dryRun = options.dryRun === true
    const outcome = await publishTree(keeper, treeOf(config), {
      ...{ who: whoAmI(), rules: rulesOf(config), note: options.note },
      ...{ dryRun, atOnce: options.atOnce === true },
    })
    if (options.json === true) printJson(outcomeInfo(outcome))
    else print(outcomeText(outcome, { dryRun, steps: rulesOf(config).steps }))
  })
}

/** Publishes an old version anew. */
export function rollback(options: Options & { version: string; note?: string }): Promise<void> {
  return withKeeper(options, async ({ keeper }, config) => {
    if (!/^[1-9]\d{0,8}$/.test(options.version)) {
      throw new AgentError(
        'usage',
        `Cannot roll back to ${JSON.stringify(options.version)}: want the number of a version`,
      )
    }
    const ask = { who: whoAmI(), rules: rulesOf(config), note: options.note }
    const outcome = await rollBack(keeper, Number(options.version), ask)
    if (options.json === true) printJson(outcomeInfo(outcome))
    else print(outcomeText(outcome, { dryRun: false, steps: [] }))
  })
}

/** Stops the rollout. */
export function stop(options: Options): Promise<void> {
  return withKeeper(options, async ({ keeper }) => {
    const { number } = await stopRollout(keeper, whoAmI())
    print(
      `the rollout of version ${number} is stopped; it goes on with: agent runtime-director resume`,
    )
  })
}

/** Goes on with it. */
export function resume(options: Options & { all?: boolean }): Promise<void> {
  return withKeeper(options, async ({ keeper }) => {
    const all = options.all === true
    const { number } = await resumeRollout(keeper, whoAmI(), { all })
    print(`version ${number} goes ${all ? 'to all runtimes now' : 'on in its steps'}`)
  })
}

/** Admits a certificate, or takes that back. */
export function admission(
  options: Options & { runtime: string; cn: string; remove?: boolean },
): Promise<void> {
  const { runtime, cn, remove = false } = options
  return withKeeper(options, async ({ keeper }) => {
    const given = { runtime, cn, who: whoAmI() }
    if (remove) {
      const { unchanged } = await dismiss(keeper, given)
      print(
        unchanged
          ? `nothing to do: '${cn}' was not admitted for ${runtime}`
          : `'${cn}' is dismissed`,
      )
      return
    }
    const live = openLive(keeper, {
      clock: systemClock,
      log: openLog({ level: 'error', format: 'auto' }),
    })
    await live.refresh()
    const { unchanged } = await admit(keeper, live.newestState(), given)
    print(`'${cn}' ${unchanged ? 'was admitted already' : 'is admitted'} for runtime ${runtime}`)
  })
}

/** What is published and how it goes, from the store: no server has to run. */
export function status(options: Options): Promise<void> {
  return withKeeper(options, async ({ keeper }) => {
    const live = openLive(keeper, {
      clock: systemClock,
      log: openLog({ level: 'error', format: 'auto' }),
    })
    await live.refresh()
    const overview = await overviewOf({ keeper, live })
    const { versions, pending, admitted } = await keeper.storage.read(async (db) => ({
      versions: (await versionsOf(db, 20)).map(versionInfo),
      pending: await pendingIn(db, 100),
      admitted: (await admittedIn(db)).size,
    }))
    if (options.json === true) printJson({ ...overview, versions, waiting: pending, admitted })
    else print(overviewText(overview, versions, pending))
  })
}

/** Runs the migrations, for `migrate: manual`. */
export function migrate(options: Options): Promise<void> {
  return told(async () => {
    const { config } = await loadDirectorConfig(options.config)
    const { close, keeper } = await openKeeper(
      { ...config, store: { ...config.store, migrate: 'start' } },
      () => undefined,
    )
    await close()
    print(`the tables of the store (${keeper.storage.dialect}) are up to date`)
  })
}

function withKeeper(
  { config: file }: Options,
  work: (opened: OpenKeeper, config: DirectorConfig) => Promise<void>,
): Promise<void> {
  return told(async () => {
    const { config } = await loadDirectorConfig(file)
    const opened = await openKeeper(config, () => undefined)
    try {
      await work(opened, config)
    } finally {
      await opened.close()
    }
  })
}

async function told(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (thrown) {
    fail(thrown)
  }
}

function treeOf({ directory, secrets }: DirectorConfig): {
  directory: string
  secrets: string | undefined
} {
  return { directory, secrets }
}

/** For the audit log. */
function whoAmI(): string {
  return `command line, ${env('SUDO_USER') ?? env('USER') ?? `uid ${userId()}`}`
}
