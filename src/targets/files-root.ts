import { AgentError, toAgentError } from '../model/problem.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import type { FileFacts } from '../runtime/file-facts.ts'
import { dirname, join } from '../runtime/path.ts'
import {
  DIRECTORY_MODE,
  FILE_MODE,
  generationName,
  isLeftover,
  isOurs,
  MARK,
} from './files-layout.ts'
import { encodeMark } from './files-manifest.ts'
import type { Mark } from './files-manifest.ts'

/** Generations that stay, the current one included: readers may still hold an old one. */
const KEPT = 5

export type RootInput = {
  disk: BulkFiles
  root: string
  mark: Mark
  /** Of the readers; undefined: whatever the directory has. */
  gid: number | undefined
}

/** Makes the directory ours: exists, right mode and group, marked. Changes nothing that is right already. */
export async function prepareRoot({ disk, root, mark, gid }: RootInput): Promise<void> {
  const as = { mode: DIRECTORY_MODE, gid }
  if (disk.look(`${root}/`) === undefined) makeParents(disk, dirname(root))
  try {
    if (disk.look(`${root}/`) === undefined) disk.makeDirectory(root, as)
    else disk.mend(`${root}/`, as)
  } catch (thrown) {
    throw explainGroup(thrown, gid)
  }
  if (disk.read(join(root, MARK)) !== undefined) return
  await disk.replace(join(root, MARK), encodeMark(mark), { mode: FILE_MODE, gid })
}

/** Readers of the group must be able to pass through, and need not list. */
function makeParents(disk: BulkFiles, path: string): void {
  if (disk.look(`${path}/`) !== undefined) return
  makeParents(disk, dirname(path))
  disk.makeDirectory(path, { mode: 0o711, gid: undefined })
}

/** Only members of a group (and root) may give files to it, and only root makes such a directory under a sandbox. */
function explainGroup(thrown: unknown, gid: number | undefined): unknown {
  const error = toAgentError(thrown)
  if (!/EPERM|made mode/.test(error.message)) return error
  if (gid !== undefined)
    return new AgentError(
      'group_unknown',
      `${error.message}: is the user of the agent in the group ${gid}?`,
    )
  return new AgentError(error.code, error.message, {
    hint: "make it for the agent's user, with mode 2750; `agent install systemd` does so",
  })
}

/** Removes what killed processes left. Only in a marked directory, only for its one owner. */
export function removeLeftovers(disk: BulkFiles, root: string): void {
  for (const name of disk.list(root) ?? []) {
    if (isLeftover(name)) disk.remove(join(root, name))
  }
}

/**
 * Removes all but the latest generations, and only what a manifest says is ours. Each is renamed first, so that a kill
 * in between leaves no half generation under a name that counts.
 */
export function removeOld(
  { disk, root, mark }: Omit<RootInput, 'gid'>,
  { generations, current }: { generations: readonly number[]; current: number },
): void {
  const others = generations.filter((generation) => generation !== current).sort((a, b) => b - a)
  for (const generation of others.slice(KEPT - 1)) {
    const path = join(root, generationName(generation))
    if (!isOurs(disk, path, mark)) continue
    const going = join(root, generationName(generation, '.old-'))
    disk.rename(path, going)
    disk.remove(going)
  }
}

/** Whether the directory has the mode and group that it was given. */
export function isRootRight(facts: FileFacts | undefined, gid: number | undefined): boolean {
  return facts?.mode === DIRECTORY_MODE && (gid === undefined || facts.gid === gid)
}
