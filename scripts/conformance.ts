/**
 * npm run conformance [-- RUNTIME…]   the programs of test/conformance in each runtime (`bun`, `deno`, `node22` …)
 *
 * Each program is bundled as the product is, so that one file runs under all runtimes, and started in each; it prints
 * `N passed, N failed` as its last line. In its environment it finds AGENT_RUNTIME_COMMAND, the JSON of the command that
 * starts a script in this runtime (`[…, "dist/agent.mjs", "version"]`), AGENT_PEER_COMMAND, the same for another runtime,
 * and AGENT_BUNDLE, the path of dist/agent.mjs where the program is not the suite of src/runtime. The one on Kubernetes
 * finds AGENT_KUBECONFIG, that of a real API server, and is left out where none is built (npm run envtest); the one on
 * storage finds AGENT_POSTGRES, where PostgreSQL is installed.
 *
 * Deno and Node come from npm in exact versions, kept in .cache/conformance: in package.json their platform packages
 * would break the lock file.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { startKube } from '../test/kube-server.ts'
import { hasPostgres, startPostgres } from '../test/postgres-server.ts'
import { build } from './build.ts'
import { ENTRIES, bundle } from './bundle.ts'
import { findEnvtest } from './envtest.ts'
import { ROOT, productVersion } from './repository.ts'

const CACHE = join(ROOT, '.cache', 'conformance')
const PROGRAMS = join(ROOT, 'test', 'conformance')
/** What the agent needs; Deno refuses everything else. */
const DENO_PERMISSIONS = ['read', 'write', 'env', 'net', 'run', 'sys'].map(
  (name) => `--allow-${name}`,
)

/** `command` starts a script of which the path follows. */
type Runtime = { name: string; command: string[] }
type Installed = { name: string; package: string; binary: string; args: string[] }

const os = process.platform
const arch = process.arch
const nodePackage = `${os === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node'}-${os}-${arch}`
const node = (name: string, version: string): Installed => ({
  name,
  package: `${nodePackage}@${version}`,
  binary: join(nodePackage, 'bin', 'node'),
  args: [],
})

const INSTALLED: Installed[] = [
  {
    name: 'deno',
    package: 'deno@2.9.6',
    binary: join('@deno', `${os}-${arch}${os === 'linux' ? '-glibc' : ''}`, 'deno'),
    args: ['run', '--no-prompt', ...DENO_PERMISSIONS],
  },
  node('node22.19', '22.19.0'), // the oldest that undici 8 takes
  node('node22', '22.23.3'),
  node('node24', '24.21.0'),
  node('node26', '26.10.0'),
]

const totals = { passed: 0, failed: 0, skipped: 0 }
const bun: Runtime = { name: 'bun', command: [process.execPath, 'run', '--no-env-file'] }
const wanted = process.argv.slice(2)
const isWanted = ({ name }: { name: string }): boolean =>
  wanted.length === 0 || wanted.includes(name)
const runtimes = [bun, ...INSTALLED.filter(isWanted).flatMap(install)].filter(isWanted)

for (const program of readdirSync(PROGRAMS)
  .filter((name) => name.endsWith('.ts'))
  .sort()) {
  if (program === 'kubernetes.ts') await runOnKubernetes(program)
  else if (program === 'storage.ts') await runOnPostgres(program)
  else await runProgram(program, program === 'suite.ts' ? {} : await builtBundle())
}
const { passed, failed, skipped } = totals
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)

/** Gives the runtime, from the cache or from npm; none when this machine cannot have it. */
function install({ name, package: wantedPackage, binary, args }: Installed): Runtime[] {
  const prefix = join(CACHE, wantedPackage)
  const path = join(prefix, 'node_modules', binary)
  if (!existsSync(path)) {
    mkdirSync(prefix, { recursive: true })
    const flags = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund']
    const run = spawnSync('npm', ['install', '--prefix', prefix, ...flags, wantedPackage], {
      encoding: 'utf8',
    })
    if (run.status !== 0) console.error(run.stderr)
  }
  const version = spawnSync(path, ['--version'], { encoding: 'utf8' })
  if (version.status === 0) return [{ name, command: [path, ...args] }]
  leaveOut(name, `${wantedPackage} does not run here (npm install ${wantedPackage})`)
  return []
}

/** In CI nothing may be left out. */
function leaveOut(name: string, why: string): void {
  totals[process.env['CI'] === 'true' ? 'failed' : 'skipped'] += 1
  console.log(`${name} is left out: ${why}`)
}

async function builtBundle(): Promise<Record<string, string>> {
  return { AGENT_BUNDLE: (await build([])).bundle }
}

async function runOnKubernetes(file: string): Promise<void> {
  if (findEnvtest() === undefined) {
    leaveOut(file, 'there is no Kubernetes API (npm run envtest)')
    return
  }
  await bundleLibraries()
  const kube = await startKube()
  try {
    await runProgram(file, { AGENT_KUBECONFIG: kube.kubeconfig })
  } finally {
    await kube.stop()
  }
}

/** The storage of servers on both of its databases. */
async function runOnPostgres(file: string): Promise<void> {
  await bundleLibraries()
  if (!hasPostgres) leaveOut(`PostgreSQL in ${file}`, 'it is not installed')
  const postgres = hasPostgres ? await startPostgres() : undefined
  try {
    const url = postgres?.database().reveal()
    await runProgram(file, url === undefined ? {} : { AGENT_POSTGRES: url })
  } finally {
    await postgres?.stop()
  }
}

/** What programs load lies beside them. */
async function bundleLibraries(): Promise<void> {
  const version = productVersion()
  for (const { name, source } of ENTRIES.slice(1))
    await bundle(source, { outfile: join(CACHE, `${name}.mjs`), version })
}

async function runProgram(file: string, env: Record<string, string>): Promise<void> {
  const outfile = join(CACHE, file.replace(/\.ts$/, '.mjs'))
  await bundle(join('test', 'conformance', file), { outfile, version: productVersion() })
  for (const runtime of runtimes) {
    const peer = runtimes.find((other) => other !== runtime) ?? runtime
    await runIn(runtime, outfile, {
      ...env,
      AGENT_RUNTIME_COMMAND: JSON.stringify(runtime.command),
      AGENT_PEER_COMMAND: JSON.stringify(peer.command),
    })
  }
}

/** Runs one program to its end, or to ten minutes, shows what it prints and counts what its last line says. */
async function runIn(
  { name, command }: Runtime,
  program: string,
  env: Record<string, string>,
): Promise<void> {
  console.log(`\n${name}: ${program.slice(CACHE.length + 1)}`)
  const begin = performance.now()
  const [executable = '', ...args] = command
  const child = spawn(executable, [...args, program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
    timeout: 600_000,
    killSignal: 'SIGKILL',
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    process.stdout.write(chunk)
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  const last = output.trimEnd().split('\n').at(-1) ?? ''
  const counted = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(last)
  totals.passed += Number(counted?.[1] ?? 0)
  totals.skipped += Number(counted?.[3] ?? 0)
  const failures = Number(counted?.[2] ?? 0)
  totals.failed += failures
  if (!counted || (code !== 0 && failures === 0)) {
    totals.failed += 1
    console.log(`(fail) ${name} ended with ${code ?? 'a signal'} and without a count`)
  }
  console.log(`${name}: ${((performance.now() - begin) / 1000).toFixed(1)} s`)
}
