/** Being another user than root, and having small disks: what tests of permissions and full disks need. */
import { spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipUnless } from '../../skip.ts'

const NOBODY = 65534

const isRoot = process.geteuid?.() === 0

/** How to start a program as a user without rights: as ourselves, unless we are root. */
export const asNobody: readonly string[] = isRoot
  ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']
  : []

const canBeNobody = !isRoot || spawnSync('setpriv', ['--version']).status === 0

/** `test` for what needs a user without rights. */
export const withoutRights = skipUnless(canBeNobody, {
  why: 'setpriv is not installed, so root cannot run a program as another user',
  how: 'apt-get install util-linux, or run the tests as another user than root',
})

/** Gives a directory and all that is in it to that user. */
export function giveToNobody(directory: string): void {
  if (!isRoot) return
  chownSync(directory, NOBODY, NOBODY)
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    if (statSync(path).isDirectory()) giveToNobody(path)
    else chownSync(path, NOBODY, NOBODY)
  }
}

export type SmallDisk = {
  readonly directory: string
  remountReadOnly(on: boolean): void
  close(): void
}

const canMount =
  isRoot && spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', tmpdir()]).status === 0

/** `test` for what needs a disk that can be full. */
export const withSmallDisk = skipUnless(canMount, {
  why: 'a small tmpfs cannot be mounted here',
  how: 'run the tests as root on Linux, in a container with --cap-add SYS_ADMIN',
})

/** A tmpfs of so many KiB. */
export function smallDisk(directory: string, kibibytes: number): SmallDisk {
  const mount = (...args: string[]): void => {
    const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`mount ${args.join(' ')}: ${stderr}`)
  }
  mkdirSync(directory, { recursive: true })
  mount('-t', 'tmpfs', '-o', `size=${kibibytes}k,mode=0755`, 'agent-test', directory)
  return {
    directory,
    remountReadOnly: (on) => mount('-o', `remount,${on ? 'ro' : 'rw'}`, directory),
    close: () => void spawnSync('umount', ['-l', directory]),
  }
}
