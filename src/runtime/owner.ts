import { readFileSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import process from 'node:process'
import { onDisk, onDiskIfThere } from './disk-error.ts'

/** Our effective user id; -1 where the system has none. */
export function userId(): number {
  return process.geteuid?.() ?? -1
}

/** Gives root the rights of the user whom a file or directory belongs to, and no others; anybody else keeps his own. */
export async function actAsOwnerOf(path: string): Promise<void> {
  if (userId() !== 0) return
  const stat = await onDiskIfThere('look at', path, () => fs.stat(path))
  if (!stat || stat.uid === 0) return
  process.setegid?.(stat.gid)
  process.seteuid?.(stat.uid)
}

/** Number of a group by name or decimal text; `undefined` when there is none. Asks `getent` for what /etc/group lacks. */
export function groupId(name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name)
  const local = records('/etc/group').find(([group]) => group === name)
  const found = local?.[2] ?? directoryGroup(name)
  return found === undefined ? undefined : Number(found)
}

/** A group of LDAP, SSSD or systemd. */
function directoryGroup(name: string): string | undefined {
  // A name that looks like an option would be one.
  if (name.startsWith('-')) return undefined
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const answer = spawnSync('getent', ['group', name], { encoding: 'utf8', timeout: 5000 })
  return answer.status === 0 ? answer.stdout.split(':')[2] : undefined
}

/** Lines of passwd and group, split at colons: name, x, number, … */
function records(file: string): string[][] {
  try {
    const text = readFileSync(file, 'utf8')
    return text.split('\n').map((line) => line.split(':'))
  } catch {
    return []
  }
}

/**
 * The first of `path` and its parents, from the root on, that a user other than us and root can change, or `undefined`.
 * Sticky directories are fine as parents; parts that do not exist are skipped; symlinks are looked at with where they lead.
 */
export function isWritableByOthers(path: string): Promise<string | undefined> {
  return onDisk('look at', path, async () => {
    const given = resolve(path)
    const real = await onDiskIfThere('look at', given, () => fs.realpath(given))
    for (const start of real === undefined || real === given ? [given] : [given, real]) {
      for (const part of partsOf(start)) {
        if (await foreign(part, part === start)) return part
      }
    }
    return undefined
  })
}

/** Where a path really leads: symlinks followed in as much of it as exists. */
export function realPath(path: string): Promise<string> {
  return onDisk('look at', path, async () => {
    const parts = partsOf(resolve(path)).reverse()
    for (const part of parts) {
      const real = await onDiskIfThere('look at', part, () => fs.realpath(part))
      if (real !== undefined) return join(real, relative(part, resolve(path)))
    }
    return resolve(path)
  })
}

function partsOf(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [path] : [...partsOf(parent), path]
}

async function foreign(path: string, last: boolean): Promise<boolean> {
  const stat = await onDiskIfThere('look at', path, () => fs.lstat(path))
  if (!stat) return false
  if (stat.uid !== 0 && stat.uid !== userId()) return true
  // Whoever may write in a sticky directory can add names, but not move or remove ours.
  if (stat.isSymbolicLink() || (!last && (stat.mode & 0o1000) !== 0)) return false
  if ((stat.mode & 0o002) !== 0) return true
  return (stat.mode & 0o020) !== 0 && stat.gid !== 0 && !isPrivateGroup(stat.gid)
}

/** Many systems give each user a group of the same name with nobody else in it. */
function isPrivateGroup(gid: number): boolean {
  const user = records('/etc/passwd').find((record) => record[2] === String(userId()))?.[0]
  const group = records('/etc/group').find((record) => record[2] === String(gid))
  if (!user || group?.[0] !== user) return false
  return (group[3] ?? '').split(',').every((member) => member === '' || member === user)
}

/** Permission bits of what a path leads to. */
export function fileMode(path: string): Promise<number> {
  return onDisk('look at', path, async () => (await fs.stat(path)).mode & 0o777)
}

/** Size, time and place of what a path leads to, as text that changes when the file does. */
export function lookOf(path: string): Promise<string> {
  return onDisk('look at', path, async () => {
    const { size, mtimeNs, ctimeNs, ino } = await fs.stat(path, { bigint: true })
    return `${size} ${mtimeNs} ${ctimeNs} ${ino}`
  })
}
