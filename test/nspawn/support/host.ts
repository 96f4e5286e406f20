/** A fresh Debian with a control plane beside it, and the agent's service in it. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../../scripts/repository.ts'
import { landscapeFor, parsed } from '../../e2e/support/landscape.ts'
import type { LandscapeFile } from '../../e2e/support/landscape.ts'
import { ensureExecutable, executable, until } from '../../e2e/support/program.ts'
import { rotate } from '../../soak/support/world.ts'
import { bootGuest } from './guest.ts'
import type { Guest } from './guest.ts'
import { openLoopback } from './loopback.ts'
import type { Loopback } from './loopback.ts'

export const UNIT = 'runtime-agent.service'
export const OUTPUT = '/var/lib/runtime-agent/out'

export type Host = Guest & {
  readonly plane: Loopback
  /** What the plane began with: {@link RUNTIME} and its applications. */
  readonly landscape: LandscapeFile
  /** Everything that a person has to give. */
  token(): Promise<string>
  /** Puts a token where the service looks for it, as docs/systemd.md does. */
  giveToken(): Promise<void>
  /** Writes agent.yaml (JSON is YAML) over one that looks at the Director every second. */
  configure(change?: Record<string, unknown>): void
  /** Properties of a unit, as systemd tells them. */
  show<P extends string>(unit: string, ...properties: P[]): Promise<Record<P, string>>
  /** Serves other passwords, of all applications or of the one of this number. */
  rotate(turn: number, index?: number): Promise<void>
  /** Waits until what `systemctl status` shows of the agent fits. */
  status(fits: RegExp, limit?: number): Promise<string>
  /** Fingerprint of the certificate that the agent has. */
  identity(): Promise<string>
  /** Certificates that the Connector has signed so far, one for each token that was spent, and each renewal. */
  signings(): Promise<number>
}

export const RUNTIME = 'vm'
/** What `systemctl status` shows of an agent in step. */
export const IN_STEP = /^Idle, \d+ applications?, certificate valid for \d+ days$/

/** `files`: a directory of this machine that the guest can download from. */
export async function openHost({
  files = ROOT,
  applications = 2,
}: { files?: string; applications?: number } = {}): Promise<Host> {
  const landscape = landscapeFor([RUNTIME], applications)
  for (const application of landscape.applications) rotate(application, 0)
  const guest = await bootGuest()
  const plane = await openLoopback(guest, { directory: files, landscape: parsed(landscape) })
  // As a company's own authority gets there.
  const authorities = '/usr/local/share/ca-certificates'
  writeFileSync(guest.path(`${authorities}/plane.crt`), plane.caPem)
  await guest.must('update-ca-certificates')
  const token = async (): Promise<string> =>
    (await plane.issueToken({ runtime: RUNTIME })).rawEncoded
  const show: Host['show'] = async (unit, ...properties) => {
    const said = await guest.must(`systemctl show ${unit} --property=${properties.join(',')}`)
    return Object.fromEntries(
      said.split('\n').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]),
    ) as Awaited<ReturnType<Host['show']>>
  }
  return {
    ...guest,
    plane,
    landscape,
    token,
    async giveToken() {
      const place = '/etc/runtime-agent/token'
      const stdin = await token()
      await guest.must(`install -m 640 -g runtime-agent /dev/stdin ${place}`, { stdin })
    },
    configure(change = {}) {
      mkdirSync(guest.path('/etc/runtime-agent'), { recursive: true })
      const config = {
        version: 1,
        connector: { token: { file: '/etc/runtime-agent/token' } },
        director: { interval: '1s' },
        targets: [{ kind: 'files', directory: OUTPUT }],
      }
      writeFileSync(
        guest.path('/etc/runtime-agent/agent.yaml'),
        JSON.stringify({ ...config, ...change }),
      )
    },
    show,
    async rotate(turn, index) {
      const chosen = index === undefined ? landscape.applications : [landscape.applications[index]!]
      for (const application of chosen) rotate(application, turn)
      await plane.replace(parsed(landscape))
    },
    async status(fits, limit) {
      let text = ''
      const look = async (): Promise<boolean> => {
        text = (await show(UNIT, 'StatusText')).StatusText
        return fits.test(text)
      }
      await until('the agent says what is expected', look, limit).catch(async (thrown: unknown) => {
        const { out } = await guest.run(`journalctl --no-pager -n 30 -u ${UNIT}`)
        throw new Error(`${String(thrown)}\nit says: ${text}, want ${String(fits)}\n${out}`)
      })
      return text
    },
    identity: () =>
      guest.must(
        'openssl x509 -noout -fingerprint -in /var/lib/runtime-agent/state/identity/current/chain.pem',
      ),
    async signings() {
      const all = await plane.events()
      return all.filter(({ operations }) => operations.includes('sign')).length
    },
    async close() {
      await plane.close()
      await guest.close()
    },
  }
}

/** Puts there what docs/systemd.md installs from, as a person has it in the working directory. */
export async function bringFiles(guest: Guest): Promise<void> {
  await ensureExecutable()
  for (const directory of ['dist', 'deploy']) mkdirSync(guest.path(`/root/${directory}`))
  copyFileSync(executable(), guest.path('/root/dist/agent-linux-x64'))
  const example = 'deploy/agent.example.yaml'
  copyFileSync(join(ROOT, example), guest.path(`/root/${example}`))
}

/** A host whose service runs and is in step; `config` as {@link Host.configure} has it. */
export async function serviceInStep(
  config: Record<string, unknown> = {},
  applications?: number,
): Promise<Host> {
  const host = await openHost(applications === undefined ? {} : { applications })
  await bringFiles(host)
  host.configure(config)
  await host.must('install -m 755 dist/agent-linux-x64 /usr/local/bin/agent')
  await host.must('agent install systemd')
  await host.giveToken()
  await host.must('systemctl enable --now runtime-agent')
  await host.status(IN_STEP)
  return host
}
