/** The units of docs/consume.md, as they are: each is told of its own changes, once, and of no other. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../scripts/repository.ts'
import { SLOW, until } from '../e2e/support/program.ts'
import { canBoot, FIRST_BOOT, onDebian } from './support/debian.ts'
import { IN_STEP, OUTPUT, serviceInStep } from './support/host.ts'
import type { Host } from './support/host.ts'

let host: Host

/** Applications by number, in place of those that the page names; the last one is in nobody's pattern. */
const CRM = 0
const ERP = 1
const OTHER = 2

const EXAMPLES = join(ROOT, 'deploy/systemd/examples')
const units = readdirSync(EXAMPLES).filter((name) => name.endsWith('.service'))

/**
 * /usr/local/bin/orders: prints which passwords it finds in the way that its unit has, at its start and at SIGHUP. A
 * password of the landscape is `begin vm app <application> <turn> xxx end`.
 */
const ORDERS = `#!/bin/sh
passwords() {
  if [ -n "$SERVICE_BINDING_ROOT" ]; then cat "$SERVICE_BINDING_ROOT"/*/password
  elif [ -n "$CREDENTIALS_DIRECTORY" ]; then cat "$CREDENTIALS_DIRECTORY/orders_password"
  elif [ -n "$VCAP_SERVICES_FILE_PATH" ]; then cat "$VCAP_SERVICES_FILE_PATH"
  else env
  fi
}
look() {
  echo saw $(passwords | grep -o 'begin vm app [0-9]* [0-9]* x* end' | sed 's/begin vm app \\([0-9]*\\) \\([0-9]*\\) .*/\\1:\\2/' | sort)
}
trap look HUP
look
while :; do sleep 1 & wait $!; done
`

beforeAll(async () => {
  if (!canBoot) return
  // What bindings are called, which units and commands name, comes from the Director.
  const files = { kind: 'files', directory: OUTPUT }
  host = await serviceInStep({ targets: [files] }, 3)
  const name = readdirSync(host.path(`${OUTPUT}/current/bindings`)).find((one) =>
    one.startsWith(`ucl-mp-vm-app-${CRM}-orders-`),
  )
  const here = (file: string): string =>
    readFileSync(join(EXAMPLES, file), 'utf8')
      .replaceAll('ucl-crm-orders-1a2b3c4d', name!)
      .replaceAll('ucl-crm-*', `ucl-mp-vm-app-${CRM}-*`)
      .replaceAll('ucl-erp-*', `ucl-mp-vm-app-${ERP}-*`)
  for (const unit of units) writeFileSync(host.path(`/etc/systemd/system/${unit}`), here(unit))
  writeFileSync(host.path('/usr/local/bin/orders'), ORDERS, { mode: 0o755 })
  const { targets } = Bun.YAML.parse(here('agent.yaml')) as { targets: [{ onChange: object[] }] }
  targets[0].onChange.push({
    bindings: [`ucl-mp-vm-app-${OTHER}-*`],
    command: ['sh', '-c', 'echo begun >>/var/log/slow; sleep 2; echo ended >>/var/log/slow'],
  })
  host.configure({ targets })
  await host.must('agent install systemd; systemctl restart runtime-agent')
  await host.status(IN_STEP)
  await host.must(`systemctl daemon-reload; systemctl enable --now ${units.join(' ')}`)
}, FIRST_BOOT)

afterAll(async () => {
  if (canBoot) await host.close()
}, SLOW)

/** All that the program of a unit has printed in this boot: what it saw, each time that it looked. */
async function seen(unit: string): Promise<string[]> {
  return (await host.must(`journalctl --no-pager --boot -o cat -t orders -u ${unit}`)).split('\n')
}

const all = async (): Promise<Record<string, string[]>> =>
  Object.fromEntries(await Promise.all(units.map(async (unit) => [unit, await seen(unit)])))

const slowSeen = (): string[] => {
  const file = host.path('/var/log/slow')
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
}

const requests = (): string[] => readdirSync(host.path('/var/lib/runtime-agent/state/hooks'))

/** Nothing is asked for and nothing runs. */
async function quiet(): Promise<void> {
  await until('all commands have run', async () => {
    const { ActiveState } = await host.show('runtime-agent-hooks.service', 'ActiveState')
    return requests().length === 0 && ActiveState === 'inactive'
  })
}

/** Rotates the password of an application; how often each unit has looked since, until all is quiet again. */
async function rotated(application: number, turn: number): Promise<Record<string, number>> {
  const before = await all()
  await host.rotate(turn, application)
  await until('the one who is told of everything is told', async () =>
    (await seen('vcap-services.service')).at(-1)!.includes(`${application}:${turn}`),
  )
  await quiet()
  const after = await all()
  const looks = units.map((unit) => [unit, after[unit]!.length - before[unit]!.length] as const)
  return Object.fromEntries(looks)
}

const mainPid = async (unit: string): Promise<string> => (await host.show(unit, 'MainPID')).MainPID

describe('the units of docs/consume.md', () => {
  onDebian(
    'find their bindings at their start',
    async () => {
      await until('all have started', async () =>
        Object.values(await all()).every(([first]) => first !== ''),
      )
      expect(await all()).toEqual({
        'binding-root.service': ['saw 0:0 1:0 2:0'],
        'environment-file.service': ['saw 0:0'],
        'load-credential.service': ['saw 0:0'],
        'vcap-services.service': ['saw 0:0 1:0 2:0'],
      })
    },
    SLOW,
  )

  onDebian(
    'are told once of a rotated password of theirs, by a restart, or by a reload where that is enough',
    async () => {
      const process = await mainPid('binding-root.service')
      const at = performance.now()
      expect(await rotated(CRM, 5)).toEqual({
        'binding-root.service': 1,
        'environment-file.service': 1,
        'load-credential.service': 1,
        'vcap-services.service': 1,
      })
      console.log(`  all were told ${(performance.now() - at).toFixed(0)} ms after the rotation`)
      expect(await mainPid('binding-root.service')).toBe(process)
      for (const [unit, lines] of Object.entries(await all()))
        expect([unit, lines.at(-1)]).toEqual([unit, expect.stringContaining('0:5')])
    },
    SLOW,
  )

  onDebian(
    'are not told of what others read',
    async () => {
      const nobody = Object.fromEntries(units.map((unit) => [unit, 0]))
      expect(await rotated(ERP, 6)).toEqual({
        ...nobody,
        'binding-root.service': 1,
        'vcap-services.service': 1,
      })
      expect(await rotated(OTHER, 1)).toEqual({ ...nobody, 'vcap-services.service': 1 })
    },
    SLOW,
  )

  onDebian(
    'have the last password after a hail of rotations',
    async () => {
      const before = (await seen('environment-file.service')).length
      for (let turn = 10; turn < 19; turn++) {
        await host.rotate(turn, CRM)
        await Bun.sleep(100)
      }
      await rotated(CRM, 19)
      const after = await seen('environment-file.service')
      expect(after.at(-1)).toBe('saw 0:19')
      expect(after.length - before).toBeLessThanOrEqual(10)
    },
    SLOW,
  )
})

describe('a command of onChange', () => {
  onDebian(
    'runs again when it is killed with the one that runs it',
    async () => {
      const before = slowSeen().length
      await host.rotate(2, OTHER)
      await until('it has begun', () => slowSeen().length > before)
      await host.must('systemctl kill --kill-whom=all --signal=KILL runtime-agent-hooks.service')
      await until('it has ended', () => slowSeen().slice(before).includes('ended'))
      await quiet()
      expect(slowSeen().slice(before)).toEqual(['begun', 'begun', 'ended'])
    },
    SLOW,
  )

  onDebian(
    'that was still to run when the machine went down runs at the next boot, where all units come up again',
    async () => {
      const before = slowSeen().length
      await host.must('systemctl mask --runtime runtime-agent-hooks.service')
      await host.rotate(3, OTHER)
      await until('it is asked for', () => requests().length > 0)
      await host.reboot()
      await until('it has run', () => slowSeen().slice(before).includes('ended'))
      await quiet()
      expect(slowSeen().slice(before)).toEqual(['begun', 'ended'])
      await host.status(IN_STEP)
      expect((await seen('load-credential.service')).at(-1)).toBe('saw 0:19')
      expect((await seen('binding-root.service')).at(-1)).toBe('saw 0:19 1:6 2:3')
    },
    SLOW,
  )
})
