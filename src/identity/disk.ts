import type { Identity, PendingEnrolment } from '../model/identity.ts'
import { AgentError, problem, type Problem } from '../model/problem.ts'
import type { Instant } from '../model/time.ts'
import * as runtimeFiles from '../runtime/files.ts'
import { randomBytes } from '../runtime/keys.ts'
import { basename, join } from '../runtime/path.ts'
import {
  generationName,
  parseGeneration,
  readGeneration,
  removeGeneration,
  writeGeneration,
  type Files,
} from './generation.ts'
import { decodePending, encodePending } from './journal.ts'
import { verifyIdentity, type IdentityStore, type LoadedIdentity } from './store.ts'

/*
 * The identity on disk, below `identity/` of the state directory (0700, files 0600):
 *
 *   current -> gen-000042       the one in use; replaced by one rename
 *   gen-000042/ gen-000041/     key.pem, chain.pem, meta.json; the older one is the way back
 *   enrolment.json              the journal; replaced by one rename
 *
 * A new generation is whole, on disk and verified before `current` names it, and older ones go only after that. Numbers
 * are never used twice. Reading deletes nothing; what is not ours is never deleted.
 */

export type DiskStoreOptions = {
  /** The state directory. */
  directory: string
  /** For the time of writing in meta.json, which only people read. */
  now?: () => Instant
}

const CURRENT = 'current'
const JOURNAL = 'enrolment.json'
/** More than key, chain and journal need together. */
const PROBE_BYTES = 64 * 1024

/** The store below `directory`; nothing is read or written before its first call. `files` is for tests. */
export function openDiskStore(
  options: DiskStoreOptions,
  files: Files = runtimeFiles,
): IdentityStore {
  const disk: Disk = {
    files,
    directory: join(options.directory, 'identity'),
    now: options.now ?? Date.now,
  }
  const journal = join(disk.directory, JOURNAL)
  return {
    load: () => load(disk),
    promote: (identity) => promote(disk, identity),
    forget: () => forget(disk, journal),
    check: () => check(disk),
    savePending: (pending) => savePending(disk, journal, pending),
    loadPending: () => loadPending(disk, journal),
    clearPending: async () => {
      if ((await files.lstat(journal)) === undefined) return
      await files.removeFile(journal)
      await files.syncDirectory(disk.directory)
    },
  }
}

type Disk = { files: Files; directory: string; now: () => Instant }

/** What lies in the directory. */
type Found = {
  /** Target of `current`, a name in this directory; undefined: missing, or unfit. */
  current: string | undefined
  /** Why `current` is unfit; `foreign` when it is not a symlink, so not made by us. */
  unfit: { why: string; foreign: boolean } | undefined
  /** Whole generations, newest first. */
  whole: string[]
  unfinished: string[]
  highest: number
}

async function look({ files, directory }: Disk): Promise<Found> {
  const found: Found = {
    current: undefined,
    unfit: undefined,
    whole: [],
    unfinished: [],
    highest: 0,
  }
  const numbers = new Map<string, number>()
  for (const name of (await files.list(directory)) ?? []) {
    const generation = parseGeneration(name)
    if (generation === undefined) continue
    found.highest = Math.max(found.highest, generation.number)
    numbers.set(name, generation.number)
    if (generation.whole) found.whole.push(name)
    else found.unfinished.push(name)
  }
  found.whole.sort((a, b) => (numbers.get(b) ?? 0) - (numbers.get(a) ?? 0))
  const link = join(directory, CURRENT)
  const kind = (await files.lstat(link))?.kind
  if (kind === undefined) return found
  if (kind !== 'symlink')
    return { ...found, unfit: { why: `${CURRENT} is a ${kind}, want a symlink`, foreign: true } }
  const target = (await files.readSymlink(link)) ?? ''
  const generation = parseGeneration(target)
  if (generation?.whole !== true)
    return { ...found, unfit: { why: `${CURRENT} leads to no generation`, foreign: false } }
  found.highest = Math.max(found.highest, generation.number)
  return { ...found, current: target }
}

async function load(disk: Disk): Promise<LoadedIdentity | undefined> {
  const found = await look(disk)
  const reasons = found.unfit === undefined ? [] : [found.unfit.why]
  if (found.current === undefined && found.whole.length === 0) {
    if (reasons.length > 0) throw unreadable(disk, reasons)
    return undefined
  }
  if (found.current === undefined && reasons.length === 0) reasons.push(`${CURRENT} is missing`)
  const candidates = new Set([
    ...(found.current === undefined ? [] : [found.current]),
    ...found.whole,
  ])
  for (const name of candidates) {
    try {
      const identity = await readGeneration(disk.files, join(disk.directory, name))
      return { identity, ...(reasons.length > 0 && { fallback: fallbackTo(disk, name, reasons) }) }
    } catch (thrown) {
      reasons.push(`${name}: ${reasonOf(thrown)}`)
    }
  }
  throw unreadable(disk, reasons)
}

/** The pointer goes first: a crash after it leaves generations that load() still finds, so that forgetting can be repeated. */
async function forget(disk: Disk, journal: string): Promise<void> {
  const { files, directory } = disk
  const { whole, unfinished } = await look(disk)
  for (const path of [join(directory, CURRENT), journal]) {
    const kind = (await files.lstat(path))?.kind
    if (kind === 'symlink' || kind === 'file') await files.removeFile(path)
  }
  for (const name of [...unfinished, ...whole]) await removeGeneration(files, join(directory, name))
  if ((await files.lstat(directory)) !== undefined) await files.syncDirectory(directory)
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : 'unknown reason'
}

function unreadable({ directory }: Disk, reasons: readonly string[]): AgentError {
  const message = `Cannot read the identity in ${directory}: ${reasons.join('; ')}`
  return new AgentError('identity_unreadable', message)
}

function fallbackTo({ directory }: Disk, name: string, reasons: readonly string[]): Problem {
  return problem(
    'identity_unreadable',
    `Cannot use the newest identity in ${directory}: ${reasons.join('; ')}; ${name} is used instead`,
    { hint: 'look at the disk; the next renewal writes a new one, agent renew does so at once' },
  )
}

async function promote(disk: Disk, identity: Identity): Promise<void> {
  verifyIdentity(identity)
  const { files, directory } = disk
  await files.ensureDirectory(directory, { mode: 0o700 })
  const found = await look(disk)
  assertReplaceable(disk, found)
  const wayBack = await usableName(disk, found)
  const name = generationName(found.highest + 1)
  await writeGeneration(files, { directory, name }, identity, disk.now())
  await files.replaceSymlink(join(directory, CURRENT), name)
  for (const old of [...found.whole, ...found.unfinished]) {
    if (old !== wayBack) await removeGeneration(files, join(directory, old))
  }
}

/** The generation that load() gives now; when none is usable, the one that `current` names. */
async function usableName(disk: Disk, found: Found): Promise<string | undefined> {
  for (const name of new Set([found.current ?? '', ...found.whole])) {
    if (name === '') continue
    const usable = await readGeneration(disk.files, join(disk.directory, name)).catch(
      () => undefined,
    )
    if (usable !== undefined) return name
  }
  return found.current
}

function assertReplaceable({ directory }: Disk, found: Found): void {
  if (found.unfit?.foreign !== true) return
  throw new AgentError(
    'identity_unreadable',
    `Cannot keep an identity in ${directory}: ${found.unfit.why}`,
    { hint: `move ${join(directory, CURRENT)} away: it is not of this agent` },
  )
}

async function check(disk: Disk): Promise<void> {
  const { files, directory } = disk
  await files.ensureDirectory(directory, { mode: 0o700 })
  const found = await look(disk)
  assertReplaceable(disk, found)
  await files.removeTemporary(directory)
  for (const name of found.unfinished) await removeGeneration(files, join(directory, name))
  const probe = join(directory, '.probe')
  await files.writeAtomic(probe, randomBytes(PROBE_BYTES), { mode: 0o600 })
  await files.removeFile(probe)
}

async function savePending(disk: Disk, path: string, pending: PendingEnrolment): Promise<void> {
  const { files, directory } = disk
  await files.ensureDirectory(directory, { mode: 0o700 })
  await layAsideDamaged(disk, path)
  await files.writeAtomic(path, encodePending(pending), { mode: 0o600 })
}

async function loadPending({ files }: Disk, path: string): Promise<PendingEnrolment | undefined> {
  const kind = (await files.lstat(path))?.kind
  if (kind !== undefined && kind !== 'file') throw damaged(path, `it is a ${kind}`)
  const text = await files.readText(path)
  if (text === undefined) return undefined
  try {
    return decodePending(text)
  } catch (thrown) {
    throw damaged(path, reasonOf(thrown))
  }
}

function damaged(path: string, why: string): AgentError {
  return new AgentError('identity_unreadable', `Cannot read the journal ${path}: ${why}`, {
    hint: 'put a new one-time token in place: the journal is laid aside then; an identity that works is not touched',
  })
}

/** A journal that cannot be read may hold a key that a person can still save: it is renamed, never written over. */
async function layAsideDamaged(disk: Disk, path: string): Promise<void> {
  const usable = await loadPending(disk, path).then(
    () => true,
    (thrown: unknown) => {
      if (thrown instanceof AgentError && thrown.code === 'identity_unreadable') return false
      throw thrown
    },
  )
  if (!usable) await disk.files.rename(path, join(disk.directory, `${basename(path)}.damaged`))
}
