/**
 * npm run envtest   builds etcd, kube-apiserver, kustomize and daprd, once per version, for the tests on real platforms
 *
 * They are built from the Go modules in test/envtest, whose go.sum pins every byte, into the user's cache, so that all
 * clones share them; 9 CPU minutes the first time, seconds when Go's own cache is warm. $KUBEBUILDER_ASSETS wins, as with
 * other projects: a directory that holds the first two, and may hold the others. kube-apiserver's release is changed by its update.sh.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from './repository.ts'

/** Paths of the two programs. */
export type Envtest = { etcd: string; apiServer: string }

/** `module` carries the version, `stamp` is where the program keeps it. */
type Program = { name: string; module: string; stamp: string }

const ETCD: Program = {
  name: 'etcd',
  module: 'go.etcd.io/etcd/server/v3',
  stamp: 'go.etcd.io/etcd/api/v3/version.Version=',
}
const API_SERVER: Program = {
  name: 'kube-apiserver',
  module: 'k8s.io/kubernetes',
  stamp: 'k8s.io/component-base/version.gitVersion=v',
}

/** Builds deploy/kubernetes as `kubectl apply -k` does. */
const KUSTOMIZE: Program = {
  name: 'kustomize',
  module: 'sigs.k8s.io/kustomize/kustomize/v5',
  stamp: 'sigs.k8s.io/kustomize/api/provenance.version=v',
}

/** Dapr's sidecar with the few components that tests use. */
const DAPRD: Program = {
  name: 'daprd',
  module: 'github.com/dapr/dapr',
  stamp: 'github.com/dapr/dapr/pkg/buildinfo.version=',
}

/** Path of daprd; undefined when it is missing. */
export function findDaprd(): string | undefined {
  const path = pathOf(DAPRD)
  return existsSync(path) ? path : undefined
}

/** Path of kustomize; undefined when it is missing. */
export function findKustomize(): string | undefined {
  const path = pathOf(KUSTOMIZE)
  return existsSync(path) ? path : undefined
}

/** The programs of $KUBEBUILDER_ASSETS, else those that this script has built; undefined when one is missing. */
export function findEnvtest(): Envtest | undefined {
  const etcd = pathOf(ETCD)
  const apiServer = pathOf(API_SERVER)
  return existsSync(etcd) && existsSync(apiServer) ? { etcd, apiServer } : undefined
}

function pathOf(program: Program): string {
  const given = join(process.env['KUBEBUILDER_ASSETS'] ?? '', program.name)
  if (process.env['KUBEBUILDER_ASSETS'] !== undefined && existsSync(given)) return given
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  return join(cache, 'runtime-agent-envtest', `${program.name}-${versionOf(program)}`)
}

function versionOf({ name, module }: Program): string {
  const text = readFileSync(join(ROOT, 'test/envtest', name, 'go.mod'), 'utf8')
  const [, version] = text.match(new RegExp(`${module} v([0-9.]+)$`, 'm')) ?? []
  if (version === undefined) throw new Error(`Cannot read the version of ${name} in its go.mod`)
  return version
}

/** Builds one of them unless it is there. Throws an Error that says what cannot be built and how to get it. */
function build(program: Program): void {
  const path = pathOf(program)
  if (existsSync(path)) {
    process.stderr.write(`${path} is there\n`)
    return
  }
  const version = versionOf(program)
  process.stderr.write(`building ${program.name} ${version}, once …\n`)
  mkdirSync(join(path, '..'), { recursive: true })
  const fresh = `${path}.${process.pid}`
  const started = performance.now()
  const run = spawnSync(
    'go',
    ['build', '-trimpath', '-ldflags', `-s -w -X ${program.stamp}${version}`, '-o', fresh, '.'],
    {
      cwd: join(ROOT, 'test/envtest', program.name),
      env: { ...process.env, CGO_ENABLED: '0' },
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  )
  if (run.status !== 0) {
    rmSync(fresh, { force: true })
    throw new Error(`Cannot build ${program.name}: ${whyNot(run)}`)
  }
  renameSync(fresh, path)
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  const megabytes = (statSync(path).size / 1e6).toFixed(0)
  process.stderr.write(`built ${path} (${megabytes} MB, ${seconds} s)\n`)
}

function whyNot(run: { error?: Error | undefined; status: number | null }): string {
  if (run.error !== undefined && 'code' in run.error && run.error.code === 'ENOENT')
    return 'there is no Go; install it (https://go.dev/dl), or name a directory that holds etcd and kube-apiserver in KUBEBUILDER_ASSETS'
  return run.error?.message ?? `go build ended with ${run.status ?? 'a signal'}`
}

if (import.meta.main) {
  try {
    for (const program of [ETCD, API_SERVER, KUSTOMIZE, DAPRD]) build(program)
    const found = findEnvtest()
    console.log(`${found?.etcd}\n${found?.apiServer}\n${findKustomize()}\n${findDaprd()}`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
}
