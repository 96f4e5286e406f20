/**
 * npm run build [-- --all] [-- NAME…]   the bundles and the executable for this machine, for all, or for those named
 *
 * What is built already from the same inputs is not built again (dist/.stamp), so that `npm start` is quick.
 */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { ENTRIES, bundle } from './bundle.ts'
import { type Platform, PLATFORMS, compile, hostPlatform } from './executable.ts'
import { INPUTS, ROOT, productVersion } from './repository.ts'

const DIST = join(ROOT, 'dist')
const STAMP = join(DIST, '.stamp')
const SUMS = join(DIST, 'SHA256SUMS')

/** What {@link build} made or found up to date; paths are absolute. */
export type Built = {
  /** What is started. */
  bundle: string
  /** All bundles, that one first. */
  bundles: string[]
  executables: string[]
}

/** Builds the bundles and one executable for each platform. Throws an Error that says what cannot be built. */
export async function build(platforms: readonly Platform[]): Promise<Built> {
  const inputs = hashInputs()
  fs.mkdirSync(DIST, { recursive: true })
  for (const { name, source } of ENTRIES)
    await unlessBuilt(`${name}.mjs`, inputs, async (outfile) => {
      const fresh = `${outfile}.new`
      await bundle(source, { outfile: fresh, version: productVersion() })
      fs.renameSync(fresh, outfile)
    })
  const inner = onceOnly(bundlesForExecutables)
  const executables: string[] = []
  for (const platform of platforms) {
    const name = `agent-${platform.name}`
    await unlessBuilt(name, inputs, async (outfile) => compile(await inner(), outfile, platform))
    executables.push(join(DIST, name))
  }
  const bundles = ENTRIES.map(({ name }) => join(DIST, `${name}.mjs`))
  return { bundle: join(DIST, 'agent.mjs'), bundles, executables }
}

/** The bundles that are compiled, the one that is started first; their paths. */
async function bundlesForExecutables(): Promise<string[]> {
  const directory = join(ROOT, '.cache', 'executable')
  return (await bundlesIn(directory, { version: productVersion(), onlyBun: true })).bundles
}

/** Writes all bundles into a directory; `inside` are the files that they are made of, relative to the root. */
export async function bundlesIn(
  directory: string,
  { version, onlyBun = false }: { version: string; onlyBun?: boolean },
): Promise<{ bundles: string[]; inside: string[] }> {
  const bundles: string[] = []
  const inside: string[] = []
  for (const { name, source } of ENTRIES) {
    const outfile = join(directory, `${name}.mjs`)
    inside.push(...(await bundle(source, { outfile, version, onlyBun })))
    bundles.push(outfile)
  }
  return { bundles, inside }
}

function onceOnly<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}

/** SHA-256 over all that decides what the product is: sources, these scripts, the locked packages, the version. */
function hashInputs(): string {
  const hash = createHash('sha256').update(`${Bun.version} ${productVersion()}`)
  for (const file of INPUTS.flatMap(filesBelow)) {
    const content = fs.readFileSync(join(ROOT, file))
    hash.update(`\n${file} ${content.length}\n`).update(content)
  }
  return hash.digest('hex')
}

/** All files below a path relative to the root, sorted; the path itself when it is a file. */
function filesBelow(path: string): string[] {
  const full = join(ROOT, path)
  if (fs.statSync(full).isFile()) return [path]
  return fs
    .readdirSync(full, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
    .sort()
}

async function unlessBuilt(
  name: string,
  inputs: string,
  make: (outfile: string) => void | Promise<void>,
): Promise<void> {
  const outfile = join(DIST, name)
  if (fs.existsSync(outfile) && readStamp()[name] === inputs) return
  const started = performance.now()
  fs.rmSync(SUMS, { force: true })
  await make(outfile)
  fs.writeFileSync(STAMP, JSON.stringify({ ...readStamp(), [name]: inputs }, null, 2))
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const megabytes = (fs.statSync(outfile).size / 1e6).toFixed(1)
  process.stderr.write(`built dist/${name} (${megabytes} MB, ${seconds} s)\n`)
}

function readStamp(): Record<string, string> {
  try {
    return JSON.parse(fs.readFileSync(STAMP, 'utf8')) as Record<string, string>
  } catch {
    return {}
  }
}

/** dist/SHA256SUMS over all that was built, in the form that `sha256sum -c` reads. */
function writeSums(built: Built): void {
  const lines = [...built.bundles, ...built.executables].map((file) => {
    const sum = createHash('sha256').update(fs.readFileSync(file)).digest('hex')
    return `${sum}  ${file.slice(DIST.length + 1)}\n`
  })
  fs.writeFileSync(SUMS, lines.join(''))
}

/** The platforms that the command line asks for; throws an Error when it cannot be understood. */
function asked(args: string[]): readonly Platform[] {
  if (args.includes('--all')) return PLATFORMS
  if (args.length === 0) return hostPlatform === undefined ? [] : [hostPlatform]
  return args.map((name) => {
    const platform = PLATFORMS.find((known) => known.name === name)
    if (platform !== undefined) return platform
    const known = PLATFORMS.map((one) => one.name).join(', ')
    throw new Error(`Cannot build for '${name}': want --all or one of ${known}`)
  })
}

if (import.meta.main) {
  try {
    const built = await build(asked(process.argv.slice(2)))
    if (built.executables.length === PLATFORMS.length) writeSums(built)
    for (const file of [...built.bundles, ...built.executables])
      console.log(file.slice(ROOT.length + 1))
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
}
