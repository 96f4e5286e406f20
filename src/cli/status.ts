import type { Command } from 'commander'
import { Option } from 'commander'
import type { Config } from '../config/config.ts'
import { AgentError } from '../model/problem.ts'
import type { Status } from '../model/status.ts'
import { SECOND } from '../model/time.ts'
import { systemClock } from '../runtime/clock.ts'
import { openHttp } from '../runtime/http.ts'
import { NO_PROXY } from '../runtime/proxy.ts'
import { setExitCode } from '../runtime/process.ts'
import { unixRequest } from '../runtime/unix-request.ts'
import { readiness } from '../server/status-app.ts'
import { lastStatus, reviveStatus } from '../server/status-file.ts'
import { controlSocket, loadConfig } from './load-config.ts'
import { withConfig, withExample, withJson } from './options.ts'
import type { ConfigOption, JsonOption } from './options.ts'
import { statusText } from './status-text.ts'
import { EXIT, note, print, printJson } from './terminal.ts'

type StatusOptions = ConfigOption &
  JsonOption & { check?: boolean; wait?: 'identity' | 'ready'; timeout: string }

export function registerStatus(program: Command): void {
  const command = program
    .command('status')
    .description('show what the agent does, has, and needs; works without a running agent too')
    .option('--check', 'print nothing; exit 0 when the agent runs and is ready')
    .addOption(new Option('--wait <what>', 'wait until it is there').choices(['identity', 'ready']))
    .option('--timeout <seconds>', 'how long --wait waits', '90')
  withExample(withJson(withConfig(command)), 'agent status', 'agent status --wait=identity').action(
    async (options: StatusOptions) => {
      const { config } = await loadConfig(options.config)
      if (options.wait !== undefined) return wait(config, options.wait, secondsOf(options.timeout))
      if (options.check === true) {
        setExitCode(await checked(config))
        return
      }
      const { status, live } = await readStatus(config)
      if (options.json === true) printJson(status)
      else print(statusText(status, systemClock.now(), live))
    },
  )
}

function secondsOf(text: string): number {
  const seconds = Number(text)
  if (seconds > 0 && Number.isFinite(seconds)) return seconds
  throw new AgentError('usage', `Cannot wait ${JSON.stringify(text)}: want seconds, as in 90`)
}

/** For probes and scripts: says nothing, whatever is found. */
async function checked(config: Config): Promise<number> {
  const seen = await readStatus(config).catch(() => undefined)
  return seen?.live === true && readiness(seen.status).ready ? EXIT.done : EXIT.failed
}

/** From the running agent, else as the last one left it. */
async function readStatus(config: Config): Promise<{ status: Status; live: boolean }> {
  const { directory } = config.identity
  const signal = AbortSignal.timeout(10 * SECOND)
  const answer = await unixRequest(
    controlSocket(directory),
    { method: 'GET', path: '/status' },
    signal,
  )
  if (answer?.status === 200) return { status: reviveStatus(answer.body), live: true }
  const over = await statusOverTcp(config, signal)
  if (over !== undefined) return { status: over, live: true }
  const last = await lastStatus(directory)
  if (last !== undefined) return { status: last, live: false }
  throw new AgentError(
    'state_unusable',
    `Cannot show the status: no agent runs, and none has left a status in ${directory}`,
    {
      hint: 'start one: agent run --config agent.yaml',
    },
  )
}

/** In a pod whose root cannot be written there is no socket, but the status is served to everybody in it. */
async function statusOverTcp(config: Config, signal: AbortSignal): Promise<Status | undefined> {
  const { identity, status } = config
  if (identity.store === 'disk' || status.listen === undefined) return undefined
  const { host, port } = status.listen
  const own = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  const name = own.includes(':') ? `[${own}]` : own
  const http = openHttp({ tls: {}, proxy: NO_PROXY })
  try {
    const answer = await http.fetch(`http://${name}:${port}/status`, { signal })
    const body = await answer.text()
    return answer.status === 200 ? reviveStatus(body) : undefined
  } catch {
    return undefined
  } finally {
    await http.close()
  }
}

async function wait(config: Config, what: 'identity' | 'ready', seconds: number): Promise<void> {
  const until = systemClock.now() + seconds * SECOND
  while (systemClock.now() < until) {
    const seen = await readStatus(config).catch(() => undefined)
    const there =
      what === 'ready'
        ? readiness(seen?.status).ready
        : seen?.status.identity?.condition === 'valid'
    if (seen?.live === true && there) return
    await systemClock.sleep(SECOND / 4, new AbortController().signal)
  }
  note(`agent: error: there is no ${what} yet after ${seconds} s`)
  setExitCode(EXIT.failed)
}
