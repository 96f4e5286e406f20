import { afterEach, describe, expect } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { openNotify } from '../../src/runtime/sd-notify.ts'
import type { Notify } from '../../src/runtime/sd-notify.ts'
import { skipUnless } from '../skip.ts'
import { openDatagrams } from './datagrams.ts'
import type { Datagrams } from './datagrams.ts'

const test = skipUnless(process.platform === 'linux', {
  why: 'only Linux has systemd',
  how: 'run the tests on Linux',
  allowedInCi: true,
})

const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']
const directory = mkdtempSync(join(tmpdir(), 'notify-'))
let manager: Datagrams | undefined
let said: string[] = []

afterEach(() => {
  manager?.close()
  manager = undefined
  said = []
  for (const name of VARIABLES) process.env[name] = ''
})

process.once('exit', () => rmSync(directory, { recursive: true, force: true }))

async function open(socket: string, env: Record<string, string> = {}): Promise<Notify | undefined> {
  Object.assign(process.env, { NOTIFY_SOCKET: socket, ...env })
  return openNotify((message) => said.push(message))
}

describe('openNotify', () => {
  test('sends all lines in one message, to a path and to an abstract name', async () => {
    for (const socket of [join(directory, 'notify'), `@agent-test-${process.pid}`]) {
      manager = openDatagrams(socket)
      const notify = await open(socket)
      expect(await notify?.send(['READY=1', 'STATUS=Idle, 3 applications — fine'])).toBe(true)
      expect(await notify?.send(['WATCHDOG=1'])).toBe(true)
      expect(manager.read()).toEqual(['READY=1\nSTATUS=Idle, 3 applications — fine', 'WATCHDOG=1'])
      manager.close()
      manager = undefined
    }
    expect(said).toEqual([])
  })

  test('is undefined when nobody has asked to be notified', async () => {
    expect(await open('')).toBeUndefined()
  })

  test.each([
    ['another family', 'vsock:2:1234'],
    ['a relative path', 'relative'],
    ['a path that no address holds', `/${'x'.repeat(107)}`],
  ])('says once why it cannot notify %s, and throws nothing', async (_, socket) => {
    expect(await open(socket)).toBeUndefined()
    expect(said).toHaveLength(1)
  })

  test('says false when nobody is there, and true when somebody came', async () => {
    const socket = join(directory, 'later')
    const notify = await open(socket)
    expect(await notify?.send(['READY=1'])).toBe(false)
    manager = openDatagrams(socket)
    expect(await notify?.send(['READY=1'])).toBe(true)
    expect(manager.read()).toEqual(['READY=1'])
  })

  test('does not wait for a manager that reads nothing', async () => {
    const socket = join(directory, 'deaf')
    manager = openDatagrams(socket)
    const notify = await open(socket)
    const sent = []
    for (let i = 0; i < 5000; i++) sent.push(await notify?.send(['WATCHDOG=1']))
    expect(sent).toContain(false)
    manager.read()
    expect(await notify?.send(['WATCHDOG=1'])).toBe(true)
  })

  test('knows how often a sign of life is wanted, unless another process is meant', async () => {
    const socket = join(directory, 'none')
    const time = async (env: Record<string, string>): Promise<number | undefined> =>
      (await open(socket, { WATCHDOG_PID: '', ...env }))?.watchdog
    expect(await time({ WATCHDOG_USEC: '60000000' })).toBe(60_000)
    expect(await time({ WATCHDOG_USEC: '60000000', WATCHDOG_PID: `${process.pid}` })).toBe(60_000)
    expect(await time({ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '1' })).toBeUndefined()
    expect(await time({ WATCHDOG_USEC: '0' })).toBeUndefined()
    expect(await time({ WATCHDOG_USEC: 'soon' })).toBeUndefined()
  })

  test('reads the monotonic clock of the kernel, in microseconds', async () => {
    const notify = await open(join(directory, 'none'))
    const uptime = Number((await Bun.file('/proc/uptime').text()).split(' ')[0])
    const [name, value] = notify?.monotonic()?.split('=') ?? []
    expect(name).toBe('MONOTONIC_USEC')
    // Without the time that the machine was suspended, so not more than that.
    expect(Number(value) / 1e6).toBeGreaterThan(0)
    expect(Number(value) / 1e6).toBeLessThan(uptime + 2)
  })
})
