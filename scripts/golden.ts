/**
 * npm run test:golden   every case of $GOLDEN_DIR through a real pass, on a real Kubernetes API
 *
 * A case is a folder with director.json, what the Director answers, and expected.json, what the Go agent made of it; by
 * default those of ../shared/golden. Where the agent deliberately differs: test/golden/differences.ts.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { findEnvtest } from './envtest.ts'
import { ROOT } from './repository.ts'

const directory = resolve(ROOT, process.env['GOLDEN_DIR'] ?? '../shared/golden')
const cases = existsSync(directory) ? readdirSync(directory) : []
if (!cases.some((name) => existsSync(join(directory, name, 'director.json'))))
  stop(`there are none in ${directory}: name their directory in GOLDEN_DIR`)
if (findEnvtest() === undefined) bun('scripts/envtest.ts')
if (findEnvtest() === undefined) stop('there are no etcd and kube-apiserver')

process.exit(
  bun('test', '--no-orphans', '--timeout=30000', 'test/golden', ...process.argv.slice(2)),
)

function bun(...args: string[]): number {
  const env = { ...process.env, GOLDEN_DIR: directory }
  return spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit', env }).status ?? 1
}

function stop(why: string): never {
  console.error(`Cannot run the golden cases: ${why}`)
  process.exit(1)
}
