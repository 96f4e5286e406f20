/**
 * npm run test:golden   every case of $GOLDEN_DIR through a real pass, on a real Kubernetes API
 *
 * A case is a folder with director.json, what the Director answers, and expected.json, what the Go agent made of it; by
 * default those of ../shared/golden. Where the agent deliberately differs: test/golden/differences.ts.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { findEnvtest } from './envtest.ts'
import { ROOT } from './repository.ts'

const directory = resolve(ROOT, process.env['GOLDEN_DIR'] ?? '../shared/golden')
if (!existsSync(directory)) stop(`there is no ${directory}: name the cases in GOLDEN_DIR`)
if (findEnvtest() === undefined) stop('etcd and kube-apiserver are not built: npm run envtest')

const { status } = spawnSync(
  process.execPath,
  ['test', '--no-orphans', '--timeout=30000', 'test/golden', ...process.argv.slice(2)],
  { cwd: ROOT, stdio: 'inherit', env: { ...process.env, GOLDEN_DIR: directory } },
)
process.exit(status ?? 1)

function stop(why: string): never {
  console.error(`Cannot run the golden cases: ${why}`)
  process.exit(1)
}
