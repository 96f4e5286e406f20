/** Services that use bindings, as docs/systemd.md has them: each is told of its own changes, once, and of no other. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SLOW, until } from '../e2e/support/program.ts'
import { canBoot, FIRST_BOOT, onDebian } from './support/debian.ts'
import { IN_STEP, OUTPUT, serviceInStep } from './support/host.ts'
import type { Host } from './support/host.ts'

let host: Host

/** Applications by number; each has a consumer of another kind. */
const ENVIRONMENT = 0
const CREDENTIAL = 1
const ROOT_VARIABLE = 2
const SLOW_COMMAND = 3

const changed = (index: number, command: string[]) => ({
  bindings: [`ucl-mp-vm-app-${index}-orders-*`],
  command,
})

const reload = (unit: string): string[] => ['systemctl', 'try-reload-or-restart', unit]

beforeAll(async () => {
  if (!canBoot) return
  const files = {
    kind: 'files',
    directory: OUTPUT,
    env: true,
    onChange: [
      changed(ENVIRONMENT, reload('environment.service')),
      changed(CREDENTIAL, reload('credential.service')),
      changed(ROOT_VARIABLE, reload('root-variable.service')),
      changed(SLOW_COMMAND, [
        'sh',
        '-c',
        'echo begun >>/var/log/slow; sleep 2; echo ended >>/var/log/slow',
      ]),
    ],
  }
  // Names of bindings, which units and commands need, come from the Director.
  host = await serviceInStep({ targets: [{ ...files, onChange: [] }] }, 5)
  await host.must('mkdir -p /var/log/consumers')
  const current = `${OUTPUT}/current`
  const variable = `${binding(ENVIRONMENT)}_PASSWORD`.replace(/[^A-Za-z0-9]/g, '_').toUpperCase()
  consumer('environment', {
    setting: `EnvironmentFile=${current}/env/${binding(ENVIRONMENT)}.env`,
    password: `printf "%%s" "$$${variable}"`,
  })
  consumer('credential', {
    setting: `LoadCredential=binding:${current}/bindings/${binding(CREDENTIAL)}`,
    password: 'cat "$$CREDENTIALS_DIRECTORY/binding_password"',
  })
  consumer('root-variable', {
    setting: `Environment=SERVICE_BINDING_ROOT=${current}/bindings`,
    password: `cat "$$SERVICE_BINDING_ROOT/${binding(ROOT_VARIABLE)}/password"`,
  })
  await host.must('systemctl daemon-reload; systemctl start environment credential root-variable')
  host.configure({ targets: [files] })
  await host.must('systemctl reload runtime-agent')
  await host.status(IN_STEP)
}, FIRST_BOOT)

afterAll(async () => {
  if (canBoot) await host.close()
}, SLOW)

/** Name of the binding that has a password. */
function binding(index: number): string {
  const all = readdirSync(host.path(`${OUTPUT}/current/bindings`))
  const found = all.find((name) => name.startsWith(`ucl-mp-vm-app-${index}-orders-`))
  if (found === undefined) throw new Error(`no binding of application ${index} in ${all.join(' ')}`)
  return found
}

/** A service that notes the password that it finds when it starts, in a line of its own. */
function consumer(
  name: string,
  { setting, password }: { setting: string; password: string },
): void {
  writeFileSync(
    host.path(`/etc/systemd/system/${name}.service`),
    `[Unit]
Wants=runtime-agent-online.service
After=runtime-agent-online.service
[Service]
${setting}
ExecStart=/bin/sh -c '${password} >>/var/log/consumers/${name}; echo >>/var/log/consumers/${name}; exec sleep infinity'
`,
  )
}

const lines = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []

/** What the passwords are that a consumer has found, one for each start: the turn of each. */
const seen = (name: string): string[] =>
  lines(host.path(`/var/log/consumers/${name}`)).map(
    (line) => /^begin vm app \d (\d+) x+ end$/.exec(line)?.[1] ?? line,
  )

const slowSeen = (): string[] => lines(host.path('/var/log/slow'))

const requests = (): string[] => readdirSync(host.path('/var/lib/runtime-agent/state/hooks'))

/** Nothing is asked for and nothing runs. */
async function quiet(): Promise<void> {
  await until('all commands have run', async () => {
    const { ActiveState } = await host.show('runtime-agent-hooks.service', 'ActiveState')
    return requests().length === 0 && ActiveState === 'inactive'
  })
}

describe('a consumer', () => {
  onDebian(
    'finds its binding at its start, as EnvironmentFile, as LoadCredential and under SERVICE_BINDING_ROOT',
    async () => {
      for (const name of ['environment', 'credential', 'root-variable'])
        await until(`${name} has started`, () => seen(name).length > 0)
      await quiet()
      expect(seen('environment')).toEqual(['0'])
      expect(seen('credential')).toEqual(['0'])
      expect(seen('root-variable')).toEqual(['0'])
    },
    SLOW,
  )

  onDebian.each([
    ['environment', ENVIRONMENT],
    ['credential', CREDENTIAL],
    ['root-variable', ROOT_VARIABLE],
  ] as const)(
    '%s is restarted once when its password is rotated, and no other is',
    async (name, index) => {
      const names = ['environment', 'credential', 'root-variable']
      const before = Object.fromEntries(names.map((one) => [one, seen(one)]))
      const at = performance.now()
      await host.rotate(7, index)
      await until('it has the new one', () => seen(name).at(-1) === '7')
      console.log(
        `  ${name}: from the rotation to the restart ${(performance.now() - at).toFixed(0)} ms`,
      )
      await quiet()
      // A further pass of the agent finds nothing to tell.
      await host.rotate(1, 4)
      await until('another application has changed', () =>
        readFileSync(
          join(host.path(`${OUTPUT}/current/bindings`), binding(4), 'password'),
          'utf8',
        ).includes('app 4 1 '),
      )
      await quiet()
      for (const one of names)
        expect(seen(one)).toEqual(one === name ? [...before[one]!, '7'] : before[one]!)
      await host.rotate(2, 4)
    },
    SLOW,
  )

  onDebian(
    'has the last password after a hail of rotations',
    async () => {
      const before = seen('environment').length
      for (let turn = 10; turn < 20; turn++) {
        await host.rotate(turn, ENVIRONMENT)
        await Bun.sleep(100)
      }
      await until('it has the last one', () => seen('environment').at(-1) === '19')
      await quiet()
      const restarts = seen('environment').length - before
      expect(restarts).toBeGreaterThan(0)
      expect(restarts).toBeLessThanOrEqual(10)
    },
    SLOW,
  )
})

describe('a command of onChange', () => {
  onDebian(
    'runs again when it is killed with the one that runs it',
    async () => {
      expect(slowSeen()).toEqual([])
      await host.rotate(1, SLOW_COMMAND)
      await until('it has begun', () => slowSeen().length === 1)
      await host.must('systemctl kill --kill-whom=all --signal=KILL runtime-agent-hooks.service')
      await until('it has ended', () => slowSeen().includes('ended'))
      await quiet()
      expect(slowSeen()).toEqual(['begun', 'begun', 'ended'])
    },
    SLOW,
  )

  onDebian(
    'that was still to run when the machine went down runs at the next boot',
    async () => {
      const before = slowSeen().length
      await host.must('systemctl mask --runtime runtime-agent-hooks.service')
      await host.rotate(2, SLOW_COMMAND)
      await until('it is asked for', () => requests().length === 1)
      await host.reboot()
      await until('it has run', () => slowSeen().slice(before).includes('ended'))
      await quiet()
      expect(slowSeen().slice(before)).toEqual(['begun', 'ended'])
      await host.status(IN_STEP)
    },
    SLOW,
  )
})
