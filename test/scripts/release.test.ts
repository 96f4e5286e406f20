/** On this platform only, and packed quickly: what `npm run release` makes of the others differs in Bun alone. */
import { afterAll, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { hostPlatform } from '../../scripts/executable.ts'
import { licenceTexts } from '../../scripts/licences.ts'
import { BARS, gzip, pack, release } from '../../scripts/release.ts'
import { ROOT, packageJson } from '../../scripts/repository.ts'
import type { Inside } from '../../scripts/sbom.ts'
import { packagesOf } from '../../scripts/sbom.ts'
import { skipUnless, slow } from '../skip.ts'

const work = mkdtempSync(join(tmpdir(), 'release-test-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

const has = (tool: string): boolean => Bun.which(tool) !== null
const needsXz = skipUnless(has('xz'), {
  why: 'xz is not installed',
  how: 'apt-get install xz-utils',
})
const signs = skipUnless(has('xz') && has('openssl'), {
  why: 'openssl or xz is not installed',
  how: 'apt-get install openssl xz-utils',
})
const whole = has('xz') && hostPlatform !== undefined ? slow : needsXz

const stamp = { version: '1.2.3', time: '2026-01-02T03:04:05.000Z' }
const key = generateKeyPairSync('ed25519')
const pem = key.privateKey.export({ type: 'pkcs8', format: 'pem' })
const ofKey = key.publicKey.export({ type: 'spki', format: 'pem' })

/** A release without executables, which take most of the time; made once for each name. */
async function released(name = 'one'): Promise<(file: string) => string> {
  const directory = join(work, name)
  if (!existsSync(directory)) await release({ platforms: [], directory, key: pem, stamp })
  return (file) => join(directory, file)
}

const sha256 = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex')

describe('a release', () => {
  needsXz('is the same bytes when it is made twice', async () => {
    const [one, two] = [await released(), await released('another')]
    const names = readdirSync(one('.')).sort()
    expect(readdirSync(two('.')).sort()).toEqual(names)
    expect(names).toEqual(expect.arrayContaining(['VERSION', 'agent.mjs', 'sbom.cdx.json']))
    for (const name of names) expect([name, sha256(two(name))]).toEqual([name, sha256(one(name))])
    expect(readFileSync(one('VERSION'), 'utf8')).toBe('1.2.3\n')
    expect(readFileSync(one('agent.mjs'), 'utf8')).toContain('"1.2.3"')
  })

  signs(
    'carries a signature over its sums that openssl accepts, until a byte changes',
    async () => {
      const file = await released('signed')
      writeFileSync(join(work, 'key.pem'), ofKey)
      const verify = (): number | null =>
        spawnSync('openssl', [
          ...['pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', join(work, 'key.pem')],
          ...['-sigfile', file('SHA256SUMS.sig'), '-in', file('SHA256SUMS')],
        ]).status
      expect(verify()).toBe(0)
      const sums = readFileSync(file('SHA256SUMS'), 'utf8')
      writeFileSync(file('SHA256SUMS'), sums.replace('agent.mjs', 'agent.mjt'))
      expect(verify()).not.toBe(0)
    },
  )

  needsXz('is made again, byte for byte, by somebody who has only the public key', async () => {
    const signed = await released()
    const directory = join(work, 'again')
    await release({ platforms: [], directory, publicKey: ofKey, stamp })
    expect(readFileSync(signed('install.sh'), 'utf8')).toContain(ofKey)
    expect(readFileSync(join(directory, 'SHA256SUMS'), 'utf8')).toBe(
      readFileSync(signed('SHA256SUMS'), 'utf8'),
    )
    expect(existsSync(join(directory, 'SHA256SUMS.sig'))).toBe(false)
  })

  needsXz('has sums of every file in it, as sha256sum reads them', async () => {
    const file = await released()
    const lines = readFileSync(file('SHA256SUMS'), 'utf8').trim().split('\n')
    const listed = lines.map((line) => line.split('  ')[1] ?? '')
    const there = readdirSync(file('.')).filter((name) => !name.startsWith('SHA256SUMS'))
    expect(listed).toEqual(there.sort())
    for (const line of lines) {
      const [sum, name] = line.split('  ')
      expect([name, sha256(file(name ?? ''))]).toEqual([name, sum ?? ''])
    }
  })

  needsXz('is not begun with a key of another kind, and leaves nothing behind', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const other = privateKey.export({ type: 'pkcs8', format: 'pem' })
    const directory = join(work, 'refused')
    const made = release({ platforms: [], directory, key: other, stamp })
    expect(made).rejects.toThrow('Cannot sign: found a key of type ec, want ed25519')
    await made.catch(() => undefined)
    expect([existsSync(directory), existsSync(`${directory}.new`)]).toEqual([false, false])
  })

  whole(
    'has an executable of its version for this platform, packed twice, within the bar',
    async () => {
      const directory = join(work, 'whole')
      await release({ platforms: [hostPlatform!], directory, quick: true, stamp })
      const executable = join(directory, `agent-${hostPlatform!.name}`)
      const run = spawnSync(executable, ['version', '--json'], { encoding: 'utf8' })
      expect(JSON.parse(run.stdout)).toMatchObject({ version: '1.2.3' })
      const bytes = readFileSync(executable)
      expect(bytes.length).toBeLessThanOrEqual(BARS[''])
      // As a release packs it; xz takes a minute and wins as much.
      expect(gzip(bytes).length).toBeLessThanOrEqual(BARS['.gz'])
      expect(gunzipSync(readFileSync(`${executable}.gz`)).equals(bytes)).toBe(true)
      expect(spawnSync('xz', ['--test', `${executable}.xz`]).status).toBe(0)
    },
    180_000,
  )
})

test('install.sh asks for as much room as the files of a release may take', () => {
  const script = readFileSync(join(ROOT, 'install.sh'), 'utf8')
  const room = /ROOM_PLAIN=(\d+) ROOM_XZ=(\d+) ROOM_GZ=(\d+)/.exec(script)?.slice(1)
  const bars = [BARS[''], BARS['.xz'], BARS['.gz']]
  expect(room).toEqual(bars.map((bytes) => String(Math.ceil(bytes / 1024))))
})

needsXz('a packed file is the same bytes whatever its time is, and nothing tells its place', () => {
  const file = join(work, 'packed')
  const bytes = (): string[] => [`${file}.gz`, `${file}.xz`].map(sha256)
  writeFileSync(file, 'what is packed '.repeat(1000))
  pack(file)
  const first = bytes()
  spawnSync('touch', ['-d', '2001-01-01', file])
  pack(file)
  expect(bytes()).toEqual(first)
})

type Bom = {
  serialNumber: string
  metadata: { timestamp: string; component: Component }
  components: Component[]
  dependencies: { ref: string; dependsOn: string[] }[]
} & Record<string, unknown>
type Component = Record<string, unknown> & {
  'bom-ref': string
  name: string
  type: string
  purl?: string
  licenses: { license?: { id: string }; expression?: string }[]
  hashes?: { alg: string; content: string }[]
}

describe('the bill of materials', () => {
  const open = async (): Promise<Bom> => {
    const file = await released()
    return JSON.parse(readFileSync(file('sbom.cdx.json'), 'utf8')) as Bom
  }

  needsXz('has the shape of CycloneDX 1.6', async () => {
    const bom = await open()
    expect(bom).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.6', version: 1 })
    expect(bom.serialNumber).toMatch(
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
    )
    expect(bom.metadata.timestamp).toBe(stamp.time)
    expect(bom.metadata.component).toMatchObject({ name: 'runtime-agent', version: '1.2.3' })
    const refs = bom.components.map((one) => one['bom-ref'])
    expect(new Set(refs).size).toBe(refs.length)
    for (const one of bom.components) {
      expect(one.licenses.length).toBe(1)
      expect(one.purl).toMatch(/^pkg:npm\/(%40[\w-]+\/)?[\w.-]+@\d+\.\d+\.\d+$/)
      if (one.type === 'library') expect(one.hashes?.[0]?.content).toMatch(/^[0-9a-f]{128}$/)
    }
    const known = [...refs, bom.metadata.component['bom-ref']]
    const named = bom.dependencies.flatMap(({ ref, dependsOn }) => [ref, ...dependsOn])
    expect(named.filter((ref) => !known.includes(ref))).toEqual([])
    expect(bom.dependencies.map(({ ref }) => ref).sort()).toEqual(known.sort())
  })

  needsXz('names Bun and every package that we ask for, and none of our tools', async () => {
    const purls = (await open()).components.map(({ purl }) => decodeURIComponent(purl ?? ''))
    const { dependencies, devDependencies } = packageJson()
    const purl = ([name, version]: [string, string]): string => `pkg:npm/${name}@${version}`
    expect(purls).toEqual(expect.arrayContaining(Object.entries(dependencies).map(purl)))
    const tools = Object.entries(devDependencies).filter(([name]) => name !== 'bun')
    expect(purls.filter((one) => tools.map(purl).includes(one))).toEqual([])
    expect(purls).toContain(`pkg:npm/bun@${Bun.version}`)
    const undici = (await open()).components.find(({ name }) => name === 'undici')
    expect(undici?.['properties']).toEqual([{ name: 'runtime-agent:in', value: 'agent.mjs' }])
  })
})

describe('the licences', () => {
  needsXz('have a text for every package inside, and those of Bun', async () => {
    const file = await released()
    const text = readFileSync(file('LICENSES.txt'), 'utf8')
    const bom = JSON.parse(readFileSync(file('sbom.cdx.json'), 'utf8')) as Bom
    for (const { purl, type } of bom.components) {
      const [name, version] = decodeURIComponent(purl ?? '')
        .split(/^pkg:npm\/|@(?=\d)/)
        .slice(1)
      if (type === 'library') expect(text).toContain(`\n${name} ${version} (`)
    }
    expect(text).toContain(`Bun ${Bun.version} (MIT and others)`)
    expect(text).toContain('GNU LIBRARY GENERAL PUBLIC LICENSE')
    expect(text).not.toContain(ROOT)
  })

  test('stand in the README of a package that has them nowhere else', () => {
    const packages = packagesOf({ here: ['node_modules/pg-types/index.js'] })
    expect(licenceTexts(packages)).toMatch(
      /\npg-types [^]*Copyright \(c\) 2014 Brian[^]*WARRANTIES/,
    )
  })

  test('are refused when a package has none', () => {
    const [real] = packagesOf({ here: ['node_modules/ky/distribution/index.js'] })
    const without: Inside = { ...real!, name: 'bun', path: 'node_modules/bun' }
    expect(() => licenceTexts([without])).toThrow('Cannot tell the licence of bun')
  })
})

test('the command signs no rehearsal, and nothing without a key', () => {
  const run = (...args: string[]): string => {
    const script = join(ROOT, 'scripts/release.ts')
    const env = { PATH: process.env['PATH'] }
    return spawnSync(process.execPath, [script, ...args], { env, encoding: 'utf8' }).stderr
  }
  expect(run()).toContain('want --key FILE, RUNTIME_AGENT_RELEASE_KEY or --unsigned')
  expect(run('--key', 'k', '--quick')).toContain('Cannot sign a rehearsal')
  expect(run('--unsigned', 'plan9')).toContain("Cannot release for 'plan9'")
})
