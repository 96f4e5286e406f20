import { canonicalJson } from '../model/digest.ts'
import { AgentError } from '../model/problem.ts'
import { Secret } from '../model/secret.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import { hmac } from '../runtime/keys.ts'
import { dirname, join } from '../runtime/path.ts'
import type { DaprSecret } from './dapr-document.ts'
import { checkPlace, FILE_MODE, MARK } from './files-layout.ts'
import { readMark } from './files-manifest.ts'
import type { Mark } from './files-manifest.ts'
import { prepareRoot } from './files-root.ts'

/*
 * Secrets of a daprd on this machine: `secrets-<12 hex>.json` in a directory that is not watched, read by its group. daprd
 * reads such a file once, when its path is new; so the path is made from the content. The hash is keyed: the path stands
 * in a file that others may read.
 */

/** Values by name of the secret and key. */
export type SecretValues = ReadonlyMap<string, Readonly<Record<string, Secret>>>

/** In each file: which it is, for who asks daprd for it. */
export const GENERATION = 'ucl-generation'

const NAME = /^secrets-([0-9a-f]{12})\.json$/

export type SecretsPlace = {
  disk: BulkFiles
  directory: string
  /** Of daprd; undefined: whatever the directory has. */
  gid: number | undefined
  digestKey: Secret
}

/** Throws `output_foreign` or `output_unsafe` when the directory is not ours alone. */
export async function checkSecretsPlace(
  { disk, directory }: SecretsPlace,
  mark: Mark,
  stateDirectory: string,
): Promise<void> {
  await checkPlace(directory, stateDirectory)
  const names = disk.list(directory) ?? []
  if (names.length === 0) return
  const found = readMark(disk.read(join(directory, MARK)) ?? '')
  if (found === undefined) {
    const foreign = names.find((name) => name !== 'lost+found' && !name.startsWith(`.${MARK}.`))
    if (foreign === undefined) return
    throw foreignPlace(directory, `it holds ${foreign} and no ${MARK}`)
  }
  if (found.agent !== mark.agent || found.runtimeId !== mark.runtimeId)
    throw foreignPlace(
      directory,
      `it belongs to the agent ${found.agent} of another runtime or name`,
    )
}

function foreignPlace(path: string, why: string): AgentError {
  return new AgentError('output_foreign', `Cannot write to ${path}: ${why}`)
}

/** All values that documents refer to; of two for one name and key the later counts. */
export function mergeSecrets(secrets: readonly (DaprSecret | undefined)[]): SecretValues {
  const merged = new Map<string, Readonly<Record<string, Secret>>>()
  for (const secret of secrets) {
    if (secret === undefined) continue
    merged.set(secret.name, { ...merged.get(secret.name), ...secret.values })
  }
  return merged
}

/** Which file holds exactly these values. */
export function hashOf(values: SecretValues, digestKey: Secret): string {
  return hmac(digestKey, canonicalJson(Object.fromEntries(values))).slice(0, 12)
}

function secretsPath(directory: string, hash: string): string {
  return join(directory, `secrets-${hash}.json`)
}

/** The hash in the path of a file of secrets in this directory. */
export function hashIn(path: string, directory: string): string | undefined {
  return dirname(path) === directory ? NAME.exec(path.slice(directory.length + 1))?.[1] : undefined
}

/** Written whole before anything refers to it; a file that is there and right is left as it is. */
export async function writeSecrets(
  place: SecretsPlace,
  mark: Mark,
  values: SecretValues,
): Promise<string> {
  const { disk, directory, gid, digestKey } = place
  await prepareRoot({ disk, root: directory, mark, gid })
  const hash = hashOf(values, digestKey)
  const path = secretsPath(directory, hash)
  const there = readSecrets(place, path)
  if (there !== undefined && there.sound) return path
  const revealed = [...values].map(([name, members]): [string, Record<string, string>] => [
    name,
    Object.fromEntries(Object.entries(members).map(([key, value]) => [key, value.reveal()])),
  ])
  const json = { [GENERATION]: { value: hash }, ...Object.fromEntries(revealed) }
  await disk.replace(path, `${JSON.stringify(json, null, 2)}\n`, { mode: FILE_MODE, gid })
  return path
}

export type ReadSecrets = {
  values: SecretValues
  /** It is as it was written, and daprd can read it. */
  sound: boolean
}

/** What a file of ours holds; undefined when it is not there or cannot be understood. */
export function readSecrets(place: SecretsPlace, path: string): ReadSecrets | undefined {
  const { disk, directory, gid, digestKey } = place
  const hash = hashIn(path, directory)
  const facts = hash === undefined ? undefined : disk.look(path)
  if (facts?.kind !== 'file') return undefined
  const values = parse(disk.read(path) ?? '')
  if (values === undefined) return undefined
  const right = facts.mode === FILE_MODE && (gid === undefined || facts.gid === gid)
  return { values, sound: right && hashOf(values, digestKey) === hash }
}

function parse(text: string): SecretValues | undefined {
  try {
    const json = JSON.parse(text) as Record<string, Record<string, unknown>>
    const members = Object.entries(json).filter(([name]) => name !== GENERATION)
    return new Map(
      members.map(([name, values]) => [
        name,
        Object.fromEntries(
          Object.entries(values).map(([key, value]) => [key, new Secret(String(value))]),
        ),
      ]),
    )
  } catch {
    return undefined
  }
}

/** Removes files of secrets, and what a killed process left, except for those named. */
export function sweepSecrets({ disk, directory }: SecretsPlace, keep: ReadonlySet<string>): void {
  for (const name of disk.list(directory) ?? []) {
    const path = join(directory, name)
    const isLeft = /^\.secrets-[0-9a-f]{12}\.json\.[0-9a-f]{12}\.tmp$/.test(name)
    if (isLeft || (NAME.test(name) && !keep.has(path))) disk.remove(path)
  }
}
