import type { Command } from 'commander'
import type { Reporter } from '../agent/ports.ts'
import { parseDuration } from '../config/duration.ts'
import type { Plane } from '../devplane/plane.ts'
import type { PlaneEvent } from '../devplane/events.ts'
import { AgentError } from '../model/problem.ts'
import type { Status } from '../model/status.ts'
import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'
import { ensureDirectory, lstat, readText, writeAtomic } from '../runtime/files.ts'
import type { Log } from '../runtime/log.ts'
import { join, relative, resolve } from '../runtime/path.ts'
import { workingDirectory } from '../runtime/process.ts'
import { devConfig } from './dev-config.ts'
import { loadConfig } from './load-config.ts'
import { withExample } from './options.ts'
import { run } from './run.ts'
import { stopSignal } from './stop.ts'
import { note, paint } from './terminal.ts'

type DevOptions = { landscape?: string; state: string; lifetime: string; planeOnly?: boolean }

const DEV_DIRECTORY = '.runtime-agent-dev'

export function registerDev(program: Command): void {
  const command = program
    .command('dev')
    .description('try it out: a development control plane on loopback, and an agent beside it')
    .option(
      '--landscape <file>',
      'what the plane serves; followed while it runs (default: a sample below --state)',
    )
    .option(
      '--state <dir>',
      'where both keep everything; a second start goes on where the first was',
      DEV_DIRECTORY,
    )
    .option(
      '--lifetime <time>',
      'life of client certificates, short so that a renewal can be watched',
      '90s',
    )
    .option('--plane-only', 'only the plane; token, CA and addresses are written below --state')
  withExample(
    command,
    'agent dev',
    'agent dev --landscape my-landscape.yaml --lifetime 10m',
  ).action(dev)
}

async function dev(options: DevOptions): Promise<void> {
  const signal = stopSignal()
  const paths = pathsOf(resolve(workingDirectory(), options.state), options.landscape)
  await ensureDirectory(paths.root, { mode: 0o700 })
  if (options.landscape === undefined) await writeSample(paths.landscape)
  const plane = await openDevPlane(paths, lifetimeOf(options.lifetime))
  try {
    await writeMissing(paths.config, devConfig(plane.runtimeDirectorUrl))
    await writeAtomic(paths.ca, plane.caPem, { mode: 0o644 })
    await writeAtomic(paths.addresses, addressesOf(plane), { mode: 0o600 })
    if (options.planeOnly === true) await servePlane(plane, paths, signal)
    else await serveBoth(plane, paths, signal)
  } finally {
    await plane.close()
    note(
      `\nStopped. The next start goes on from ${shown(paths.root)}; remove that directory to begin anew.`,
    )
  }
}

type Paths = ReturnType<typeof pathsOf>

function pathsOf(root: string, landscape: string | undefined) {
  return {
    root,
    landscape:
      landscape === undefined
        ? join(root, 'landscape.yaml')
        : resolve(workingDirectory(), landscape),
    config: join(root, 'agent.yaml'),
    token: join(root, 'token'),
    ca: join(root, 'ca.pem'),
    addresses: join(root, 'plane.json'),
    plane: join(root, 'plane'),
    identity: join(root, 'state', 'identity', 'current'),
    bindings: join(root, 'out', 'current', 'bindings'),
    configuration: join(root, 'out', 'current', 'config'),
  }
}

function lifetimeOf(text: string): Duration {
  const lifetime = parseDuration(text)
  if (lifetime !== undefined && lifetime >= 10 * SECOND) return lifetime
  throw new AgentError(
    'usage',
    `Cannot use --lifetime ${JSON.stringify(text)}: want at least 10s, as in 90s, 10m or 24h`,
  )
}

/** The plane is loaded only here: it is never on the way of `agent run`. */
async function openDevPlane(paths: Paths, certificate: Duration): Promise<Plane> {
  const { openPlane } = await import('../devplane/plane.ts')
  return openPlane({
    landscape: { file: paths.landscape },
    directory: paths.plane,
    lifetimes: { certificate },
    log: planeLog,
    onEvent: (event) => {
      if (!isPoll(event)) note(paint('grey', eventText(event)))
    },
  })
}

/** What the plane says, beside what it answers: that the landscape has changed, or why it is not taken. */
const planeLog: Log = {
  debug: () => undefined,
  info: (message, fields) => note(paint('grey', `plane   ${message}${valuesOf(fields)}`)),
  warn: (message, fields) => note(paint('yellow', `plane   ${message}${valuesOf(fields)}`)),
  error: (message, fields) => note(paint('red', `plane   ${message}${valuesOf(fields)}`)),
}

function valuesOf(fields: Record<string, unknown> = {}): string {
  const texts = Object.entries(fields).map(([name, value]) => `: ${name} ${String(value)}`)
  return texts.join('')
}

async function writeSample(path: string): Promise<void> {
  const { SAMPLE_LANDSCAPE } = await import('../devplane/landscape-sample.ts')
  await writeMissing(path, SAMPLE_LANDSCAPE)
}

async function writeMissing(path: string, text: string): Promise<void> {
  if ((await readText(path)) === undefined) await writeAtomic(path, text)
}

function addressesOf(plane: Plane): string {
  const { tokenUrl, mtlsConnectorUrl, directorUrl, runtimeDirectorUrl, adminUrl } = plane
  const addresses = { tokenUrl, mtlsConnectorUrl, directorUrl, runtimeDirectorUrl, adminUrl }
  return `${JSON.stringify(addresses, null, 2)}\n`
}

async function servePlane(plane: Plane, paths: Paths, signal: AbortSignal): Promise<void> {
  await writeToken(plane, paths)
  note(`${paint('bold', 'The development control plane is up.')}
  Connector   ${plane.tokenUrl}
  Director    ${plane.directorUrl}
  Runtime Director ${plane.runtimeDirectorUrl}
  admin       ${plane.adminUrl}
  landscape   ${shown(paths.landscape)}
  token       ${shown(paths.token)}   CA ${shown(paths.ca)}
Connect an agent: agent --config ${shown(paths.config)}`)
  await new Promise<void>((done) => {
    if (signal.aborted) done()
    signal.addEventListener('abort', () => done(), { once: true })
  })
}

async function serveBoth(plane: Plane, paths: Paths, signal: AbortSignal): Promise<void> {
  const loaded = await loadConfig(paths.config)
  const { listen } = loaded.config.status
  note(`${paint('bold', 'A development control plane and an agent beside it. Ctrl-C stops both.')}
  status page ${listen === undefined ? 'off' : paint('bold', `http://${listen.host}:${listen.port}/`)}
  bindings    ${shown(paths.bindings)}
  config      ${shown(paths.configuration)}   what the Runtime Director has for it
  landscape   ${shown(paths.landscape)}   edit and save it, and watch
  agent.yaml  ${shown(paths.config)}
  admin       ${plane.adminUrl}   knobs to make things go wrong
`)
  // The first token is there before the agent looks; later ones come when it asks.
  if ((await lstat(paths.identity)) === undefined) await writeToken(plane, paths)
  await run(loaded, signal, { reporters: [tokenGiver(plane, paths)] })
}

/** Does what an operator would: puts a new token in place whenever the agent needs one. */
function tokenGiver(plane: Plane, paths: Paths): Reporter {
  return {
    async report(status: Status, final: boolean) {
      const needy = status.identity?.condition !== 'valid'
      const used = status.token === 'none' || status.token === 'spent' || status.token === 'refused'
      if (needy && used && !final) await writeToken(plane, paths)
    },
  }
}

async function writeToken(plane: Plane, paths: Paths): Promise<void> {
  const { rawEncoded } = await plane.issueToken()
  await writeAtomic(paths.token, `${rawEncoded}\n`)
  note(paint('grey', `plane   a new one-time token is in ${shown(paths.token)}`))
}

/** A poll that is answered as ever, every few seconds: it would bury everything else. */
function isPoll({ operations, status, knobs }: PlaneEvent): boolean {
  const isAsEver =
    (operations.includes('applications') && status === 200) ||
    (operations.includes('fetch') && status === 304)
  return isAsEver && knobs.length === 0
}

function eventText(event: PlaneEvent): string {
  const what = event.operations.join(', ')
  const knobs = event.knobs.length === 0 ? '' : `, knobs: ${event.knobs.join(', ')}`
  const certificate =
    event.fingerprint === undefined ? 'token' : `certificate ${event.fingerprint.slice(0, 8)}`
  return `plane   ${what} (${certificate}) -> ${event.status ?? 'no answer'}, ${event.bytes} bytes${knobs}`
}

function shown(path: string): string {
  const short = relative(workingDirectory(), path)
  return short.startsWith('..') ? path : short
}
