/**
 * The bundles and Bun in one executable file, for this machine or another one.
 *
 * `bun build` would download Bun for another platform from its vendor's site; here it comes as the npm package of the
 * same version, and its bytes are those that package-lock.json names. x64 needs no second, "baseline" executable: since
 * 1.4 there is one npm package for all x64 processors.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { ENTRIES } from './bundle.ts'
import { bunPackage } from './platform.mjs'
import { ROOT } from './repository.ts'

/** A platform that we compile for: `name` as in agent-<name>, `package` under @oven/. */
export type Platform = { name: string; package: string }

export const PLATFORMS: readonly Platform[] = [
  { name: 'linux-x64', package: 'bun-linux-x64' },
  { name: 'linux-arm64', package: 'bun-linux-aarch64' },
  { name: 'linux-x64-musl', package: 'bun-linux-x64-musl' },
  { name: 'linux-arm64-musl', package: 'bun-linux-aarch64-musl' },
  { name: 'darwin-arm64', package: 'bun-darwin-aarch64' },
]

/** The platform of this machine, if the product is made for it. */
export const hostPlatform: Platform | undefined = PLATFORMS.find(
  (platform) => platform.package === bunPackage(),
)

// Without --no-compile-autoload-… the executable would run a bunfig.toml preload and read a .env of whatever directory it
// is started in. The JIT policy keeps code in the interpreter: what the agent does is done once or once in minutes, and
// compiled code with its compilers takes 18 MB of resident memory. An unchanged pass then takes 44 ms, of which the kernel
// has 15, where it took 29 on one thread and 9 on those of the compilers (npm run bench).
const FLAGS = [
  '--compile',
  '--format=esm',
  '--minify',
  '--bytecode',
  '--asset-naming=[name].[ext]',
  '--compile-jit-policy=1000000',
  '--no-compile-autoload-dotenv',
  '--no-compile-autoload-bunfig',
]

/**
 * Compiles `bundles` (absolute; the first is started) into `outfile` (absolute; replaced whole). The others lie beside the
 * first, as in dist: what is not loaded costs file size only, and of plain ones only their text. The bytes depend on the base names and on the contents only.
 * Throws an Error whose message says what cannot be done.
 */
export function compile(bundles: readonly string[], outfile: string, platform: Platform): void {
  const bun = bunFor(platform)
  mkdirSync(join(ROOT, '.cache'), { recursive: true })
  // Bun leaves its temporary file in the working directory, and a running executable must not be written to.
  const work = mkdtempSync(join(ROOT, '.cache', 'compile-'))
  try {
    const plain = ENTRIES.flatMap((one) => (one.plain ? [`${one.name}.mjs`] : []))
    // Those are imported by the first one.
    const names = bundles.map((bundle) => basename(bundle)).filter((name) => !plain.includes(name))
    for (const bundle of bundles) cpSync(bundle, join(work, basename(bundle)))
    const args = [`--target=bun-${platform.name}`, `--compile-executable-path=${bun}`]
    const output = [`--outfile=${basename(outfile)}`, ...names]
    const run = spawnSync(process.execPath, ['build', ...FLAGS, ...args, ...output], {
      cwd: work,
      encoding: 'utf8',
    })
    if (run.status !== 0)
      throw new Error(`Cannot compile ${basename(outfile)}: bun build failed\n${run.stderr}`)
    // Twice, as what lies on another file system cannot be renamed to there.
    copyFileSync(join(work, basename(outfile)), `${outfile}.new`)
    renameSync(`${outfile}.new`, outfile)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** The Bun executable to embed: the one that runs us, or of another platform from its npm package, fetched once. */
function bunFor(platform: Platform): string {
  if (platform === hostPlatform) return process.execPath
  const cache = join(ROOT, '.cache', `${platform.package}-${Bun.version}`)
  const executable = join(cache, 'package', 'bin', 'bun')
  if (!existsSync(executable)) fetchBun(platform, cache)
  return executable
}

function fetchBun(platform: Platform, cache: string): void {
  const spec = `@oven/${platform.package}@${Bun.version}`
  process.stderr.write(`Fetching ${spec} …\n`)
  mkdirSync(join(ROOT, '.cache'), { recursive: true })
  const work = mkdtempSync(join(ROOT, '.cache', 'fetch-'))
  try {
    const packed = spawnSync('npm', ['pack', spec, '--silent'], { cwd: work, encoding: 'utf8' })
    const archive = join(work, packed.stdout.trim())
    if (packed.status !== 0)
      throw new Error(
        `Cannot fetch ${spec}: npm pack failed; is there a network?\n${packed.stderr}`,
      )
    checkIntegrity(archive, platform, spec)
    const unpacked = spawnSync('tar', ['-xzf', archive, '-C', work], { encoding: 'utf8' })
    if (unpacked.status !== 0) throw new Error(`Cannot unpack ${spec}: ${unpacked.stderr}`)
    rmSync(archive)
    rmSync(cache, { recursive: true, force: true })
    renameSync(work, cache)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** What is embedded in the product must be what package-lock.json names, as for every package that npm ci installs. */
function checkIntegrity(archive: string, platform: Platform, spec: string): void {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  const wanted: unknown = lock.packages[`node_modules/@oven/${platform.package}`]?.integrity
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
  if (wanted !== found)
    throw new Error(
      `Cannot use ${spec}: its checksum is not the one in package-lock.json: found ${found}, want ${String(wanted)}`,
    )
}
