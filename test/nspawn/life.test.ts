/** The service of `agent install systemd` on a Debian that was never used: from its first start to a reboot. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { seenIn } from '../e2e/support/bindings.ts'
import { expectedFor } from '../e2e/support/landscape.ts'
import { SLOW, until } from '../e2e/support/program.ts'
import { canBoot, FIRST_BOOT, onDebian } from './support/debian.ts'
import {
  bringFiles,
  IN_STEP,
  openHost,
  OUTPUT,
  RUNTIME,
  serviceInStep,
  UNIT,
} from './support/host.ts'
import type { Host } from './support/host.ts'

let host: Host
/** Another host, whose agent hangs while the other tests run. */
let stuck: Promise<{ host: Host; identity: string; after: number }> | undefined

beforeAll(async () => {
  if (!canBoot) return
  host = await openHost()
  stuck = hang()
  // Told by the test that awaits it.
  stuck.catch(() => undefined)
}, FIRST_BOOT)

afterAll(async () => {
  if (!canBoot) return
  const hung = await stuck?.catch(() => undefined)
  await hung?.host.close()
  await host.close()
}, 2 * SLOW)

async function hang(): Promise<{ host: Host; identity: string; after: number }> {
  const other = await serviceInStep()
  const identity = await other.identity()
  const { MainPID } = await other.show(UNIT, 'MainPID')
  await other.must(`kill -STOP ${MainPID}`)
  const at = performance.now()
  await until(
    'another process is ready',
    async () => {
      const now = await other.show(UNIT, 'MainPID', 'ActiveState')
      return now.ActiveState === 'active' && now.MainPID !== MainPID && now.MainPID !== '0'
    },
    90_000,
  )
  return { host: other, identity, after: performance.now() - at }
}

const CONFIG = '/etc/runtime-agent/agent.yaml'

const mainPid = async (): Promise<string> => (await host.show(UNIT, 'MainPID')).MainPID

const allBindings = (): void =>
  expect(seenIn(host.path(OUTPUT))).toEqual(expectedFor(RUNTIME, host.landscape))

describe('the first start', () => {
  onDebian(
    'a fresh Debian says "Idle, n applications" within ten seconds after the download',
    async () => {
      await bringFiles(host)
      host.configure()
      const stdin = await host.token()
      const at = performance.now()
      await host.must(
        `install -m 755 dist/agent-linux-x64 /usr/local/bin/agent
         agent install systemd
         install -m 640 -g runtime-agent /dev/stdin /etc/runtime-agent/token
         systemctl enable --now runtime-agent`,
        { stdin },
      )
      await host.status(IN_STEP)
      const took = performance.now() - at
      console.log(`  a fresh Debian was idle after ${took.toFixed(0)} ms`)
      expect(took).toBeLessThan(10_000)
      allBindings()
    },
    SLOW,
  )

  onDebian(
    'root sees what it does and would do, and leaves nothing of root behind',
    async () => {
      const config = '--config /etc/runtime-agent/agent.yaml'
      expect(await host.must(`agent status ${config}`)).toContain('idle: nothing is due  (running)')
      expect(await host.must(`agent plan ${config}`)).toContain('nothing to change')
      expect(await host.must('find /var/lib/runtime-agent -user root')).toBe('')
    },
    SLOW,
  )

  onDebian(
    'systemd knows it as ready, watched, and enabled, and has nothing to complain about',
    async () => {
      const shown = ['Type', 'ActiveState', 'WatchdogUSec', 'UnitFileState', 'NRestarts'] as const
      expect(await host.show(UNIT, ...shown)).toEqual({
        Type: 'notify',
        ActiveState: 'active',
        WatchdogUSec: '1min',
        UnitFileState: 'enabled',
        NRestarts: '0',
      })
      expect(await host.must('systemctl list-units --failed --plain --no-legend')).toBe('')
      const units = '/etc/systemd/system/runtime-agent*'
      expect((await host.run(`systemd-analyze verify ${units}`)).err).toBe('')
      // What it reads as warnings, it writes to the journal.
      expect(await host.must(`journalctl --no-pager -q -p warning -u 'runtime-agent*'`)).toBe('')
    },
    SLOW,
  )

  onDebian(
    'consumers that order after runtime-agent-online.service start with bindings',
    async () => {
      writeFileSync(
        host.path('/etc/systemd/system/consumer.service'),
        `[Unit]
Wants=runtime-agent-online.service
After=runtime-agent-online.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ls ${OUTPUT}/current/bindings
`,
      )
      await host.must('systemctl daemon-reload; systemctl start consumer')
      expect(await host.must('journalctl --no-pager -o cat -u consumer')).toContain('ucl-mp-vm')
    },
    SLOW,
  )
})

describe('the sandbox', () => {
  onDebian(
    'is in force: no capabilities, no new privileges, filtered calls, and nothing else to write',
    async () => {
      const pid = await mainPid()
      const status = await host.must(`cat /proc/${pid}/status`)
      const field = (name: string): string =>
        new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? ''
      for (const set of ['CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'CapInh'])
        expect(Number.parseInt(field(set), 16)).toBe(0)
      expect(field('NoNewPrivs')).toBe('1')
      expect(field('Seccomp')).toBe('2')
      expect(field('Uid')).toBe(await host.must('id -u runtime-agent'))
      // As its user would, in the service's own view of the files; what any service has of its own is left out.
      const user = '--reuid=runtime-agent --regid=runtime-agent --clear-groups'
      const pruned = '-path /proc -prune -o -path /sys -prune -o -path /dev -prune'
      const seen = await host.run(
        `nsenter --target ${pid} --mount -- setpriv ${user} find / ${pruned} -o -type d -writable -print`,
      )
      const writable = seen.out.split('\n').filter((line) => line !== '')
      const foreign = writable.filter((path) => !path.startsWith('/var/lib/runtime-agent'))
      expect(foreign.filter((path) => !['/tmp', '/var/tmp', '/run/lock'].includes(path))).toEqual(
        [],
      )
      expect(writable).toContain('/var/lib/runtime-agent/state')
      // Nor could root.
      for (const directory of [
        '/etc',
        '/usr/local/bin',
        '/var/lib',
        '/opt',
        '/etc/runtime-agent',
      ]) {
        const probe = `nsenter --target ${pid} --mount -- touch ${directory}/probe`
        expect((await host.run(probe)).err).toContain('Read-only file system')
      }
      expect(
        (await host.run(`nsenter --target ${pid} --mount -- ls -A /root /home`)).out,
      ).not.toContain('dist')
    },
    SLOW,
  )

  onDebian(
    'leaves an exposure of at most 1.3',
    async () => {
      for (const unit of [UNIT, 'runtime-agent-online.service']) {
        const said = await host.must(`systemd-analyze security --no-pager ${unit}`)
        const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(said)?.[1])
        expect(exposure).toBeLessThanOrEqual(1.3)
      }
    },
    SLOW,
  )
})

describe('a service that runs', () => {
  onDebian(
    'is back after kill -9, as who it was',
    async () => {
      const identity = await host.identity()
      for (let round = 0; round < 5; round++) {
        const before = await mainPid()
        await host.must(`kill -9 ${before}`)
        await until('another process is ready', async () => {
          const { MainPID, ActiveState } = await host.show(UNIT, 'MainPID', 'ActiveState')
          return ActiveState === 'active' && MainPID !== before
        })
      }
      await host.status(IN_STEP)
      expect(await host.identity()).toBe(identity)
      expect(await host.signings()).toBe(1)
      allBindings()
    },
    SLOW,
  )

  onDebian(
    'takes a new agent.yaml at systemctl reload, and keeps the old one over a bad one, which it tells',
    async () => {
      const before = await mainPid()
      const other = '/var/lib/runtime-agent/other'
      host.configure({ targets: [{ kind: 'files', directory: other }] })
      await host.must('systemctl reload runtime-agent')
      // It cannot make such a directory itself, and says who does.
      await host.status(/problem: .*other/)
      expect(await host.must(`agent status --config ${CONFIG}`)).toContain('agent install systemd')
      await host.must('agent install systemd; systemctl reload runtime-agent')
      await host.status(IN_STEP)
      expect(seenIn(host.path(other))).toEqual(expectedFor(RUNTIME, host.landscape))
      host.configure({ targets: 7 })
      await host.must('systemctl reload runtime-agent')
      await host.status(/problem: .*agent\.yaml/)
      host.configure()
      await host.must('systemctl reload runtime-agent')
      await host.status(IN_STEP)
      expect(await mainPid()).toBe(before)
      expect(await host.signings()).toBe(1)
    },
    SLOW,
  )

  onDebian(
    'stops within five seconds in the middle of a request, and is not started again',
    async () => {
      await host.plane.set({ delay: { value: 60_000, operation: 'applications' } })
      await host.status(/^Sync/)
      const at = performance.now()
      await host.must('systemctl stop runtime-agent')
      const took = performance.now() - at
      console.log(`  stopped after ${took.toFixed(0)} ms`)
      expect(took).toBeLessThan(5000)
      const shown = await host.show(UNIT, 'ActiveState', 'Result', 'ExecMainStatus')
      expect(shown).toEqual({ ActiveState: 'inactive', Result: 'success', ExecMainStatus: '0' })
      await host.plane.reset()
      await host.must('systemctl start runtime-agent')
      await host.status(IN_STEP)
    },
    SLOW,
  )

  onDebian(
    'comes back with the machine, as who it was',
    async () => {
      const identity = await host.identity()
      await host.must('rm /etc/runtime-agent/token')
      await host.reboot()
      await host.status(IN_STEP)
      expect(await host.identity()).toBe(identity)
      expect(await host.signings()).toBe(1)
      allBindings()
    },
    SLOW,
  )

  onDebian(
    'is ready 300 ms after its start, without a network, as it has an identity',
    async () => {
      await host.plane.close()
      const times: number[] = []
      for (let round = 0; round < 9; round++) {
        await host.must('systemctl restart runtime-agent')
        const [from, to] = [
          'ExecMainStartTimestampMonotonic',
          'ActiveEnterTimestampMonotonic',
        ] as const
        const shown = await host.show(UNIT, from, to)
        times.push((Number(shown[to]) - Number(shown[from])) / 1000)
      }
      const median = times.sort((a, b) => a - b)[4]!
      console.log(`  ready ${median.toFixed(0)} ms after its start (median of ${times.length})`)
      expect(median).toBeLessThan(300)
      expect(await host.must(`agent status --config ${CONFIG}`)).toContain('idle')
    },
    SLOW,
  )
})

describe('the watchdog', () => {
  onDebian(
    'starts an agent that is stuck anew within 75 seconds, as who it was',
    async () => {
      const hung = await stuck!
      console.log(`  restarted after ${(hung.after / 1000).toFixed(0)} s`)
      expect(hung.after).toBeLessThan(75_000)
      await hung.host.status(IN_STEP)
      const { NRestarts } = await hung.host.show(UNIT, 'NRestarts')
      expect(NRestarts).toBe('1')
      expect(await hung.host.must(`journalctl --no-pager -u ${UNIT}`)).toContain('Watchdog timeout')
      expect(await hung.host.identity()).toBe(hung.identity)
      expect(await hung.host.signings()).toBe(1)
    },
    2 * SLOW,
  )
})
