import { describe, expect, test } from 'bun:test'
import { problem } from '../../src/model/problem.ts'
import { DAY, SECOND } from '../../src/model/time.ts'
import type { Status } from '../../src/model/status.ts'
import type { Notify } from '../../src/runtime/sd-notify.ts'
import { systemdReporter } from '../../src/server/systemd-reporter.ts'
import type { SystemdReporter } from '../../src/server/systemd-reporter.ts'
import { fixtureNow, statusFixture } from './status.fixture.ts'

type Scene = {
  reporter: SystemdReporter
  /** Messages since the last call, without STATUS unless asked. */
  heard(): string[]
  time: number
  deaf: boolean
}

function scene(watchdog: { watchdog?: number } = { watchdog: 60 * SECOND }): Scene {
  let messages: string[] = []
  const notify: Notify = {
    ...watchdog,
    monotonic: () => 'MONOTONIC_USEC=5',
    send(lines) {
      if (!one.deaf) messages.push(lines.join(' | '))
      return Promise.resolve(!one.deaf)
    },
  }
  const one: Scene = {
    reporter: systemdReporter(notify, () => one.time),
    heard() {
      const all = messages
      messages = []
      return all
    },
    time: 0,
    deaf: false,
  }
  return one
}

async function lineFor(change: Partial<Status>): Promise<string> {
  const one = scene({})
  await one.reporter.report(statusFixture(change), false)
  return one.heard().join().replace('READY=1 | STATUS=', '')
}

describe('systemdReporter', () => {
  test('says READY with the first report and a sign of life every 15 s, but only with reports', async () => {
    const one = scene()
    const report = async (at: number): Promise<string[]> => {
      one.time = at
      await one.reporter.report(statusFixture(), false)
      return one.heard()
    }
    expect(await report(0)).toEqual([expect.stringMatching(/^READY=1 \| STATUS=.* \| WATCHDOG=1$/)])
    expect(await report(5 * SECOND)).toEqual([])
    expect(await report(14 * SECOND)).toEqual([])
    expect(await report(15 * SECOND)).toEqual(['WATCHDOG=1'])
    // Time alone, as when the loop is stuck, says nothing.
    one.time = 500 * SECOND
    expect(one.heard()).toEqual([])
    // A clock that is set back does not silence it.
    expect(await report(-9000 * SECOND)).toEqual(['WATCHDOG=1'])
  })

  test('is alive four times in the time of a short watchdog, and never without one', async () => {
    const short = scene({ watchdog: 4 * SECOND })
    const none = scene({})
    for (const { reporter } of [short, none]) await reporter.report(statusFixture(), false)
    for (const one of [short, none]) {
      one.heard()
      one.time = SECOND
      await one.reporter.report(statusFixture(), false)
    }
    expect(short.heard()).toEqual(['WATCHDOG=1'])
    expect(none.heard()).toEqual([])
  })

  test('says again what did not get there', async () => {
    const one = scene()
    one.deaf = true
    await one.reporter.report(statusFixture(), false)
    one.deaf = false
    await one.reporter.report(statusFixture(), false)
    expect(one.heard()).toEqual([expect.stringMatching(/^READY=1 \| STATUS=.* \| WATCHDOG=1$/)])
  })

  test('is reloading until the next report, for which the last one of a term does not count', async () => {
    const one = scene()
    await one.reporter.report(statusFixture(), false)
    one.heard()
    await one.reporter.reloading()
    await one.reporter.report(statusFixture(), true)
    expect(one.heard()).toEqual(['RELOADING=1 | MONOTONIC_USEC=5'])
    await one.reporter.report(statusFixture(), false)
    expect(one.heard()).toEqual(['READY=1'])
  })

  test('says nothing after STOPPING', async () => {
    const one = scene()
    await one.reporter.stopping()
    await one.reporter.report(statusFixture(), false)
    await one.reporter.report(statusFixture(), true)
    expect(one.heard()).toEqual(['STOPPING=1 | STATUS=Stopping'])
  })
})

describe('the line of systemctl status', () => {
  const identity = statusFixture().identity!

  test('counts applications and days', async () => {
    const notAfter = fixtureNow + 80.5 * DAY
    expect(await lineFor({ identity: { ...identity, notAfter } })).toBe(
      'Idle, 1 application, certificate valid for 80 days',
    )
    expect(await lineFor({ paused: true })).toBe(
      'Idle, paused, 1 application, certificate valid for 1m 30s',
    )
  })

  test('names what is missing without an identity, and for whom it stands by', async () => {
    const { identity: _, ...unconnected } = statusFixture()
    const one = scene({})
    await one.reporter.report({ ...unconnected, why: 'waiting for a one-time token' }, false)
    expect(one.heard()).toEqual(['READY=1 | STATUS=Idle: waiting for a one-time token'])
    expect(await lineFor({ standby: true, why: 'another agent is in charge' })).toBe(
      'Idle: another agent is in charge',
    )
  })

  test('has the worst problem in one line of bounded length, whatever its message holds', async () => {
    const bad = problem('config_invalid', `Cannot do it: \nWATCHDOG=1\r\n${'x'.repeat(5000)}`)
    const line = await lineFor({ problems: [bad, bad, bad] })
    expect(line).toStartWith('Idle, 1 application, certificate valid for 1m 30s; problem: Cannot')
    expect(line).toHaveLength(300)
    expect(line).not.toContain('\n')
    const short = problem('unreachable', 'Cannot reach it')
    expect(await lineFor({ problems: [short, short] })).toEndWith('; and 1 more')
  })
})
