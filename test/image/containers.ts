/** podman and buildah with a storage of their own, so that no image or volume of the machine is touched. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipUnless } from '../skip.ts'

const TOOLS = ['buildah', 'podman', 'runc']
const missing = TOOLS.filter((tool) => Bun.which(tool) === null)
const mayRun = process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0
/** Whether {@link inContainers} runs its tests. */
export const canRun = mayRun && missing.length === 0

/** `test` for what builds and runs an image. */
export const inContainers = skipUnless(canRun, {
  why: mayRun ? `${missing.join(', ')} not installed` : 'this user may make no mount namespace',
  how: 'as root on Linux: apt-get install buildah podman runc',
  allowedInCi: !mayRun,
})

/** Sockets and locks of podman want a short path. */
const work = mkdtempSync(join(tmpdir(), 'img-'))
/** For buildah and podman alike. */
export const STORAGE = [
  '--root',
  join(work, 's'),
  '--runroot',
  join(work, 'r'),
  '--storage-driver',
  'vfs',
]

export type Said = { code: number | null; out: string; err: string }

/** Runs podman to its end. */
export function podman(...args: string[]): Said {
  const options = ['--runtime', 'runc', '--cgroup-manager', 'cgroupfs', '--events-backend', 'file']
  const run = spawnSync('podman', [...STORAGE, ...options, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { code: run.status, out: run.stdout, err: run.stderr }
}

/** Of `podman run`: nothing that the agent does not need, and limits that this process may hand on. */
export const SEALED = [
  ...['--network', 'host', '--read-only', '--read-only-tmpfs=false'],
  ...['--cap-drop', 'all', '--security-opt', 'no-new-privileges'],
  ...['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
]

/** Ends all containers of the tests and removes their storage. */
export function removeAll(): void {
  podman('rm', '--all', '--force', '--time', '0')
  podman('volume', 'rm', '--all', '--force')
  rmSync(work, { recursive: true, force: true })
}
