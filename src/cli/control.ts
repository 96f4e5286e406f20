import type { Command } from 'commander'
import { runLoop } from '../agent/loop.ts'
import type { Asked, TriggerOutcome } from '../agent/ports.ts'
import { AgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import { PROBLEMS } from '../model/problem.ts'
import type { Status } from '../model/status.ts'
import { setUmask, setExitCode } from '../runtime/process.ts'
import { unixRequest } from '../runtime/unix-request.ts'
import { lastStatus, statusFile } from '../server/status-file.ts'
import { compose } from './compose.ts'
import type { Composition, Given } from './compose.ts'
import { controlSocket, loadConfig } from './load-config.ts'
import { withConfig, withExample, withJson } from './options.ts'
import type { ConfigOption, JsonOption } from './options.ts'
import { UMASK } from './run.ts'
import { EXIT, note, printJson, printProblem } from './terminal.ts'
import { ownNow } from './own.ts'
import { stopSignal } from './stop.ts'

type Verb = { name: Asked['kind']; description: string; done: string }

const VERBS: Verb[] = [
  {
    name: 'renew',
    description: 'renew the client certificate now',
    done: 'the client certificate was renewed',
  },
  {
    name: 'reconnect',
    description: 'enrol again with the token that is there, although the identity works',
    done: 'enrolled again',
  },
  {
    name: 'pause',
    description: 'stop changing anything; the identity is renewed all the same',
    done: 'paused',
  },
  { name: 'resume', description: 'end a pause', done: 'resumed' },
]

/** The verbs that act: on the running agent where there is one, else by this process under the agent's lock. */
export function registerControl(program: Command): void {
  const sync = program
    .command('sync')
    .description('fetch everything and bring the targets in step now')
    .option('--once', 'once, which is what it does anyway; `agent run` does it for ever')
  const approve = program
    .command('approve <hash>')
    .description('release the deletions that are held under this hash (agent plan shows them)')
  act(sync, 'agent sync --once', () => ({ kind: 'sync' }), 'in step')
  act(
    approve,
    'agent approve 3f9c0a1b2d4e',
    (hash) => ({ kind: 'approve', hash: hash ?? '' }),
    'approved and done',
  )
  for (const { name, description, done } of VERBS) {
    act(
      program.command(name).description(description),
      `agent ${name}`,
      () => ({ kind: name }) as Asked,
      done,
    )
  }
}

function act(
  command: Command,
  example: string,
  asked: (argument?: string) => Asked,
  done: string,
): void {
  withExample(withJson(withConfig(command)), example).action(async (...args: unknown[]) => {
    const argument = typeof args[0] === 'string' ? args[0] : undefined
    const options = command.opts<ConfigOption & JsonOption>()
    const given = await loadConfig(options.config)
    const what = asked(argument)
    if (what.kind === 'approve' && !/^[0-9a-f]{12}$/.test(what.hash)) {
      throw new AgentError(
        'usage',
        `Cannot approve ${JSON.stringify(what.hash)}: a hash is 12 hex characters`,
      )
    }
    const outcome = await ask(given, what)
    show(outcome, done, options.json === true, what)
  })
}

/** Asks the running agent; without one does it here. */
async function ask(given: Given, asked: Asked): Promise<Outcome> {
  const path = asked.kind === 'approve' ? `/approve/${asked.hash}` : `/${asked.kind}`
  const socket = controlSocket(given.config.identity.directory)
  const answer = await unixRequest(socket, { method: 'POST', path }, new AbortController().signal)
  if (answer === undefined) {
    const pauses = asked.kind === 'pause' || asked.kind === 'resume'
    return pauses ? pauseHere(given, asked.kind === 'pause') : actHere(given, asked)
  }
  if (answer.status === 200) return JSON.parse(answer.body) as TriggerOutcome
  throw new AgentError(
    'internal',
    `Cannot ${asked.kind}: the running agent answered ${answer.status}`,
  )
}

/** Without a loop, which would do all that is due before it obeys. */
async function pauseHere(given: Given, paused: boolean): Promise<Outcome> {
  setUmask(UMASK)
  const composition = await compose(quietly(given), () => [])
  try {
    return await pauseWith(composition, given.config.identity.directory, paused)
  } finally {
    await composition.close()
  }
}

async function pauseWith(
  { deps, log }: Composition,
  directory: string,
  paused: boolean,
): Promise<Outcome> {
  const owned = await ownNow(deps.ownership)
  try {
    await deps.states.save({ ...(await deps.states.load()), paused })
    const last = await lastStatus(directory)
    if (last === undefined) return {}
    const status = { ...last, paused }
    await statusFile(directory, log).report(status, true)
    return { status }
  } finally {
    await owned.release()
  }
}

function quietly(given: Given): Given {
  const { config } = given
  return { ...given, config: { ...config, log: { ...config.log, level: 'error' } } }
}

/** A loop of our own until it has nothing more to do, or is told to stop, under the lock of the agent. */
export async function actHere(given: Given, asked: Asked): Promise<TriggerOutcome> {
  setUmask(UMASK)
  const done = new AbortController()
  const signal = AbortSignal.any([done.signal, stopSignal()])
  const { deps, queue, close } = await compose(quietly(given), ({ log }) => [
    statusFile(given.config.identity.directory, log),
  ])
  let outcome: TriggerOutcome | undefined
  queue.ask({
    ...asked,
    reply: (got) => {
      outcome = got
      done.abort()
    },
  })
  try {
    await runLoop(deps, signal)
  } finally {
    await close()
  }
  if (outcome !== undefined) return outcome
  const message = `Cannot ${asked.kind}: it was told to stop before it began`
  throw new AgentError('interrupted', message)
}

/** `status` is missing where no agent has ever run. */
type Outcome = Partial<TriggerOutcome>

function show({ status, refused }: Outcome, done: string, json: boolean, asked: Asked): void {
  const problems = refused === undefined ? relevant(status, asked) : [refused]
  const changes = asked.kind === 'sync' || asked.kind === 'approve'
  const inVain = problems.length === 0 && changes && status?.paused === true
  if (json) printJson({ problems, status })
  else if (inVain)
    note('agent: paused by an operator, so nothing was changed; agent resume ends it')
  else if (problems.length === 0) note(`agent: ${done}`)
  else problems.forEach(printProblem)
  const locked = refused?.code === 'already_running'
  setExitCode(locked ? EXIT.locked : inVain ? EXIT.person : codeOf(problems, refused !== undefined))
}

/** What concerns the verb: a paused agent has done what was asked for although a label failed. */
function relevant(status: Status | undefined, { kind }: Asked): Problem[] {
  if (status === undefined || kind === 'pause' || kind === 'resume') return []
  const ofIdentity = kind === 'renew' || kind === 'reconnect'
  return ofIdentity ? status.problems.filter(({ code }) => !OF_TARGETS.has(code)) : status.problems
}

function codeOf(problems: Problem[], refused: boolean): number {
  if (problems.length === 0) return EXIT.done
  const person = problems.some(({ code }) => PROBLEMS[code].class === 'operator')
  if (refused) return person ? EXIT.person : EXIT.failed
  const single = problems.every(({ code }) => PARTLY.has(code))
  return single ? EXIT.partly : person ? EXIT.person : EXIT.failed
}

/** Problems of single applications or documents, or deletions that wait for time only: everything else was done. */
const PARTLY: ReadonlySet<string> = new Set([
  'deletions_waiting',
  'application_invalid',
  'name_taken',
  'value_suspect',
  'credentials_unsupported',
  'credentials_missing',
  'configuration_refused',
  'configuration_malformed',
  'hook_failed',
])

/** Problems of what is deployed, which a new identity does not change. */
const OF_TARGETS: ReadonlySet<string> = new Set([
  ...PARTLY,
  'deletions_held',
  'credentials_held',
  'configuration_too_large',
  'configuration_unused',
])
