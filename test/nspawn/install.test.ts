/** install.sh and real releases on a Debian that runs systemd: from the first installation to the removal of everything. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { seenIn } from '../e2e/support/bindings.ts'
import { expectedFor } from '../e2e/support/landscape.ts'
import { SLOW, until } from '../e2e/support/program.ts'
import { startReader } from '../soak/support/world.ts'
import type { Reader } from '../soak/support/world.ts'
import { canBoot, FIRST_BOOT, onDebian } from './support/debian.ts'
import { bringFiles, IN_STEP, openHost, OUTPUT, RUNTIME, UNIT } from './support/host.ts'
import type { Host } from './support/host.ts'
import { blocks, follow, section } from './support/page.ts'
import { makeReleases } from './support/releases.ts'
import type { Releases } from './support/releases.ts'

let releases: Releases
let host: Host
/** Another one, for a person who only follows the pages. */
let reader: Host

beforeAll(async () => {
  if (!canBoot) return
  releases = await makeReleases()
  host = await openHost({ files: releases.directory })
  reader = await openHost()
}, FIRST_BOOT)

afterAll(async () => {
  if (!canBoot) return
  await reader.close()
  await host.close()
}, SLOW)

/** Milliseconds from install.sh to idle, each on a fresh Debian; other programs may be busy during one of them. */
const times: number[] = []

const installed = (): Promise<string> => host.must('agent version')

const mainPid = async (): Promise<string> => (await host.show(UNIT, 'MainPID')).MainPID

async function allBindings(of = host): Promise<void> {
  await until(
    'everything is there',
    () =>
      JSON.stringify(seenIn(of.path(OUTPUT))) ===
      JSON.stringify(expectedFor(RUNTIME, of.landscape)),
  )
}

/** What somebody brings to a machine without a network. */
function bring(to: Host, version: string, place: string): void {
  mkdirSync(to.path(place), { recursive: true })
  for (const file of readdirSync(join(releases.directory, version)))
    if (version !== releases.first || !/^agent-linux-[^.]*$|\.gz$|\.mjs$/.test(file))
      copyFileSync(join(releases.directory, version, file), to.path(join(place, file)))
}

/** While `act` runs credentials change and bindings are read, which must always be there and whole. */
async function withReaders(act: () => Promise<void>): Promise<void> {
  const readers: Reader = startReader(host.path(OUTPUT))
  let turn = 0
  let acting = true
  const rotating = (async () => {
    while (acting) {
      await host.rotate((turn += 1))
      await Bun.sleep(200)
    }
  })()
  try {
    await act()
  } finally {
    acting = false
    await rotating
  }
  const { problems, reads, swaps } = await readers.end()
  console.log(`  ${reads} reads over ${swaps} swaps`)
  expect(problems).toEqual([])
  expect(reads).toBeGreaterThan(50)
  await allBindings()
}

describe('install.sh', () => {
  onDebian(
    'makes a fresh Debian idle, from a directory that somebody brought',
    async () => {
      bring(host, releases.first, '/media/release')
      const stdin = await host.token()
      const at = performance.now()
      await host.must('sh /media/release/install.sh --token-stdin', { stdin })
      await host.status(IN_STEP)
      times.push(performance.now() - at)
      expect(await installed()).toContain(`runtime-agent ${releases.first} `)
      await allBindings()
      const { UnitFileState } = await host.show(UNIT, 'UnitFileState')
      expect(UnitFileState).toBe('enabled')
    },
    SLOW,
  )

  onDebian(
    'changes nothing where its version runs already',
    async () => {
      const before = await mainPid()
      const { code, err } = await host.run('sh /media/release/install.sh')
      expect({ code, err }).toMatchObject({ code: 0 })
      expect(err).toContain('was installed already\n')
      expect(await mainPid()).toBe(before)
    },
    SLOW,
  )

  onDebian(
    'upgrades over http, with the identity that there is, while no reader misses a binding',
    async () => {
      // Every second, so that the restart comes into the middle of changes.
      host.configure()
      const identity = await host.identity()
      const url = `${host.plane.filesUrl}/${releases.next}`
      await withReaders(async () => {
        await host.must(`curl -fsSO ${url}/install.sh; sh install.sh --from ${url}`)
        await host.status(IN_STEP)
      })
      expect(await installed()).toContain(`runtime-agent ${releases.next} `)
      expect(await host.identity()).toBe(identity)
      expect(await host.signings()).toBe(1)
    },
    SLOW,
  )

  onDebian(
    'takes back a version that does not become ready, and says so, while no reader misses a binding',
    async () => {
      const identity = await host.identity()
      await withReaders(async () => {
        const url = `${host.plane.filesUrl}/${releases.broken}`
        const { code, err } = await host.run(`sh install.sh --from ${url}`)
        expect({ code, err }).toMatchObject({ code: 3 })
        expect(err).toContain(`${releases.next} is back, and runs`)
        await host.status(IN_STEP)
      })
      expect(await installed()).toContain(`runtime-agent ${releases.next} `)
      expect(readdirSync(host.path('/usr/local/lib/runtime-agent')).sort()).toEqual(
        [releases.first, releases.next, 'previous'].sort(),
      )
      expect(await host.identity()).toBe(identity)
      expect(await host.signings()).toBe(1)
    },
    SLOW,
  )

  onDebian(
    'goes back to the version before when it is told to, which reads what the next one wrote',
    async () => {
      const identity = await host.identity()
      await withReaders(async () => {
        await host.must('sh install.sh --rollback')
        await host.status(IN_STEP)
      })
      expect(await installed()).toContain(`runtime-agent ${releases.first} `)
      expect(await host.identity()).toBe(identity)
      expect(await host.signings()).toBe(1)
    },
    SLOW,
  )

  onDebian(
    'removes the agent and leaves what it knew, so that it needs no token when it comes back',
    async () => {
      const identity = await host.identity()
      await host.must('sh install.sh --uninstall')
      expect((await host.show(UNIT, 'LoadState')).LoadState).toBe('not-found')
      expect((await host.run('command -v agent')).code).not.toBe(0)
      expect(
        await host.must('systemctl list-units --all --plain --no-legend "runtime-agent*"'),
      ).toBe('')
      expect(existsSync(host.path('/usr/local/lib/runtime-agent'))).toBe(false)
      await allBindings()
      await host.must('rm /etc/runtime-agent/token')
      await host.must('sh /media/release/install.sh')
      await host.status(IN_STEP)
      expect(await host.identity()).toBe(identity)
      expect(await host.signings()).toBe(1)
    },
    SLOW,
  )

  onDebian(
    'leaves nothing behind when it removes everything',
    async () => {
      await host.must('sh install.sh --uninstall --purge')
      const places = '/etc /usr /var /run /opt'
      const left = await host.must(`find ${places} -name '*runtime-agent*' -not -path '/var/log/*'`)
      expect(left).toBe('')
      expect((await host.run('id runtime-agent')).code).not.toBe(0)
    },
    SLOW,
  )
})

describe('a person who follows the pages on a fresh Debian', () => {
  onDebian(
    'gets what README.md says that a VM gets, within ten seconds',
    async () => {
      bring(reader, releases.first, '/root/first')
      const [vm = []] = blocks('README.md', '## Install')
      const at = performance.now()
      await follow(reader, vm, 'first')
      times.push(performance.now() - at)
      console.log(`  idle after ${times.map((time) => time.toFixed(0)).join(' and ')} ms`)
      expect(Math.min(...times)).toBeLessThan(10_000)
      await allBindings(reader)
    },
    SLOW,
  )

  onDebian(
    'installs, upgrades and goes back as docs/systemd.md says',
    async () => {
      bring(reader, releases.next, '/root/next')
      const page = 'docs/systemd.md'
      for (const lines of blocks(page, '## Install')) await follow(reader, lines, 'first')
      const [upgrade = []] = blocks(page, '## Upgrade, go back, repair')
      expect(upgrade).toHaveLength(2)
      await follow(reader, upgrade.slice(0, 1), 'next')
      expect(await reader.must('agent version')).toContain(releases.next)
      await follow(reader, upgrade.slice(1), 'next')
      expect(await reader.must('agent version')).toContain(releases.first)
      await reader.status(IN_STEP)
    },
    SLOW,
  )

  onDebian(
    'finds all files of the service in docs/systemd.md, and removes everything as it says',
    async () => {
      const page = 'docs/systemd.md'
      const rows = section(page, '## The service').matchAll(/^\| (`\/etc.*?) \|/gm)
      const told = [...rows].flatMap(([, cell = '']) => {
        const [first = '', ...others] = [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
        return [first, ...others.map((ending) => first.replace(/\.\w+$/, ending))]
      })
      const made = await reader.must("grep -rl 'Made by agent install systemd' /etc")
      expect(made.split('\n').sort()).toEqual(told.sort())
      const [remove = []] = blocks(page, '## Remove it')
      await follow(reader, remove, 'first')
      expect(await reader.must("find /etc /usr /var -name '*runtime-agent*'")).toBe('')
    },
    SLOW,
  )

  onDebian(
    'runs what was built in a clone as README.md says',
    async () => {
      await bringFiles(reader)
      const [, clone = []] = blocks('README.md', '## Install')
      await follow(reader, clone.slice(0, -1))
      const agent = reader.start(clone.at(-1)!)
      await until('there are bindings', () => existsSync(reader.path(`${OUTPUT}/current`)))
      await allBindings(reader)
      expect((await agent.stop()).code).toBe(0)
    },
    SLOW,
  )
})
