/**
 * npm run release -- (--key FILE | --unsigned [--public-key FILE]) [--out DIRECTORY] [--quick] [NAME…]   what is published
 *
 * Makes the executables of all platforms (or of those named, for a rehearsal), each twice, and goes on only when both
 * are the same bytes. Beside them: .gz and .xz, the bundles, VERSION, SBOM, licences, install.sh, SHA256SUMS over all,
 * and SHA256SUMS.sig, an Ed25519 signature that `openssl pkeyutl -verify -rawin` checks. The key is a PEM file outside of
 * the repository, named by --key or RUNTIME_AGENT_RELEASE_KEY; its public half is stamped into install.sh, and so is that
 * of --public-key, with which another person makes the same SHA256SUMS. `--quick` compresses little, to rehearse.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { bundlesIn } from './build.ts'
import { type Platform, PLATFORMS, compile } from './executable.ts'
import { licenceTexts } from './licences.ts'
import { ROOT, productVersion } from './repository.ts'
import { cycloneDx, packagesOf } from './sbom.ts'
import { publicHalf, seal, signingKey, stampedInstaller } from './seal.ts'

/** What a published file may have, in bytes. */
export const BARS = { '': 120 * 2 ** 20, '.xz': 42e6, '.gz': 55e6 }

export type ReleaseOptions = {
  platforms: readonly Platform[]
  /** Absolute; replaced whole. */
  directory: string
  /** PEM text of an Ed25519 private key; without it there is no signature. */
  key?: string | undefined
  /** PEM text of the key that install.sh is to believe, where it is not that of `key`. */
  publicKey?: string | undefined
  /** Compress little: sizes are then not those of a release. */
  quick?: boolean
  /** What is stamped: of the commit, when it is not given. */
  stamp?: { version: string; time?: string | undefined }
}

/** Makes a release; gives the names of its files. Throws an Error that says what cannot be done. */
export async function release({
  platforms,
  directory,
  key,
  publicKey = key,
  quick = false,
  stamp: { version, time } = { version: productVersion(), time: commitTime() },
}: ReleaseOptions): Promise<string[]> {
  needXz()
  // Before minutes of work.
  if (key !== undefined) signingKey(key)
  if (publicKey !== undefined) publicHalf(publicKey)
  const fresh = `${directory}.new`
  fs.rmSync(fresh, { recursive: true, force: true })
  fs.mkdirSync(join(fresh, 'inner'), { recursive: true })
  try {
    const inner = await bundlesIn(join(fresh, 'inner'), { version, onlyBun: true })
    const outer = await bundlesIn(fresh, { version })
    for (const platform of platforms) executable(inner.bundles, fresh, { platform, quick })
    fs.rmSync(join(fresh, 'inner'), { recursive: true })
    const packages = packagesOf({ executables: inner.inside, 'agent.mjs': outer.inside })
    const sbom = cycloneDx({ version, packages, platforms, timestamp: time })
    fs.writeFileSync(join(fresh, 'VERSION'), `${version}\n`)
    fs.writeFileSync(join(fresh, 'sbom.cdx.json'), sbom)
    fs.writeFileSync(join(fresh, 'LICENSES.txt'), licenceTexts(packages))
    fs.copyFileSync(join(ROOT, 'deploy/agent.example.yaml'), join(fresh, 'agent.example.yaml'))
    installer(join(fresh, 'install.sh'), publicKey)
    seal(fresh, key)
    fs.rmSync(directory, { recursive: true, force: true })
    fs.renameSync(fresh, directory)
  } finally {
    fs.rmSync(fresh, { recursive: true, force: true })
  }
  return fs.readdirSync(directory).sort()
}

/** The executable of a platform, made twice, and packed. */
function executable(
  bundles: readonly string[],
  directory: string,
  { platform, quick }: { platform: Platform; quick: boolean },
): void {
  const outfile = join(directory, `agent-${platform.name}`)
  const second = join(directory, 'inner', basename(outfile))
  for (const one of [outfile, second]) compile(bundles, one, platform)
  const bytes = fs.readFileSync(outfile)
  if (!bytes.equals(fs.readFileSync(second)))
    throw new Error(`Cannot release ${basename(outfile)}: two builds of it are not the same bytes`)
  fs.rmSync(second)
  pack(outfile, { quick })
  for (const [ending, most] of Object.entries(BARS)) {
    const { size } = fs.statSync(`${outfile}${ending}`)
    process.stderr.write(`${basename(outfile)}${ending} ${(size / 1e6).toFixed(1)} MB\n`)
    if (size > most && !quick)
      throw new Error(
        `Cannot release ${basename(outfile)}${ending}: it has ${size} bytes, want at most ${most}`,
      )
  }
}

/** Writes FILE.gz and FILE.xz, whose bytes depend on those of the file alone: no name, no time, one thread. */
export function pack(file: string, { quick = false }: { quick?: boolean } = {}): void {
  fs.writeFileSync(`${file}.gz`, gzip(fs.readFileSync(file), { quick }))
  // CRC32, as small unpackers know no other; what counts is SHA256SUMS.
  const options = [quick ? '-0' : '-9', '--threads=1', '--check=crc32', '--keep', '--force']
  const run = spawnSync('xz', [...options, '--', file], { encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`Cannot pack ${basename(file)}: xz failed\n${run.stderr}`)
}

/** By libdeflate, as the best of zlib is 2.5 % larger, and over the bar. Its bytes depend on the version of Bun. */
export function gzip(
  bytes: Uint8Array<ArrayBuffer>,
  { quick = false }: { quick?: boolean } = {},
): Uint8Array {
  return Bun.gzipSync(bytes, { library: 'libdeflate', level: quick ? 1 : 12 })
}

function installer(file: string, publicKey: string | undefined): void {
  if (publicKey === undefined) fs.copyFileSync(join(ROOT, 'install.sh'), file)
  else fs.writeFileSync(file, stampedInstaller(publicKey))
  fs.chmodSync(file, 0o755)
}

function needXz(): void {
  if (spawnSync('xz', ['--version']).status !== 0)
    throw new Error('Cannot release: xz is not installed (apt-get install xz-utils)')
}

/** When the commit was made: the only time in a release. */
function commitTime(): string | undefined {
  const seconds = Number(git('show', '-s', '--format=%ct', 'HEAD'))
  return seconds > 0 ? new Date(seconds * 1000).toISOString() : undefined
}

/** What git prints, or undefined when there is no git or no repository. */
function git(...args: string[]): string | undefined {
  const run = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' })
  return run.status === 0 ? run.stdout.trim() : undefined
}

/** What the command line asks for; throws an Error when it cannot be understood or must not be signed. */
function asked(args: string[]): ReleaseOptions {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      key: { type: 'string' },
      unsigned: { type: 'boolean', default: false },
      'public-key': { type: 'string' },
      quick: { type: 'boolean', default: false },
      out: { type: 'string', default: join(ROOT, 'dist', 'release') },
    },
  })
  const keyFile = values.key ?? process.env['RUNTIME_AGENT_RELEASE_KEY']
  const platforms = positionals.length === 0 ? PLATFORMS : positionals.map(platformNamed)
  const publicFile = values['public-key']
  const publicKey = publicFile === undefined ? undefined : fs.readFileSync(publicFile, 'utf8')
  const rehearsal = { platforms, directory: resolve(values.out), quick: values.quick, publicKey }
  if (values.unsigned) return rehearsal
  if (publicKey !== undefined)
    throw new Error('Cannot stamp --public-key: install.sh gets the public half of --key')
  if (keyFile === undefined)
    throw new Error('Cannot sign: want --key FILE, RUNTIME_AGENT_RELEASE_KEY or --unsigned')
  if (values.quick || platforms !== PLATFORMS)
    throw new Error('Cannot sign a rehearsal: leave out --quick and names, or give --unsigned')
  if (productVersion().includes('+') || git('status', '--porcelain') !== '')
    throw new Error(
      `Cannot sign ${productVersion()}: want a clean tree at the tag of its version, or --unsigned`,
    )
  return { ...rehearsal, key: fs.readFileSync(keyFile, 'utf8') }
}

function platformNamed(name: string): Platform {
  const platform = PLATFORMS.find((one) => one.name === name)
  if (platform !== undefined) return platform
  const known = PLATFORMS.map((one) => one.name).join(', ')
  throw new Error(`Cannot release for '${name}': want none (for all) or one of ${known}`)
}

if (import.meta.main) {
  try {
    const options = asked(process.argv.slice(2))
    for (const file of await release(options)) console.log(file)
    if (options.key === undefined) process.stderr.write('Not signed: a rehearsal.\n')
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
}
