import { afterAll, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { ENTRIES, bundle } from '../../scripts/bundle.ts'
import { compile, hostPlatform } from '../../scripts/executable.ts'
import { ROOT, productVersion } from '../../scripts/repository.ts'
import { skipUnless } from '../skip.ts'

const work = mkdtempSync(join(tmpdir(), 'build-test-'))
afterAll(() => {
  rmSync(work, { recursive: true, force: true })
})

// undici is the package that asks for __filename, and CommonJS; main() is what a hostile directory would change.
const SOURCE = `
import { Agent } from '${join(ROOT, 'node_modules/undici/index.js')}'
declare const AGENT_VERSION: string
console.log(AGENT_VERSION, typeof Agent, process.env['HOSTILE'] ?? 'clean')
`

async function bundleIn(directory: string): Promise<string> {
  mkdirSync(join(work, directory))
  const source = join(work, 'main.ts')
  writeFileSync(source, SOURCE)
  const outfile = join(work, directory, 'agent.mjs')
  await bundle(relative(ROOT, source), { outfile, version: '1.2.3+test' })
  return outfile
}

test('a bundle holds its version, no path of this machine, and is the same wherever it is written', async () => {
  const [one, two] = [await bundleIn('one'), await bundleIn('another')]
  const text = readFileSync(one, 'utf8')
  expect(readFileSync(two, 'utf8')).toBe(text)
  expect(text).toContain('1.2.3+test')
  expect(text).not.toContain('__filename')
  const run = spawnSync(process.execPath, [one], { encoding: 'utf8' })
  expect(run.stdout).toBe('1.2.3+test function clean\n')
})

const compiles = skipUnless(hostPlatform !== undefined, {
  why: 'the product is not made for this platform',
  how: 'run the tests on Linux (x64, arm64) or macOS (arm64)',
  allowedInCi: true,
})

compiles(
  'an executable is the same bytes in two builds and obeys no .env and no bunfig.toml',
  async () => {
    const main = await bundleIn('compile')
    const [one, two] = [join(work, 'compile/agent-x'), join(work, 'one/agent-x')]
    for (const outfile of [one, two]) compile([main], outfile, hostPlatform!)
    expect(Buffer.compare(readFileSync(one), readFileSync(two))).toBe(0)
    const hostile = join(work, 'hostile')
    mkdirSync(hostile)
    writeFileSync(join(hostile, '.env'), 'HOSTILE=dotenv\n')
    writeFileSync(join(hostile, 'bunfig.toml'), 'preload = ["./hostile.ts"]\n')
    writeFileSync(join(hostile, 'hostile.ts'), 'console.log("hostile preload ran")\n')
    const run = spawnSync(one, { cwd: hostile, encoding: 'utf8' })
    expect(run.stdout).toBe('1.2.3+test function clean\n')
  },
)

// Whoever has a kubeconfig loads the second bundle; what it says is told without a network.
const WITH_KUBERNETES = `
import { openKubernetes } from '${join(ROOT, 'src/clients/kubernetes/load.ts')}'
const kubernetes = await openKubernetes({ kubeconfig: process.argv[2], version: 'test' })
console.log(kubernetes.host, kubernetes.namespace)
`
const KUBECONFIG = {
  'current-context': 'one',
  contexts: [{ name: 'one', context: { cluster: 'one', user: 'one', namespace: 'team-a' } }],
  clusters: [{ name: 'one', cluster: { server: 'https://kube.test:6443' } }],
  users: [{ name: 'one', user: { token: 'x' } }],
}

async function bundleWithKubernetes(): Promise<string[]> {
  const folder = mkdtempSync(join(work, 'kubernetes-'))
  writeFileSync(join(folder, 'main.ts'), WITH_KUBERNETES)
  const sources = [relative(ROOT, join(folder, 'main.ts')), ENTRIES[1]!.source]
  const outfiles = [join(folder, 'agent.mjs'), join(folder, `${ENTRIES[1]!.name}.mjs`)]
  for (const [i, source] of sources.entries())
    await bundle(source, { outfile: outfiles[i]!, version: 'test' })
  return outfiles
}

test('a bundle loads the Kubernetes library from beside itself, which holds none of what opens connections', async () => {
  const [main = '', library = ''] = await bundleWithKubernetes()
  const kubeconfig = join(main, '../kubeconfig')
  writeFileSync(kubeconfig, JSON.stringify(KUBECONFIG))
  const run = spawnSync(process.execPath, [main, kubeconfig], { encoding: 'utf8' })
  expect(run.stdout).toBe('kube.test:6443 team-a\n')
  expect(statSync(library).size).toBeLessThan(300_000)
  expect(readFileSync(main, 'utf8')).not.toContain('loadFromDefault(opts')
})

compiles('an executable has the Kubernetes library in it', async () => {
  const bundles = await bundleWithKubernetes()
  const kubeconfig = join(bundles[0]!, '../kubeconfig')
  writeFileSync(kubeconfig, JSON.stringify(KUBECONFIG))
  const outfile = join(work, 'agent-with-kubernetes')
  compile(bundles, outfile, hostPlatform!)
  const run = spawnSync(outfile, [kubeconfig], { cwd: work, encoding: 'utf8' })
  expect(run.stdout).toBe('kube.test:6443 team-a\n')
})

test('the version is that of package.json, with the commit behind it when it is not the tagged one', () => {
  expect(productVersion()).toMatch(/^\d+\.\d+\.\d+(\+[0-9a-f]{12}(\.dirty)?)?$/)
})
