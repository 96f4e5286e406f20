/** File systems that are soon full. */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { skipUnless } from '../skip.ts'
import { Output } from './output.ts'

/** Runs `work` in a directory that is a file system of its own of so many kB. */
export async function onSmallDisk(
  kB: number,
  inodes: number,
  work: (mount: string) => Promise<void>,
): Promise<void> {
  const output = new Output()
  const mount = join(output.base, 'disk')
  mkdirSync(mount)
  const size = `size=${kB}k,nr_inodes=${inodes},mode=0755`
  spawnSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', mount])
  try {
    await work(mount)
  } finally {
    spawnSync('umount', ['-l', mount])
    output.remove()
  }
}

const canMount = (() => {
  const output = new Output()
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', output.state])
  if (status === 0) spawnSync('umount', ['-l', output.state])
  output.remove()
  return status === 0
})()

/** `test` for what needs such a file system. */
export const whenMountable = skipUnless(canMount, {
  why: 'only root (with CAP_SYS_ADMIN) can mount a small file system',
  how: 'run the tests as root, in a container with --privileged',
})
