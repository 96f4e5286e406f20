/** Whatever is interrupted: calls go on with credentials, and the next pass ends what was begun. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../../src/runtime/command.ts'
import { openHooks } from '../../src/targets/hooks.ts'
import { needsDaprd, startDaprd, startEcho } from '../daprd.ts'
import type { Daprd, Echo } from '../daprd.ts'
import { basic, desired, numbers } from '../model/samples.ts'
import { onSmallDisk, whenMountable } from './small-disk.ts'
import { calls, DaprPlace, hurried, nameOf, reader, run, until } from './dapr-place.ts'
import { FaultyDisk } from './faulty-disk.ts'

let place: DaprPlace
let echo: Echo
let daprd: Daprd
beforeEach(async () => {
  place = new DaprPlace()
  echo = await startEcho()
})
afterEach(async () => {
  await echo.close()
  place.remove()
})

const login = (password: string) =>
  calls(echo.url, { login: basic('user', password), other: undefined })
const password = async (): Promise<string> => {
  const { status, body } = await daprd.call(nameOf('login'))
  expect([status, body.slice(0, 6)]).toEqual([200, 'Basic '])
  return atob(body.slice(6)).split(':')[1] ?? ''
}
const journal = () =>
  JSON.parse(readFileSync(join(place.state, 'dapr-dapr.json'), 'utf8')) as object

/** How many operations that change something on disk one rotation makes. */
async function operations(): Promise<number> {
  const faulty = new FaultyDisk()
  await run(place.open({ disk: faulty.disk, clock: hurried }, [daprd.url]), login('counted'))
  return faulty.done.length
}

describe('an agent that is', () => {
  needsDaprd(
    'killed between any two steps of a rotation loses nothing, and the next one ends it',
    async () => {
      daprd = await startDaprd({ directory: place.base })
      try {
        await run(place.open({}, [daprd.url]), login('first'))
        const steps = await operations()
        expect(steps).toBeGreaterThan(6)
        for (const at of numbers(steps)) {
          const faulty = new FaultyDisk()
          faulty.fault = { at: at + 1, kind: 'kill' }
          const before = await password()
          const target = place.open({ disk: faulty.disk, clock: hurried }, [daprd.url])
          await run(target, login(`p${at}`)).catch(() => undefined)
          expect([before, `p${at}`]).toContain(await password())
          await run(place.open({ clock: hurried }, [daprd.url]), login(`p${at}`))
          await until('the new password', async () => (await password()) === `p${at}`)
          expect(journal()).not.toHaveProperty('pending')
          expect(place.secretsFiles).toHaveLength(1)
          expect(readdirSync(join(place.resources, '.ucl-7b1a2c9e'))).toEqual([])
        }
        expect(daprd.exitCode).toBeUndefined()
      } finally {
        await daprd.stop()
      }
    },
    120_000,
  )

  needsDaprd(
    'refused by the disk at any step says so, and calls go on with one password or the other',
    async () => {
      daprd = await startDaprd({ directory: place.base })
      try {
        const faulty = new FaultyDisk()
        const target = place.open({ disk: faulty.disk, clock: hurried }, [daprd.url])
        await run(target, login('first'))
        const steps = await operations()
        for (const at of numbers(steps)) {
          const before = await password()
          faulty.done = []
          faulty.fault = { at: at + 1, kind: 'error' }
          await run(target, login(`p${at}`)).catch(() => undefined)
          faulty.fault = undefined
          expect([before, `p${at}`]).toContain(await password())
          await run(target, login(`p${at}`))
          await until('the new password', async () => (await password()) === `p${at}`)
        }
        expect(daprd.exitCode).toBeUndefined()
      } finally {
        await daprd.stop()
      }
    },
    120_000,
  )
})

describe('a daprd that', () => {
  needsDaprd('does not run is told of, and has everything when it starts', async () => {
    daprd = await startDaprd({ directory: place.base })
    await daprd.stop()
    const target = place.open({}, [daprd.url])
    const away = await run(target, login('early'))
    expect(away.results.map(([, outcome]) => outcome)).toEqual(['applied', 'applied'])
    expect(away.after).toEqual(['dapr_unreachable'])
    expect(journal()).toHaveProperty('pending')
    await daprd.start()
    try {
      expect(await password()).toBe('early')
      expect((await run(target, login('early'))).after).toEqual([])
      expect(journal()).not.toHaveProperty('pending')
    } finally {
      await daprd.stop()
    }
  })

  needsDaprd('ends during our rename and comes back has the new password', async () => {
    daprd = await startDaprd({ directory: place.base })
    try {
      const target = place.open({}, [daprd.url])
      await run(target, login('first'))
      const passing = run(target, login('second'))
      await until('the rename', () => JSON.stringify(journal()).includes('pending'))
      await daprd.kill()
      await new Promise((resolve) => setTimeout(resolve, 300))
      await daprd.start()
      expect((await passing).after).toEqual([])
      expect(await password()).toBe('second')
    } finally {
      await daprd.stop()
    }
  })

  needsDaprd(
    'ends for good has the version before when it comes back, and what changed is tried once more',
    async () => {
      daprd = await startDaprd({ directory: place.base })
      try {
        const target = place.open({ clock: hurried }, [daprd.url])
        await run(target, login('first'))
        const before = place.text
        const passing = run(target, login('second'))
        await until('the rename', () => JSON.stringify(journal()).includes('pending'))
        await daprd.kill()
        expect((await passing).results).toEqual([
          ['component/login-api', 'reverted', 'dapr_rejected'],
        ])
        expect(place.text).toBe(before)
        await daprd.start()
        expect(await password()).toBe('first')
        await run(target, login('second'))
        expect(await password()).toBe('second')
      } finally {
        await daprd.stop()
      }
    },
    60_000,
  )

  needsDaprd('has a secret rotated forth and back sends what was said last', async () => {
    daprd = await startDaprd({ directory: place.base })
    try {
      const target = place.open({}, [daprd.url])
      for (const one of ['a', 'b', 'a', 'b', 'a']) {
        await run(target, login(one))
        expect(await password()).toBe(one)
      }
    } finally {
      await daprd.stop()
    }
  })

  needsDaprd(
    'takes no change by itself is started anew by its command, once a change',
    async () => {
      daprd = await startDaprd({ directory: place.base })
      try {
        // Its hot reload is off, so only the command brings anything.
        await daprd.stop()
        const off = JSON.parse(readFileSync(daprd.config, 'utf8')) as { spec: object }
        writeFileSync(
          daprd.config,
          JSON.stringify({
            ...off,
            spec: { ...off.spec, features: [{ name: 'HotReload', enabled: false }] },
          }),
        )
        await daprd.start()
        const told = await run(place.open({}, [daprd.url]), login('first'))
        expect(told.after).toEqual(['dapr_too_old'])
        const script = ['/bin/sh', '-c', 'kill -HUP $0', String(daprd.pid)]
        const hooks = openHooks({
          journal: join(place.state, 'hooks-dapr.json'),
          hooks: [{ bindings: ['*'], command: script, timeout: 5000 }],
          run: runCommand,
        })
        const target = place.open({ hooks, readers: [reader(daprd.url, 'sighup')] })
        await run(target, login('second'))
        expect(await password()).toBe('second')
        const mark = daprd.logMark()
        await run(target, login('second'))
        expect(daprd.log(mark)).toBe('')
      } finally {
        await daprd.stop()
      }
    },
  )

  needsDaprd(
    'could not be started anew has its command run again, and nothing is taken back',
    async () => {
      daprd = await startDaprd({ directory: place.base })
      try {
        const script = ['/bin/sh', '-c', `test -e ${place.base}/may && kill -HUP ${daprd.pid}`]
        const hooks = openHooks({
          journal: join(place.state, 'hooks-dapr.json'),
          hooks: [{ bindings: ['*'], command: script, timeout: 5000 }],
          run: runCommand,
        })
        const target = place.open({ hooks, readers: [reader(daprd.url, 'sighup')], clock: hurried })
        const failed = await run(target, login('first'))
        expect(failed.results.map(([, outcome]) => outcome)).toEqual(['applied', 'applied'])
        expect(failed.after).toContain('hook_failed')
        writeFileSync(join(place.base, 'may'), '')
        expect((await run(target, login('first'))).after).toEqual([])
        expect(daprd.log().includes('Shutting down')).toBe(true)
        expect(journal()).not.toHaveProperty('pending')
      } finally {
        await daprd.stop()
      }
    },
  )
})

describe('a full disk', () => {
  whenMountable('under the secrets changes nothing and is named', async () => {
    await onSmallDisk(64, 100, async (mount) => {
      const secrets = join(mount, 'secrets')
      const target = place.open({ config: { secrets } })
      await run(target, login('small'))
      const before = place.text
      const failed = await run(target, login('x'.repeat(60_000))).catch((thrown: unknown) => thrown)
      expect(failed).toMatchObject({ code: 'disk_full' })
      expect(place.text).toBe(before)
      await run(target, login('again'))
      expect(place.text).not.toBe(before)
    })
  })
})

describe('files of somebody else', () => {
  test('in the directory of the secrets are a reason to write nothing', async () => {
    mkdirSync(place.secrets)
    writeFileSync(join(place.secrets, 'precious'), 'x')
    const refused = await run(place.open(), login('x')).catch((thrown: unknown) => thrown)
    expect(refused).toMatchObject({ code: 'output_foreign' })
    expect(existsSync(place.file)).toBe(false)
  })

  test('of the name of ours are left as they are', async () => {
    writeFileSync(place.file, 'apiVersion: dapr.io/v1alpha1\n')
    const refused = await run(place.open(), login('x')).catch((thrown: unknown) => thrown)
    expect(refused).toMatchObject({ code: 'output_foreign' })
    expect(place.text).toBe('apiVersion: dapr.io/v1alpha1\n')
  })

  test('a file of another runtime or agent is not ours either', async () => {
    await run(place.open(), login('x'))
    const before = place.text
    const other = await run(place.open({ agent: 'other' }), login('y')).catch((t: unknown) => t)
    expect(other).toMatchObject({ code: 'output_foreign' })
    expect(place.text).toBe(before)
  })
})

describe('the state directory', () => {
  test('that was lost loses nothing: the file tells what is ours', async () => {
    await run(place.open(), login('x'))
    const before = place.text
    rmSync(place.state, { recursive: true })
    mkdirSync(place.state, { mode: 0o700 })
    expect((await run(place.open(), login('x'))).results).toEqual([])
    expect(place.text).toBe(before)
    expect((await run(place.open(), desired([]))).results).toHaveLength(2)
  })
})
